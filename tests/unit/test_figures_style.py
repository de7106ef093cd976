"""The look that all figures share."""

import itertools

import matplotlib
import numpy as np
import pytest
from figure_tables import module, usual_figure
from matplotlib import font_manager

from vicinal.analysis.figures import panels, runs, style


def test_style_ignores_the_callers_settings():
    data, figure, _ = usual_figure("training")
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "lines.linewidth": 9}):
        other = module("training").draw(data)
    assert [line.get_linewidth() for line in other.axes[0].get_lines()] == [
        line.get_linewidth() for line in figure.axes[0].get_lines()
    ]


def test_fonts_ship_with_matplotlib():
    path = font_manager.findfont(style.RC["font.family"], fallback_to_default=False)
    assert "mpl-data" in path


@pytest.mark.parametrize("seed", range(20))
def test_labels_keep_order_and_distance(seed):
    rng = np.random.default_rng(seed)
    at = rng.uniform(0, 1, rng.integers(1, 9))
    places = style.spread(at, 0.1, 0.0, 1.0)
    order = np.argsort(at)
    assert (np.diff(places[order]) >= 0.1 - 1e-9).all()
    assert places.min() >= 0 and places.max() <= 1 + 1e-9


def test_labels_stay_where_there_is_room():
    assert style.spread(np.array([0.9, 0.1, 0.5]), 0.1, 0.0, 1.0) == pytest.approx([0.9, 0.1, 0.5])
    assert style.spread(np.array([0.5, 0.5]), 0.1, 0.0, 1.0) == pytest.approx([0.45, 0.55])


def test_methods_differ_without_colour():
    looks = {(style.LINES[method], style.MARKERS[method]) for method in style.METHODS}
    assert len(looks) == len(style.METHODS)
    assert len(set(style.COLOURS.values())) == len(style.METHODS)


@pytest.mark.parametrize(("items", "columns", "rows"), [(1, 3, 1), (2, 3, 2), (7, 3, 1), (5, 2, 3), (6, 3, 2)])
def test_wrapped_panels_stand_side_by_side_then_below(items, columns, rows):
    figure, axes = panels.wrapped(items, columns, head=0.5, height=2.0, rows=rows)
    assert axes.shape == (items, rows)
    assert set(axes.flat) == set(figure.axes)
    wide = min(items, columns)
    assert figure.get_figwidth() == (style.PAGE if wide > 1 else style.COLUMN)
    assert figure.get_figheight() == 0.5 + 2.0 * -(-items // wide)
    for item, row in itertools.product(range(items), range(rows)):
        place = axes[item, row].get_subplotspec()
        assert (place.rowspan.start, place.colspan.start) == (item // wide * rows + row, item % wide)


@pytest.mark.parametrize("share", [True, False])
def test_labels_of_axes_stand_at_the_left_and_at_the_bottom(share):
    pairs = [runs.Pair(f"t{i}", "s") for i in range(5)]
    figure, axes = panels.one_a_pair(pairs, 3, head=0.5, height=2.0, xlabel="x", ylabel="y", share=share)
    figure.draw_without_rendering()
    assert [ax.get_title() for ax in axes] == [f"t{i} → s" for i in range(5)]
    assert [ax.get_xlabel() for ax in axes] == ["", "", "x", "x", "x"]
    assert [ax.get_ylabel() for ax in axes] == ["y", "", "", "y", ""]
    numbered = [any(label.get_visible() and label.get_text() for label in ax.get_xticklabels()) for ax in axes]
    assert numbered == ([False, False, True, True, True] if share else [True] * 5)

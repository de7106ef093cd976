"""The look that all figures share."""

from itertools import product

import matplotlib
import numpy as np
import pandas as pd
import pytest
from figure_tables import module, usual_figure
from matplotlib import font_manager

from vicinal.analysis.figures import panels, style
from vicinal.analysis.figures.files import drawn


def test_style_ignores_the_callers_settings():
    data, figure, _ = usual_figure("training")
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "lines.linewidth": 9}):
        other = drawn(module("training"), data)[0]
    assert [line.get_linewidth() for line in other.axes[0].get_lines()] == [
        line.get_linewidth() for line in figure.axes[0].get_lines()
    ]


def test_fonts_ship_with_matplotlib():
    path = font_manager.findfont(style.RC["font.family"], fallback_to_default=False)
    assert "mpl-data" in path


def test_methods_differ_without_colour():
    for look in (style.DASHES, style.MARKERS, style.COLOURS):
        assert len({look[method] for method in style.METHODS}) == len(style.METHODS)


def tables(names):
    return {name: pd.DataFrame({"metric": ["m1", "m2"], "value": [f"{name} m1", f"{name} m2"]}) for name in names}


def nothing(ax, rows):
    pass


@pytest.mark.parametrize(
    ("items", "columns", "wide"), [(1, 3, 1), (2, 3, 2), (7, 3, 3), (4, 3, 2), (5, 3, 3), (6, 2, 2)]
)
def test_wrapped_panels_stand_side_by_side_then_below(items, columns, wide):
    shown = tables([f"t{i}" for i in range(items)])
    figure = panels.facets(shown, nothing, "x", "y", height=2.0, wrap=columns)
    assert [ax.get_title() for ax in figure.axes] == list(shown)
    assert figure.get_figwidth() == (style.PAGE if wide > 1 else style.COLUMN)
    for place, ax in enumerate(figure.axes):
        at = ax.get_subplotspec()
        assert (at.rowspan.start, at.colspan.start) == divmod(place, wide)


@pytest.mark.parametrize("share", [True, False])
def test_labels_of_axes_stand_at_the_left_and_at_the_bottom(share):
    figure = panels.facets(
        tables([f"t{i}" for i in range(5)]), nothing, "x", "y", height=2.0, sharex=share, sharey=share
    )
    figure.draw_without_rendering()
    axes = figure.axes
    assert [ax.get_xlabel() for ax in axes] == ["", "", "x", "x", "x"]
    assert [ax.get_ylabel() for ax in axes] == ["y", "", "", "y", ""]
    numbered = [any(label.get_visible() and label.get_text() for label in ax.get_xticklabels()) for ax in axes]
    assert numbered == ([False, False, True, True, True] if share else [True] * 5)


def test_a_grid_has_a_row_a_name_and_a_column_a_label():
    drawn = []

    def draw(ax, rows):
        drawn.append((ax, *rows["value"]))

    figure = panels.facets(tables("abc"), draw, "x", columns={"m1": "one", "m2": "two"}, sharey=True)
    axes = np.reshape(figure.axes, (3, 2))
    assert figure.get_figwidth() == style.PAGE
    assert [ax.get_title(loc="left") for ax in axes[:, 0]] == ["a", "b", "c"]
    assert [[ax.get_ylabel() for ax in row] for row in axes] == [["one", "two"]] * 3
    assert all(ax.yaxis.label.get_visible() for ax in figure.axes)
    assert [[ax.get_xlabel() for ax in row] for row in axes] == [["", ""], ["", ""], ["x", "x"]]
    shown = [f"{row} {column}" for row, column in product("abc", ("m1", "m2"))]
    assert drawn == list(zip(figure.axes, shown, strict=True))


@pytest.mark.parametrize("rows", [1, 4, 8])
def test_a_grid_fills_a_page_at_most(rows):
    names = [f"t{i}" for i in range(rows)]
    assert panels.facets(tables(names), nothing, columns={"m1": "one"}).get_figheight() <= 10.5

"""Calibration against accuracy: what is drawn, and where the labels of temperatures stand."""

import itertools

import numpy as np
import pytest
from figure_tables import (
    all_axes,
    grid,
    interval,
    line_of,
    main_kd,
    make,
    module,
    panel,
    per_seed,
    tables_of,
    usual,
    usual_figure,
)
from matplotlib.text import Text

from vicinal.analysis.figures import style

SIX = ("0.5", "1", "2", "4", "8", "16", "std")


def wide(data, teacher, method):
    rows = data[(data["teacher"] == teacher) & (data["method"] == method)]
    return rows.pivot(index="temperature", columns="metric", values="mean")


def bars_of(ax, colour):
    """Return the error bars of a colour as pairs of ends."""
    pale = style.tint(colour, module("plane").BAR)
    found = [lines for lines in ax.collections if np.allclose(lines.get_color()[0][:3], pale)]
    return np.concatenate([np.array(lines.get_segments()) for lines in found])


@style.styled
def laid_out(figure):
    """Give the panels the sizes that they have when the figure is saved."""
    figure.draw_without_rendering()
    return figure


def notes_of(ax):
    return [note for note in ax.texts if note.get_text()]


@pytest.mark.parametrize("teacher", ["big", "bigger"])
def test_plane_draws_its_data(teacher):
    data, figure, _ = usual_figure("plane")
    ax = panel(figure, f"{teacher} → small")
    for method in ("kd", "kd_mixup"):
        means = wide(data, teacher, method)
        np.testing.assert_allclose(line_of(ax, method), means.loc[["1", "2", "4"], ["accuracy", "ece"]])
    for method in ("teacher", "ce", "ce_mixup"):
        [point] = [
            line for line in ax.get_lines() if line.get_color() == style.COLOURS[method] and len(line.get_xdata())
        ]
        assert point.get_linestyle() == "None" and point.get_marker() == style.MARKERS[method]
        expected = wide(data, teacher, method)[["accuracy", "ece"]].to_numpy()
        np.testing.assert_allclose(np.column_stack(point.get_data()), expected)


def test_plane_has_scipys_intervals_in_both_directions():
    _, figure, caption = usual_figure("plane")
    ax = panel(figure, "bigger → small")
    bars = bars_of(ax, style.COLOURS["kd_mixup"])
    values = {
        metric: 100 * per_seed(usual()["metrics"], split="test", metric=metric, **main_kd("kd_mixup", "4", "bigger"))
        for metric in ("accuracy", "ece")
    }
    x, y = values["accuracy"].mean(), values["ece"].mean()
    across = [(end, y) for end in interval(values["accuracy"])]
    upright = [(x, end) for end in interval(values["ece"])]
    for wanted in (across, upright):
        assert any(np.allclose(bar, wanted) for bar in bars)
    assert len(bars) == 2 * 3
    assert "Error bars in both directions: 95 % t-interval" in caption and "n = 5 seeds" in caption
    assert "α = 1" in caption


def test_plane_shows_what_the_figure_of_temperatures_shows():
    data = usual_figure("plane")[0]
    other = usual_figure("temperature")[0]
    other = other[other["metric"] != "oe"].reset_index(drop=True)
    assert data.equals(other)


def test_plane_leaves_std_alone():
    data, figure, caption = make("plane", tables_of(grid(temperatures=("std", "16", "1", "2"), seeds=3)))
    [ax] = all_axes(figure)
    lines = [line for line in ax.get_lines() if line.get_color() == style.COLOURS["kd"] and line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in lines] == [3, 1]
    means = wide(data, "big", "kd")[["accuracy", "ece"]]
    np.testing.assert_allclose(np.column_stack(lines[0].get_data()), means.loc[["1", "2", "16"]])
    np.testing.assert_allclose(np.column_stack(lines[1].get_data()), means.loc[["std"]])
    assert "standard deviation" in caption


def test_plane_labels_every_temperature_beside_its_point():
    data, figure, _ = make("plane", tables_of(grid(temperatures=SIX, seeds=4)))
    [ax] = all_axes(figure)
    laid_out(figure)
    for method in ("kd", "kd_mixup"):
        means = wide(data, "big", method)
        notes = [note for note in notes_of(ax) if note.get_color() == style.COLOURS[method]]
        assert sorted(note.get_text() for note in notes) == sorted(SIX)
        for note in notes:
            point = means.loc[note.get_text(), ["accuracy", "ece"]]
            np.testing.assert_allclose(note.xy, point)
            box = Text.get_window_extent(note)
            centre = [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]
            away = np.hypot(*(ax.transData.transform(point) - centre)) * 72 / figure.dpi
            assert away < labels.GAPS[-1] + 10
            assert note.arrow_patch is not None or away < 15


@pytest.mark.parametrize("seed", range(3))
def test_labels_of_the_plane_do_not_overlap_and_stay_in_their_panels(seed):
    models = grid(teachers=("a", "b", "c", "d"), students=("s", "t"), temperatures=SIX, seeds=2)
    figure = make("plane", tables_of(models, epochs=0, seed=seed))[1]
    axes = [ax for ax in all_axes(figure) if ax.get_title()]
    assert len(axes) == 8
    laid_out(figure)
    for ax in axes:
        boxes = [Text.get_window_extent(note) for note in notes_of(ax)]  # without the line to the point
        assert len(boxes) == 14
        inside = ax.get_window_extent().padded(1)
        for box in boxes:
            assert inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
        for one, other in itertools.combinations(boxes, 2):
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            upright = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert min(across, upright) < 0.3 * one.height  # letters have air around them


def test_pairs_of_one_student_share_axes():
    one = usual_figure("plane")[1]
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in all_axes(one)}) == 1
    two = make("plane", tables_of(grid(students=("s", "t"), temperatures=("1", "2"), seeds=2), epochs=0))[1]
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in all_axes(two)}) == 2


def test_intervals_do_not_stretch_the_plane_beyond_what_is_possible():
    tables = tables_of(grid(seeds=2), epochs=0)
    metrics = tables["metrics"]
    tables["metrics"] = metrics.assign(value=metrics["value"].where(metrics["seed"] == 0, 0.01))
    [ax] = all_axes(make("plane", tables)[1])
    assert ax.get_xlim()[0] >= 0 and ax.get_xlim()[1] <= 101
    assert ax.get_ylim()[0] >= 0 and ax.get_ylim()[1] <= 101


def test_students_without_a_finite_score_are_left_out():
    tables = tables_of(grid(seeds=3), epochs=0)
    metrics = tables["metrics"]
    lost = (metrics["method"] == "kd") & (metrics["temperature"] == "2")
    tables["metrics"] = metrics.assign(value=metrics["value"].mask(lost))
    figure = make("plane", tables)[1]
    [ax] = all_axes(figure)
    assert len(line_of(ax, "kd")) == 2
    assert sorted(note.get_text() for note in notes_of(ax)) == sorted(["1", "4", "1", "2", "4"])
    tables["metrics"] = metrics.assign(value=np.nan)
    [ax] = all_axes(make("plane", tables)[1])
    assert not notes_of(ax)


NOTHING = (np.empty((0, 2)), np.empty(0))


def test_a_label_alone_stands_at_the_right_of_its_point():
    centres = labels.beside(np.array([[50.0, 50.0]]), np.array([[6.0, 8.0]]), *NOTHING, (100.0, 100.0))
    np.testing.assert_allclose(centres, [[50 + 3 + labels.GAPS[0], 50]])


def test_a_label_leaves_what_is_drawn_visible():
    right = labels.along(np.array([50.0, 50.0]), np.array([90.0, 50.0]))
    centres = labels.beside(
        np.array([[50.0, 50.0]]), np.array([[6.0, 8.0]]), right, np.full(len(right), 5.0), (100.0, 100.0)
    )
    assert (np.abs(right - centres) >= [3, 4]).any(axis=1).all()


def test_a_label_at_the_edge_stays_inside():
    centres = labels.beside(np.array([[99.0, 99.0], [1.0, 1.0]]), np.full((2, 2), 8.0), *NOTHING, (100.0, 100.0))
    assert (centres >= 4).all() and (centres <= 96).all()


def test_labels_of_one_point_avoid_each_other():
    centres = labels.beside(np.full((8, 2), 50.0), np.full((8, 2), 7.0), *NOTHING, (100.0, 100.0))
    for one, other in itertools.combinations(centres, 2):
        assert np.abs(one - other).max() >= 7 - 0.5


def test_no_labels():
    assert labels.beside(np.empty((0, 2)), np.empty((0, 2)), *NOTHING, (100.0, 100.0)).shape == (0, 2)


def test_along_a_line():
    np.testing.assert_allclose(labels.along(np.zeros(2), np.array([3.0, 4.0])), [(0.6 * i, 0.8 * i) for i in range(6)])
    assert len(labels.along(np.ones(2), np.ones(2))) == 2

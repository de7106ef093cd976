"""Calibration against accuracy: what is drawn, and how temperatures are told apart."""

import numpy as np
import pytest
from figure_tables import (
    all_axes,
    bars_of,
    grid,
    interval,
    line_of,
    main_kd,
    make,
    module,
    panel,
    per_seed,
    same_colour,
    tables_of,
    usual,
    usual_figure,
)
from matplotlib.collections import PathCollection

from vicinal.analysis.figures import panels, style

SIX = ("0.5", "1", "2", "4", "8", "16", "std")


def wide(data, teacher, method):
    rows = data[(data["teacher"] == teacher) & (data["method"] == method)]
    return rows.pivot(index="temperature", columns="metric", values="mean")


@pytest.mark.parametrize("teacher", ["big", "bigger"])
def test_plane_draws_its_data(teacher):
    data, figure, _ = usual_figure("plane")
    ax = panel(figure, f"{teacher} → small")
    for method in ("kd", "kd_mixup"):
        means = wide(data, teacher, method)
        np.testing.assert_allclose(line_of(ax, method), means.loc[["1", "2", "4"], ["accuracy", "ece"]])
    for method in ("teacher", "ce", "ce_mixup"):
        expected = wide(data, teacher, method)[["accuracy", "ece"]].to_numpy()
        np.testing.assert_allclose(points_of(ax, method)[:, :2], expected)


def test_plane_has_scipys_intervals_in_both_directions():
    _, figure, caption = usual_figure("plane")
    ax = panel(figure, "bigger → small")
    bars = bars_of(ax, style.tint(style.COLOURS["kd_mixup"], panels.PALE))
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
    lines = [line for line in ax.get_lines() if line.get_color() == style.COLOURS["kd"]]
    assert [len(line.get_xdata()) for line in lines] == [3, 1]
    means = wide(data, "big", "kd")[["accuracy", "ece"]].astype(float)
    np.testing.assert_allclose(np.column_stack(lines[0].get_data()).astype(float), means.loc[["1", "2", "16"]])
    np.testing.assert_allclose(np.column_stack(lines[1].get_data()).astype(float), means.loc[["std"]])
    assert "standard deviation" in caption


def points_of(ax, method):
    """Return x, y and area of the points of a method, the white cores of the hollow ones left out."""
    found = []
    for points in ax.collections:
        if isinstance(points, PathCollection):
            colours = np.broadcast_to(points.get_facecolor(), (len(points.get_offsets()), 4))
            sizes = np.broadcast_to(points.get_sizes(), len(colours))
            for place, size, colour in zip(points.get_offsets(), sizes, colours, strict=True):
                if same_colour(colour, style.COLOURS[method]):
                    found.append((*place, size))
    return np.array(found)


def test_points_of_the_plane_grow_with_the_temperature():
    data, figure, caption = make("plane", tables_of(grid(temperatures=SIX, seeds=4)))
    [ax] = all_axes(figure)
    for method in ("kd", "kd_mixup"):
        points = points_of(ax, method)
        means = wide(data, "big", method).loc[list(SIX), ["accuracy", "ece"]]
        sizes = [points[np.isclose(points[:, :2], mean).all(axis=1), 2].item() for mean in means.to_numpy()]
        assert (np.diff(sizes[:-1]) > 0).all()
        assert sizes[-1] == pytest.approx(module("plane").SINGLE ** 2)
    points = [found for found in ax.collections if isinstance(found, PathCollection)]
    cores = [found for found in points if same_colour(found.get_facecolor()[0], "white")]
    assert sum(len(found.get_offsets()) for found in cores) == 2
    legend = [text.get_text() for text in figure.legends[1].get_texts()]
    assert legend == list(SIX) and "grow with their distillation temperature" in caption


def test_smaller_points_of_the_plane_lie_on_larger_ones():
    [ax] = all_axes(make("plane", tables_of(grid(temperatures=SIX, seeds=4)))[1])
    for points in ax.collections:
        if isinstance(points, PathCollection) and len(points.get_offsets()) > 5:
            assert (np.diff(points.get_sizes()) <= 0).all()


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
    assert ax.get_xlim()[0] >= -1 and ax.get_xlim()[1] <= 101
    assert ax.get_ylim()[0] >= -1 and ax.get_ylim()[1] <= 101


def test_students_without_a_finite_score_are_left_out():
    tables = tables_of(grid(seeds=3), epochs=0)
    metrics = tables["metrics"]
    lost = (metrics["method"] == "kd") & (metrics["temperature"] == "2")
    tables["metrics"] = metrics.assign(value=metrics["value"].mask(lost))
    figure = make("plane", tables)[1]
    [ax] = all_axes(figure)
    assert len(line_of(ax, "kd")) == 2
    assert [len(points_of(ax, method)) for method in ("kd", "kd_mixup")] == [2, 3]
    tables["metrics"] = metrics.assign(value=np.nan)
    [ax] = all_axes(make("plane", tables)[1])
    assert not sum(len(lines.get_xdata()) for lines in ax.get_lines())

"""The error bars and bands of every figure are the intervals of its data, not what a plotting library computes."""

from itertools import pairwise

import numpy as np
import pytest
import test_figures_claims
import test_figures_corruptions
from figure_tables import all_axes, band_of, bars_of, grid, module, panel, tables_of, usual

from vicinal.analysis.figures import panels, style

KD = "kd_mixup"


def data_of(name, tables):
    return module(name).data({table: tables[table] for table in module(name).TABLES})


def shifted(name, tables, ends=("low", "high")):
    """Return a figure drawn with other intervals than those of its data, which no library can guess, and these data."""
    data = data_of(name, tables)
    low, high = ends
    data[low] = data["mean"] - 0.11 - 0.01 * np.arange(len(data)) / len(data)
    data[high] = data["mean"] + 0.23 + 0.01 * np.arange(len(data)) / len(data)
    with style.look():
        return data, module(name).draw(data)[0]


def rows_of(data, **wanted):
    for column, value in wanted.items():
        data = data[data[column] == value]
    return data


def check_band(ax, colour, rows, x, ends=("low", "high")):
    band = band_of(ax, colour)
    assert len(band) == len(rows)
    expected = dict(zip(rows[x].round(6), zip(rows[ends[0]], rows[ends[1]], strict=True), strict=True))
    for place, edges in expected.items():
        assert band[place] == pytest.approx(edges)


@pytest.mark.parametrize("metric", ["accuracy", "ece", "oe"])
def test_temperature(metric):
    data, figure = shifted("temperature", usual())
    ax = panel(figure, "big → small", style.SCORES[metric])
    rows = rows_of(data, teacher="big", metric=metric, method=KD)
    np.testing.assert_allclose(bars_of(ax, style.COLOURS[KD])[:, :, 1], rows[["low", "high"]])
    [alone] = rows_of(data, teacher="big", metric=metric, method="ce").itertuples()
    spans = [patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches]
    assert any((span.y0, span.y1) == pytest.approx((alone.low, alone.high)) for span in spans)


@pytest.mark.parametrize("name", ["plane", "capacity"])
def test_both_directions(name):
    data = data_of(name, usual())
    ends = ["low", "high", *(["teacher_low", "teacher_high"] if name == "capacity" else [])]
    data[ends] += np.tile([0.3, 0.7], len(ends) // 2)  # no longer around the mean
    with style.look():
        figure, _ = module(name).draw(data)
    half = (data["high"] - data["low"]) / 2
    expected = data.assign(low=data["mean"] - half, high=data["mean"] + half)
    if name == "plane":
        rows = rows_of(expected, teacher="big", method=KD, metric="ece")
        ax = panel(figure, "big → small")
    else:
        rows = rows_of(expected, method=KD).sort_values("teacher_mean")
        ax = panel(figure, "Student small", "")  # the left one, over parameters, has upright bars only
    bars = bars_of(ax, style.tint(style.COLOURS[KD], panels.PALE))
    upright = [bar[:, 1] for bar in bars if bar[0, 0] == bar[1, 0]]
    np.testing.assert_allclose(upright, rows[["low", "high"]])
    assert len(bars) == 2 * len(rows)


def test_nonlinearity():
    data, figure = shifted("nonlinearity", usual())
    for split, label in module("nonlinearity").SPLITS.items():
        rows = rows_of(data, teacher="big", method=KD, split=split)
        check_band(panel(figure, "big → small", label), style.COLOURS[KD], rows, "lam")


def test_training():
    data, figure = shifted("training", usual(), ("min", "max"))
    rows = rows_of(data, teacher="big", method=KD, metric="validation_accuracy")
    ax = panel(figure, "big → small", "Validation accuracy (%)")
    check_band(ax, style.COLOURS[KD], rows, "epoch", ("min", "max"))


def test_corruptions():
    models = grid(teachers=("big",), temperatures=("2", "4"), seeds=3)
    tables = {**tables_of(models), "corruptions": test_figures_corruptions.corrupted(models)}
    data, figure = shifted("corruptions", tables)
    rows = rows_of(data, method=KD, metric="ece", corruption="benchmark")
    [ax] = [ax for ax in all_axes(figure) if ax.get_xlabel() == "Severity" and ax.get_ylabel() == "ECE (%)"]
    check_band(ax, style.COLOURS[KD], rows, "severity")


def test_overconfidence():
    data, figure = shifted("overconfidence", test_figures_claims.usual())
    rows = rows_of(data, teacher="bigger", method="kd")
    bars = bars_of(panel(figure, "bigger → small"), style.COLOURS["kd"])
    np.testing.assert_allclose(bars[:, :, 0], np.exp(rows[["low", "high"]].astype(float)))


def test_confusion():
    data, figure = shifted("confusion", test_figures_claims.usual())
    rows = rows_of(data, teacher="big", metric="entropy_mixed", quantile=0.5)
    rows = rows[rows["lam_high"] - rows["lam_low"] < 0.1]
    ax = next(ax for ax in all_axes(figure) if ax.get_title() == "big")
    bars = [bar[:, 1] for bar in bars_of(ax, module("confusion").COLOURS["mixed"]) if bar[0, 0] < 1]
    np.testing.assert_allclose(bars, rows[["low", "high"]])


def test_reliability():
    data = data_of("reliability", usual())
    data["accuracy_min"], data["accuracy_max"] = data["accuracy"] - 3.3, data["accuracy"] + 1.1
    with style.look():
        figure, _ = module("reliability").draw(data)
    axes = [ax for ax in all_axes(figure) if ax.get_title() == "KD + mixup, T = 2"]
    bars = np.concatenate([bars_of(ax, "0.15") for ax in axes])
    rows = rows_of(data, method=KD)
    rows = rows[rows["count"] >= module("reliability").SPARSE]
    np.testing.assert_allclose(bars[:, :, 1], rows[["accuracy_min", "accuracy_max"]])
    assert all(left[0, 0] != right[0, 0] for left, right in pairwise(bars))

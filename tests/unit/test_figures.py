"""The figures of the main comparison: what is drawn equals what is saved and what is computed by hand."""

import numpy as np
import pytest
import scipy.stats
from figure_tables import (
    ALL,
    all_axes,
    grid,
    line_of,
    main_kd,
    make,
    module,
    panel,
    parameters,
    per_seed,
    tables_of,
    usual,
    usual_figure,
    words,
)

from vicinal.analysis.figures import runs, style


@pytest.mark.parametrize("method", ["kd", "kd_mixup"])
@pytest.mark.parametrize("metric", ["accuracy", "ece", "oe"])
def test_interval_is_scipys(method, metric):
    data = module("temperature").data(usual())
    row = data[(data.teacher == "big") & (data.method == method) & (data.temperature == "2") & (data.metric == metric)]
    values = 100 * per_seed(usual()["metrics"], split="test", metric=metric, **main_kd(method, "2"))
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, values.mean(), scipy.stats.sem(values))
    expected = [len(values), values.mean(), values.std(ddof=1), low, high]
    np.testing.assert_allclose(row[["n", "mean", "sd", "low", "high"]].to_numpy(dtype=float)[0], expected)
    assert len(values) == 5


def test_main_comparison_leaves_variants_out():
    students = runs.main_students(runs.models_of(usual()["metrics"]))
    assert set(students["alpha"].dropna()) == {1.0}
    assert set(students["logit_scale"].dropna()) == {1.0}
    assert students["teacher_mixup_alpha"].isna().all()
    assert set(students["kd_weight"]) == {0.0, 1.0}
    assert len(students) == 5 * (2 + 2 * 2 * 3)


def test_main_alpha_is_that_of_the_distilled_students():
    models = grid(alphas=(0.2, 0.4)) + grid(methods=("ce_mixup",), alphas=(1.0,))
    students = runs.main_students(runs.models_of(tables_of(models)["metrics"]))
    assert set(students["alpha"].dropna()) == {0.4}


def test_temperature_draws_its_data():
    data, figure, _ = usual_figure("temperature")
    for teacher in ("big", "bigger"):
        ax = panel(figure, f"{teacher} → small", "Accuracy (%)")
        rows = data[(data.teacher == teacher) & (data.metric == "accuracy")].set_index("method")
        for method in ("kd", "kd_mixup"):
            drawn = line_of(ax, method)
            np.testing.assert_allclose(drawn[:, 1], rows.loc[method, "mean"])
            np.testing.assert_allclose(drawn[:, 0], [0, 1, 2], atol=0.06)
        for method in ("teacher", "ce", "ce_mixup"):
            assert line_of(ax, method)[:, 1] == pytest.approx(rows.loc[method, "mean"])


def test_temperature_sets_std_apart():
    data, figure, caption = make("temperature", tables_of(grid(temperatures=("std", "16", "1", "0.5"))))
    assert list(data["temperature"].dropna().unique()) == ["0.5", "1", "16", "std"]
    ax = panel(figure, "big → small", "OE (%)")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5", "1", "16", "std"]
    assert list(ax.get_xticks()) == pytest.approx([-1, 0, 4, 5.25])
    pieces = [line for line in ax.get_lines() if line.get_color() == style.COLOURS["kd"]]
    assert [len(piece.get_xdata()) for piece in pieces] == [3, 1]
    assert "standard deviation" in caption


def test_temperature_has_a_row_a_pair():
    teachers = tuple(f"net{i}" for i in range(1, 7))
    data, figure, _ = make("temperature", tables_of(grid(teachers=teachers, temperatures=("1", "2"), seeds=2)))
    assert len(figure.axes) == 6 * 3
    assert data["teacher"].nunique() == 6


def test_reliability_pools_counts():
    data, figure, _ = usual_figure("reliability")
    rows = data[(data.teacher == "bigger") & (data.method == "kd_mixup")]
    table = usual()["reliability"]
    for name, wanted in main_kd("kd_mixup", "2", "bigger").items():
        table = table[table[name].isna() if wanted is None else table[name].astype(object) == wanted]
    own = table[table["low"] == 14 / 15]
    assert len(own) == 5
    last = rows.iloc[-1]
    assert last["count"] == own["count"].sum()
    assert last["accuracy"] == pytest.approx(100 * np.average(own["accuracy"].fillna(0), weights=own["count"]))
    assert last["confidence"] == pytest.approx(100 * np.average(own["confidence"].fillna(0), weights=own["count"]))
    assert (last["accuracy_min"], last["accuracy_max"]) == pytest.approx(
        (100 * own["accuracy"].min(), 100 * own["accuracy"].max())
    )
    assert rows["share"].sum() == pytest.approx(100)
    gap = 100 * per_seed(
        usual()["metrics"], split="test", metric="confidence_gap", **main_kd("kd_mixup", "2", "bigger")
    )
    assert last["gap"] == pytest.approx(gap.mean())
    assert any(f"{gap.mean():+.1f} pp".replace("-", "−") in text for text in words(figure))


def test_reliability_draws_its_data():
    data, figure, _ = usual_figure("reliability")
    below = [ax for ax in all_axes(figure) if not ax.get_title()]
    drawn = np.concatenate([[bar.get_height() for bar in ax.patches] for ax in below])
    np.testing.assert_allclose(drawn, data["share"])
    above = [ax for ax in all_axes(figure) if ax.get_title()]
    ends = np.concatenate([[bar.get_y() + bar.get_height() for bar in ax.patches] for ax in above])
    filled = data[data["count"] > 0]
    # A bar for the accuracy, and one from there to the confidence.
    np.testing.assert_allclose(np.sort(ends), np.sort(np.concatenate([filled["accuracy"], filled["confidence"]])))


def test_nonlinearity_draws_its_data():
    data, figure, caption = usual_figure("nonlinearity")
    centres = np.arange(20) / 20 + 0.025
    for split, label in module("nonlinearity").SPLITS.items():
        ax = panel(figure, "big → small", label)
        for method in style.METHODS:
            rows = data[(data.teacher == "big") & (data.method == method) & (data.split == split)]
            drawn = line_of(ax, method)
            np.testing.assert_allclose(drawn[:, 0], centres)
            np.testing.assert_allclose(drawn[:, 1], rows["mean"])
    value = per_seed(
        usual()["vicinal"], split="test", metric="nonlinearity", pairs="different", lam_low=9 / 20, lam_high=10 / 20,
        **main_kd("kd", "2"),
    )  # fmt: skip
    row = data[(data.teacher == "big") & (data.method == "kd") & (data.split == "test") & (data.lam == 0.475)]
    assert row["mean"].item() == pytest.approx(value.mean())
    assert "n = 5 seeds" in caption


def test_nonlinearity_axis_holds_all_data():
    data, figure, _ = usual_figure("nonlinearity")
    for ax in figure.axes:
        assert ax.get_ylim()[0] == 0
        assert ax.get_ylim()[1] >= data["high"].max()


@pytest.mark.parametrize(("x", "label"), [("teacher_parameters", "Student accuracy (%)"), ("teacher_mean", "")])
def test_capacity_draws_its_data(x, label):
    data, figure, caption = usual_figure("capacity")
    ax = panel(figure, "Student small", label)
    million = 1e6 if x == "teacher_parameters" else 1
    for method in ("kd", "kd_mixup"):
        rows = data[data.method == method].sort_values(x)
        np.testing.assert_allclose(line_of(ax, method), rows.assign(x=rows[x] / million)[["x", "mean"]])
    ce = data[data.method == "ce"]
    assert len(ce) == 1
    assert line_of(ax, "ce")[:, 1] == pytest.approx([ce["mean"].item()] * 2)
    assert ax.get_xscale() == ("log" if x == "teacher_parameters" else "linear")
    assert ax.get_xlabel() == module("capacity").AXES[x]
    assert [text.get_text() for text in ax.texts] == list(data.dropna(subset=x).sort_values(x)["teacher"].unique())
    assert "parameters (left, log axis)" in caption


def test_capacity_has_the_teachers_accuracy_and_size():
    data, _, _ = usual_figure("capacity")
    own = data[data.teacher == "bigger"]
    teacher = 100 * per_seed(usual()["metrics"], role="teacher", model="bigger", split="test", metric="accuracy")
    assert own["teacher_mean"].to_numpy() == pytest.approx([teacher.mean()] * 2)
    assert set(own["teacher_parameters"]) == {parameters("bigger")}
    assert data.loc[data.teacher.isna(), ["teacher_mean", "teacher_parameters"]].isna().all(axis=None)


def test_capacity_without_sizes_is_over_accuracy_alone():
    table = usual()["metrics"]
    data, figure, caption = make("capacity", {"metrics": table[table["metric"] != "parameters"]})
    assert data["teacher_parameters"].isna().all()
    assert [ax.get_xlabel() for ax in all_axes(figure)] == ["Teacher accuracy (%)"]
    assert "parameters" not in caption and "(right)" not in caption


def test_capacity_ties_every_name_to_its_points():
    _, figure, _ = usual_figure("capacity")
    for ax in all_axes(figure):
        points = {x for line in ax.get_lines() if line.get_marker() == style.MARKERS["kd"] for x in line.get_xdata()}
        tied = [text.xy[0] for text in ax.texts]
        expected = ax.transAxes.inverted().transform(ax.transData.transform([(x, 0) for x in sorted(points)]))[:, 0]
        np.testing.assert_allclose(tied, expected, atol=1e-6)
        assert ((expected > 0) & (expected < 1)).all()


def test_capacity_compares_teachers_at_one_temperature():
    models = grid(teachers=("a",), temperatures=("2",)) + grid(teachers=("b", "c"), temperatures=("4", "16"))
    data = module("capacity").data(tables_of(models))
    assert set(data["teacher"].dropna()) == {"b", "c"}
    assert set(data["temperature"].dropna()) == {"4"}


def test_training_draws_its_data():
    data, figure, _ = usual_figure("training")
    ax = panel(figure, "big → small", "Training loss (nats)")
    rows = data[(data.teacher == "big") & (data.metric == "loss")]
    for method in ALL:
        own = rows[rows["method"] == method]
        np.testing.assert_allclose(line_of(ax, method), own[["epoch", "mean"]])
    assert (rows["min"] <= rows["mean"]).all() and (rows["mean"] <= rows["max"]).all()
    measured = data[data["metric"] == "validation_accuracy"]
    assert set(measured["epoch"]) == {3, 6}
    assert set(data.loc[data["student"].isna(), "teacher"]) == {"big", "bigger"}

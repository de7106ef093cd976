"""The figures from small made-up tables: what is drawn equals what is saved, gaps in the runs, equal bytes."""

import itertools
import json
import os
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicinal.figures import runs, style

ROOT = Path(__file__).resolve().parents[2]
ALL = ("ce", "ce_mixup", "kd", "kd_mixup")
# Those of the main comparison; the figures that go with the claims have tests of their own.
FIGURES = ("temperature", "reliability", "nonlinearity", "capacity", "training")


def model(role, name, method, seed, **settings):
    row = {
        "role": role, "data": "digits", "model": name, "method": method, "seed": seed, "alpha": None, "teacher": None,
        "teacher_mixup_alpha": None, "temperature": None, "logit_scale": None, "kd_weight": 0.0, "ce_weight": 1.0,
    }  # fmt: skip
    row |= settings
    return {"model_id": "_".join(str(value) for value in row.values()), **row}


def grid(
    teachers=("big",), students=("small",), methods=ALL, temperatures=("1", "2", "4"), seeds=5, alphas=(1.0,),
    scales=(1.0,), weights=((1.0, 0.0),), teacher_alpha=None,
):  # fmt: skip
    """Return the models of a grid, as the aggregate names them."""
    rows = {}
    for seed, student, method in itertools.product(range(seeds), students, methods):
        for alpha in alphas if method.endswith("mixup") else [None]:
            if method.startswith("ce"):
                row = model("student", student, method, seed, alpha=alpha)
                rows[row["model_id"]] = row
                continue
            for teacher, t, c, (kd, ce) in itertools.product(teachers, temperatures, scales, weights):
                row = model("teacher", teacher, "ce_mixup" if teacher_alpha else "ce", seed, alpha=teacher_alpha)
                rows[row["model_id"]] = row
                own = {"teacher": teacher, "temperature": t, "logit_scale": c, "kd_weight": kd, "ce_weight": ce}
                row = model("student", student, method, seed, alpha=alpha, teacher_mixup_alpha=teacher_alpha, **own)
                rows[row["model_id"]] = row
    return list(rows.values())


def tables_of(models, epochs=6, seed=0):
    """Return tables with the columns of a finished run and random values."""
    rng = np.random.default_rng(seed)
    models = pd.DataFrame(models).drop_duplicates("model_id")
    numbers = ["alpha", "teacher_mixup_alpha", "logit_scale", "kd_weight", "ce_weight"]
    texts = [name for name in models if name not in [*numbers, "seed"]]
    models = models.astype({**dict.fromkeys(numbers, "float64"), **dict.fromkeys(texts, "category")})
    base = {}
    for row in models.itertuples():  # alike for all seeds of a setting
        setting = row.model_id.replace(f"_{row.seed}_", "_", 1)
        level = base.setdefault(setting, {"accuracy": rng.uniform(0.6, 0.8), "ece": rng.uniform(0.02, 0.2)})
        level.setdefault("nl", rng.uniform(0.5, 3))

    edges = np.arange(16) / 15
    lam = [(0.0, 1.0), *((b / 20, (b + 1) / 20) for b in range(20)), (0.45, 0.55)]
    metrics, bins, vicinal, history = [], [], [], []
    for row in models.itertuples():
        level = base[row.model_id.replace(f"_{row.seed}_", "_", 1)]
        for split in ("validation", "test"):
            values = {
                "accuracy": level["accuracy"] + rng.normal(0, 0.01),
                "ece": abs(level["ece"] + rng.normal(0, 0.005)),
                "oe": abs(level["ece"] / 2 + rng.normal(0, 0.005)),
                "confidence_gap": rng.normal(0, 0.05),
                "nll": rng.uniform(),
            }
            metrics += [(row.model_id, split, name, value) for name, value in values.items()]
        count = rng.integers(0, 40, 15) * (edges[1:] > 0.3)
        confidence = np.where(count > 0, edges[1:] - rng.uniform(0, 1 / 15, 15), np.nan)
        accuracy = np.where(count > 0, rng.integers(0, np.maximum(count, 1) + 1) / np.maximum(count, 1), np.nan)
        bins += list(zip([row.model_id] * 15, edges, edges[1:], count, confidence, accuracy, strict=False))
        for split, pairs, (low, high) in itertools.product(("train", "test"), ("all", "different"), lam):
            value = level["nl"] * np.sin(np.pi * (low + high) / 2) + abs(rng.normal(0, 0.1))
            vicinal.append((row.model_id, split, pairs, low, high, "nonlinearity", value, 100))
            vicinal.append((row.model_id, split, pairs, low, high, "jsd", rng.uniform(), 100))
        for epoch in range(1, epochs + 1):
            measured = rng.uniform(0.2, 0.9) if epoch % 3 == 0 else np.nan
            history.append((row.model_id, epoch, 0.1, np.exp(-epoch / 3) + rng.uniform(0, 0.1), 0.1, measured))
    columns = {
        "metrics": (metrics, ["model_id", "split", "metric", "value"]),
        "reliability": (bins, ["model_id", "low", "high", "count", "confidence", "accuracy"]),
        "vicinal": (vicinal, ["model_id", "split", "pairs", "lam_low", "lam_high", "metric", "value", "count"]),
        "history": (history, ["model_id", "epoch", "lr", "loss", "seconds", "validation_accuracy"]),
    }
    tables = {}
    for name, (rows, names) in columns.items():
        table = models.merge(pd.DataFrame(rows, columns=names).astype({"model_id": models["model_id"].dtype}))
        texts = [column for column in ("split", "metric", "pairs") if column in names]
        tables[name] = table.astype(dict.fromkeys(texts, "category"))
    return tables


@pytest.fixture(scope="module")
def usual():
    """The tables of a run with variants that no figure of the main comparison may show."""
    models = grid(teachers=("big", "bigger"))
    models += grid(methods=("kd_mixup", "ce_mixup"), temperatures=("2",), alphas=(0.2, 0.4), seeds=3)
    models += grid(methods=("kd_mixup",), temperatures=("2",), scales=(0.5, 2.0))
    models += grid(methods=("kd", "kd_mixup"), temperatures=("2",), weights=((0.9, 0.1),), seeds=3)
    models += grid(methods=("kd", "kd_mixup"), temperatures=("2",), teacher_alpha=1.0, seeds=3)
    return tables_of(models)


def module(name):
    return import_module(f"vicinal.figures.{name}")


def make(name, tables):
    figure = module(name)
    data = figure.data(tables)
    return data, figure.draw(data), figure.caption(data)


@pytest.fixture(scope="module")
def drawn(usual):
    """The figures of the usual tables: data, figure and caption by name."""
    return {name: make(name, usual) for name in FIGURES}


def words(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def line_of(ax, method):
    """Return the points of a method's line in a panel, all its lines joined."""
    lines = [line for line in ax.get_lines() if line.get_color() == style.COLOURS[method] and len(line.get_xdata()) > 0]
    lines = [line for line in lines if line.get_linestyle() == style.LINES[method]]
    return np.concatenate([np.column_stack([line.get_xdata(), line.get_ydata()]) for line in lines]).astype(float)


def all_axes(figure):
    return figure.findobj(Axes)


def panel(figure, title):
    return [ax for ax in all_axes(figure) if ax.get_title() == title]


def per_seed(table, **settings):
    """Return the values of one setting, one a seed, found without the code under test."""
    for name, wanted in settings.items():
        table = table[table[name].isna() if wanted is None else table[name].astype(object) == wanted]
    assert table["seed"].is_unique
    return table["value"].to_numpy()


def main_kd(method, temperature, teacher="big"):
    return {
        "role": "student", "method": method, "teacher": teacher, "temperature": temperature, "logit_scale": 1.0,
        "kd_weight": 1.0, "teacher_mixup_alpha": None, "alpha": 1.0 if method == "kd_mixup" else None,
    }  # fmt: skip


@pytest.mark.parametrize("method", ["kd", "kd_mixup"])
@pytest.mark.parametrize("metric", ["accuracy", "ece", "oe"])
def test_interval_is_scipys(usual, method, metric):
    data = module("temperature").data(usual)
    row = data[(data.teacher == "big") & (data.method == method) & (data.temperature == "2") & (data.metric == metric)]
    values = 100 * per_seed(usual["metrics"], split="test", metric=metric, **main_kd(method, "2"))
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, values.mean(), scipy.stats.sem(values))
    expected = [len(values), values.mean(), values.std(ddof=1), low, high]
    np.testing.assert_allclose(row[["n", "mean", "sd", "low", "high"]].to_numpy(dtype=float)[0], expected)
    assert len(values) == 5


def test_main_comparison_leaves_variants_out(usual):
    students = runs.main_students(runs.models_of(usual["metrics"]))
    assert set(students["alpha"].dropna()) == {1.0}
    assert set(students["logit_scale"].dropna()) == {1.0}
    assert students["teacher_mixup_alpha"].isna().all()
    assert set(students["kd_weight"]) == {0.0, 1.0}
    assert len(students) == 5 * (2 + 2 * 2 * 3)


def test_main_alpha_is_that_of_the_distilled_students():
    models = grid(alphas=(0.2, 0.4)) + grid(methods=("ce_mixup",), alphas=(1.0,))
    students = runs.main_students(runs.models_of(tables_of(models)["metrics"]))
    assert set(students["alpha"].dropna()) == {0.4}


def test_temperature_draws_its_data(drawn):
    data, figure, _ = drawn["temperature"]
    for teacher in ("big", "bigger"):
        (ax,) = panel(figure, f"{teacher} → small")
        rows = data[(data.teacher == teacher) & (data.metric == "accuracy")].set_index("method")
        for method in ("kd", "kd_mixup"):
            drawn = line_of(ax, method)
            np.testing.assert_allclose(drawn[:, 1], rows.loc[method, "mean"])
            np.testing.assert_allclose(drawn[:, 0], [0, 1, 2], atol=0.05)
        for method in ("teacher", "ce", "ce_mixup"):
            assert line_of(ax, method)[:, 1] == pytest.approx(rows.loc[method, "mean"])


def test_temperature_sets_std_apart():
    data, figure, caption = make("temperature", tables_of(grid(temperatures=("std", "16", "1", "0.5"))))
    assert list(data["temperature"].dropna().unique()) == ["0.5", "1", "16", "std"]
    ax = figure.axes[-1]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5", "1", "16", "std"]
    assert list(ax.get_xticks()) == pytest.approx([-1, 0, 4, 5.25])
    pieces = [
        line for line in ax.get_lines() if line.get_color() == style.COLOURS["kd"] and line.get_linestyle() == "-"
    ]
    assert [len(piece.get_xdata()) for piece in pieces] == [3, 1]
    assert "standard deviation" in caption


def test_temperature_wraps_many_pairs():
    teachers = tuple(f"net{i}" for i in range(1, 7))
    data, figure, _ = make("temperature", tables_of(grid(teachers=teachers, temperatures=("1", "2"), seeds=2)))
    assert len(figure.axes) == 6 * 3
    assert data["teacher"].nunique() == 6


def test_reliability_pools_counts(drawn, usual):
    data, figure, _ = drawn["reliability"]
    rows = data[(data.teacher == "bigger") & (data.method == "kd_mixup")]
    table = usual["reliability"]
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
    gap = 100 * per_seed(usual["metrics"], split="test", metric="confidence_gap", **main_kd("kd_mixup", "2", "bigger"))
    assert last["gap"] == pytest.approx(gap.mean())
    assert any(f"{gap.mean():+.1f} pp".replace("-", "−") in text for text in words(figure))


def test_reliability_draws_its_data(drawn):
    data, figure, _ = drawn["reliability"]
    below = [ax for ax in all_axes(figure) if not ax.get_title()]
    drawn = np.concatenate([[bar.get_height() for bar in ax.patches] for ax in below])
    np.testing.assert_allclose(drawn, data["share"])
    above = [ax for ax in all_axes(figure) if ax.get_title()]
    ends = np.concatenate([[bar.get_y() + bar.get_height() for bar in ax.patches] for ax in above])
    filled = data[data["count"] > 0]
    # A bar for the accuracy, and one from there to the confidence.
    np.testing.assert_allclose(np.sort(ends), np.sort(np.concatenate([filled["accuracy"], filled["confidence"]])))


def test_nonlinearity_draws_its_data(drawn, usual):
    data, figure, caption = drawn["nonlinearity"]
    centres = np.arange(20) / 20 + 0.025
    for split, name in (("test", "Test pairs"), ("train", "Training pairs")):
        (ax,) = panel(figure, f"{name}, big → small")
        for method in style.METHODS:
            rows = data[(data.teacher == "big") & (data.method == method) & (data.split == split)]
            drawn = line_of(ax, method)
            np.testing.assert_allclose(drawn[:, 0], centres)
            np.testing.assert_allclose(drawn[:, 1], rows["mean"])
    value = per_seed(
        usual["vicinal"], split="test", metric="nonlinearity", pairs="different", lam_low=9 / 20, lam_high=10 / 20,
        **main_kd("kd", "2"),
    )  # fmt: skip
    row = data[(data.teacher == "big") & (data.method == "kd") & (data.split == "test") & (data.lam == 0.475)]
    assert row["mean"].item() == pytest.approx(value.mean())
    assert "n = 5 seeds" in caption


def test_nonlinearity_axis_holds_all_data(drawn):
    data, figure, _ = drawn["nonlinearity"]
    for ax in figure.axes:
        assert ax.get_ylim()[0] == 0
        assert ax.get_ylim()[1] >= data["high"].max()


def test_capacity_draws_its_data(drawn, usual):
    data, figure, _ = drawn["capacity"]
    (ax,) = panel(figure, "Student small")
    for method in ("kd", "kd_mixup"):
        rows = data[(data.method == method) & (data.metric == "accuracy")].sort_values("teacher_mean")
        drawn = line_of(ax, method)
        np.testing.assert_allclose(drawn, rows[["teacher_mean", "mean"]])
    ce = data[(data.method == "ce") & (data.metric == "accuracy")]
    assert len(ce) == 1
    assert line_of(ax, "ce")[:, 1] == pytest.approx([ce["mean"].item()] * 2)
    teacher = 100 * per_seed(usual["metrics"], role="teacher", model="bigger", split="test", metric="accuracy")
    x = data.loc[data.teacher == "bigger", "teacher_mean"]
    assert x.to_numpy() == pytest.approx([teacher.mean()] * 4)
    assert {"big", "bigger"} <= set(words(figure))


def test_capacity_compares_teachers_at_one_temperature():
    models = grid(teachers=("a",), temperatures=("2",)) + grid(teachers=("b", "c"), temperatures=("4", "16"))
    data = module("capacity").data(tables_of(models))
    assert set(data["teacher"].dropna()) == {"b", "c"}
    assert set(data["temperature"].dropna()) == {"4"}


def test_training_draws_its_data(drawn):
    data, figure, _ = drawn["training"]
    (ax,) = panel(figure, "big → small")
    rows = data[(data.teacher == "big") & (data.metric == "loss")]
    for method in ALL:
        own = rows[rows["method"] == method]
        np.testing.assert_allclose(line_of(ax, method), own[["epoch", "mean"]])
    assert (rows["min"] <= rows["mean"]).all() and (rows["mean"] <= rows["max"]).all()
    measured = data[data["metric"] == "validation_accuracy"]
    assert set(measured["epoch"]) == {3, 6}
    assert set(data.loc[data["student"].isna(), "teacher"]) == {"big", "bigger"}


CASES = {
    "one_seed": grid(teachers=("big", "bigger"), seeds=1),
    "two_seeds": grid(seeds=2),
    "no_teacher": grid(methods=("ce",)),
    "no_mixup": grid(methods=("ce", "kd")),
    "only_kd_mixup": grid(methods=("kd_mixup",), teachers=("big", "bigger")),
    "only_std": grid(temperatures=("std",), teachers=("big", "bigger")),
    "one_number_and_std": grid(temperatures=("2", "std")),
    "one_temperature": grid(temperatures=("4",)),
    "mixup_teacher_only": grid(teacher_alpha=1.0),
    "other_weights": grid(weights=((0.9, 0.1),)),
    "many": grid(teachers=("a", "b", "c"), students=("s1", "s2"), temperatures=("1", "2"), seeds=2),
}


@cache
def tables_of_case(case):
    return tables_of(CASES[case], epochs=3)


# Two seeds, other weights and one temperature are drawn as the usual tables are.
@pytest.mark.parametrize(
    "case", [case for case in CASES if case not in ("two_seeds", "other_weights", "one_temperature")]
)
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_whatever_runs_are_missing(name, case, tmp_path):
    data, figure, caption = make(name, tables_of_case(case))
    assert isinstance(figure, Figure)
    assert caption.endswith(".") and "{" not in caption
    if not len(data):
        assert words(figure) == [module(name).MISSING] == [caption]
    path = tmp_path / "data.parquet"
    data.to_parquet(path, index=False)
    again = pd.read_parquet(path)
    again = again.astype(object).where(again.notna(), None)
    pd.testing.assert_frame_equal(again, data.astype(object).where(data.notna(), None))


@pytest.mark.parametrize(
    ("name", "case", "missing"),
    [
        ("temperature", "one_temperature", True),
        ("temperature", "only_std", True),
        ("temperature", "one_number_and_std", False),
        ("temperature", "no_teacher", True),
        ("temperature", "mixup_teacher_only", True),
        ("temperature", "other_weights", False),
        ("capacity", "two_seeds", True),
        ("capacity", "only_std", False),
        ("capacity", "only_kd_mixup", False),
        ("reliability", "no_teacher", False),
        ("nonlinearity", "no_teacher", False),
        ("training", "no_teacher", False),
        ("training", "mixup_teacher_only", False),
    ],
)
def test_a_figure_without_its_runs_says_so(name, case, missing):
    assert (len(module(name).data(tables_of_case(case))) == 0) is missing


@pytest.mark.parametrize("name", FIGURES)
def test_one_seed_has_no_interval(name):
    data = module(name).data(tables_of_case("one_seed"))
    caption = module(name).caption(data)
    assert "One seed" in caption and "95 %" not in caption
    if "low" in data:
        assert data[["low", "high", "sd"]].isna().all(axis=None)


@pytest.mark.parametrize("name", FIGURES)
def test_text_is_legible_at_print_size(drawn, name):
    _, figure, _ = drawn[name]
    sizes = [text.get_fontsize() for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))]
    assert min(sizes) >= 7
    assert figure.get_figwidth() in (style.COLUMN, style.PAGE)


def test_style_ignores_the_callers_settings(drawn):
    data, figure, _ = drawn["training"]
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


@pytest.mark.parametrize("methods", [("ce", "ce_mixup"), ALL])
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off(name, methods):
    figure = make(name, tables_of(grid(methods=methods, teachers=("resnet110", "wrn_40_2"), seeds=2), epochs=3))[1]
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert box.x0 >= -0.01 and box.y0 >= -0.01
    assert box.x1 <= figure.get_figwidth() + 0.01 and box.y1 <= figure.get_figheight() + 0.01


def plot(folder, name, tables, hash_seed="0", change=None):
    from vicinal.fingerprint import stage_fingerprint

    plan = {
        "stage": "figures", "id": f"digits/{name}", "key": "abc", "spec": {"experiment": "digits", "figure": name},
        "code": stage_fingerprint("figures", (f"vicinal.figures.{name}",)),
    }  # fmt: skip
    plan |= change or {}
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, ROOT / "workflow/scripts/plot.py", "--plan", folder / "plan.json", "--tables", tables]
    command += ["--output", folder / "figures" / f"{name}.pdf"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def tables_folder(usual, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for name, table in usual.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def test_plot_writes_the_same_bytes_again(tables_folder, tmp_path):
    for folder, hash_seed in (("a", "1"), ("b", "2")):
        result = plot(tmp_path / folder, "temperature", tables_folder, hash_seed)
        assert result.returncode == 0, result.stderr
    first, second = tmp_path / "a/figures", tmp_path / "b/figures"
    files = sorted(path.name for path in first.iterdir())
    assert files == [f"temperature.{ending}" for ending in ("json", "parquet", "pdf", "pdf.key", "png")]
    for ending in ("pdf", "png", "parquet", "pdf.key"):
        assert (first / f"temperature.{ending}").read_bytes() == (second / f"temperature.{ending}").read_bytes(), ending
    record = json.loads((first / "temperature.json").read_text())
    assert record["caption"] == module("temperature").caption(pd.read_parquet(first / "temperature.parquet"))
    assert {"spec", "code", "provenance"} <= record.keys()


@pytest.mark.parametrize("name", FIGURES)
def test_drawn_again_from_its_parquet_the_pdf_is_the_same(name, tmp_path):
    data, figure, _ = make(name, tables_of_case("only_kd_mixup"))
    data.to_parquet(tmp_path / "data.parquet", index=False)
    again = module(name).draw(pd.read_parquet(tmp_path / "data.parquet"))
    for turn, drawn in (("first", figure), ("second", again)):
        style.save(drawn, tmp_path / f"{turn}.pdf")
    pdf = (tmp_path / "first.pdf").read_bytes()
    assert pdf == (tmp_path / "second.pdf").read_bytes()
    assert b"CreationDate" not in pdf
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf


@pytest.mark.parametrize(
    ("change", "tables", "problem"),
    [
        ({"code": "0000"}, "here", "the code changed"),
        ({"spec": {"experiment": "digits", "figure": "temprature"}}, "here", "did you mean temperature?"),
        ({"stage": "cohorts"}, "here", "expected figures"),
        ({}, "nowhere", "no such file"),
    ],
)
def test_plot_stops_with_one_line(tables_folder, tmp_path, change, tables, problem):
    folder = tables_folder if tables == "here" else tmp_path / tables
    result = plot(tmp_path, "temperature", folder, change=change)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and problem in result.stderr
    assert not (tmp_path / "figures" / "temperature.pdf").exists()

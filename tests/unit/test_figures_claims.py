"""The figures that go with the claims, from small made-up tables: what is drawn equals what is computed by hand."""

import itertools
from functools import cache, partial

import figure_tables
import matplotlib
import numpy as np
import pandas as pd
import pytest
from figure_tables import bars_of, frame, interval, make, module, panel, pixels, words
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure

from vicinal.analysis.figures import FIGURES, style
from vicinal.analysis.figures.files import drawn
from vicinal.evaluation.confusion import similarity_table, similarity_tests

NAMES = ("confusion", "similarity", "inheritance", "overconfidence")
SCALES = (0.5, 0.75, 1.0, 1.5, 2.0)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SPREAD = (
    "entropy_clean", "entropy_mixed", "entropy_linear", "own_mass_clean", "source_mass_mixed", "source_mass_linear",
)  # fmt: skip
grid = partial(figure_tables.grid, seeds=4)


def tables_of(models, classes=5, superclass=None, names=None, zero=(), seed=0):
    """Return the tables that these figures read, with random values; students in ``zero`` have an OE of 0."""
    rng = np.random.default_rng(seed)
    models = frame(models)
    lam = [(0.0, 1.0), *((b / 20, (b + 1) / 20) for b in range(20))]
    metrics, spread, confusion, similarity = [], [], [], []
    for row in models.itertuples():
        level = {"ce": 0.1, "ce_mixup": 0.003, "kd": 0.05, "kd_mixup": 0.02}[row.method]
        for split in ("validation", "test"):
            values = {
                "accuracy": rng.uniform(0.7, 0.9),
                "oe": 0.0 if (row.method, row.seed) in zero else level * np.exp(rng.normal(0, 0.5)),
                "confidence_gap": rng.normal(0, 0.05),
            }
            if row.role == "teacher":
                values |= {f"confidence_gap_c{c:g}": rng.normal(c / 10, 0.02) for c in SCALES if c != 1}
            metrics += [(row.model_id, split, name, value) for name, value in values.items()]
        # Of teachers only; the figure is of the test split.
        for split, (low, high) in itertools.product(("train", "test"), lam) if row.role == "teacher" else ():
            height = np.sin(np.pi * (low + high) / 2)
            for name in SPREAD:
                own = np.sort(rng.uniform(0, height + 0.5 if name.startswith("entropy") else 1, len(QUANTILES)))
                for quantile, value in zip(QUANTILES, own, strict=True):
                    spread.append((row.model_id, split, low, high, name, quantile, value, 100))
        matrices = {}
        for kind in ("clean", "mixed", "linear"):
            matrix = rng.uniform(0.05, 1, (classes, classes))
            np.fill_diagonal(matrix, np.nan)
            matrices[kind] = matrix / np.nansum(matrix, axis=1, keepdims=True)
        if classes == 2:
            matrices |= dict.fromkeys(("mixed", "linear"), np.full((2, 2), np.nan))
        if classes > 2:
            confusion.append((row.model_id, "test", 1.0, "explained_share", 0.2, 10))
        if row.role == "teacher":
            tests = similarity_tests(matrices).itertuples(index=False)
            confusion += [(row.model_id, "test", t, metric, value, count) for t, metric, value, count in tests]
            similarity.append(similarity_table(matrices).assign(model_id=row.model_id))
    columns = {
        "metrics": (metrics, ["model_id", "split", "metric", "value"]),
        "spread": (spread, ["model_id", "split", "lam_low", "lam_high", "metric", "quantile", "value", "count"]),
        "confusion": (confusion, ["model_id", "split", "softmax_temperature", "metric", "value", "count"]),
    }
    tables = {name: models.merge(pd.DataFrame(rows, columns=names)) for name, (rows, names) in columns.items()}
    none = similarity_table({"clean": np.full((2, 2), np.nan)}).assign(model_id="")
    tables["similarity"] = pd.concat(similarity, ignore_index=True) if similarity else none
    for name, table in tables.items():
        texts = [column for column in table if not pd.api.types.is_numeric_dtype(table[column])]
        tables[name] = table.astype(dict.fromkeys(texts, "category"))
    tables["classes"] = pd.DataFrame(
        {
            "label": np.arange(classes, dtype=np.int16),
            "name": names or [str(i) for i in range(classes)],
            "superclass": pd.array(superclass or [None] * classes, dtype="Int16"),
        }
    )
    return tables


@cache
def usual():
    scaled = grid(methods=("kd_mixup",), temperatures=("2",), scales=SCALES)
    return tables_of(grid(teachers=("big", "bigger")) + scaled, zero={("ce_mixup", 0), ("ce_mixup", 2)})


def test_they_are_listed():
    assert set(NAMES) <= set(FIGURES)


def matrix_of(ax):
    [mesh] = [found for found in ax.collections if isinstance(found, QuadMesh)]
    return mesh.get_array()


def test_similarity_is_the_mean_over_seeds():
    tables = usual()
    data, figure, caption = make("similarity", tables)
    teachers = [row["model_id"] for row in grid(seeds=4) if row["role"] == "teacher"]
    table = tables["similarity"]
    own = table[table["model_id"].isin(teachers)].groupby(["kind", "row", "column"], observed=True)["value"]
    for (kind, row, column), value in own.mean().items():
        entry = data[(data["kind"] == kind) & (data["row"] == row) & (data["column"] == column)]
        assert entry["mean"].item() == pytest.approx(value)
        assert entry["n"].item() == 4
        title = {"clean": "Clean", "mixed": "Mixed", "linear": "Linear mixture"}[kind]
        assert matrix_of(panel(figure, title))[row, column] == pytest.approx(value)
    assert set(data["teacher"]) == {"big"}
    assert all(matrix_of(ax).mask.sum() == 5 for ax in figure.axes[:3])  # the diagonal
    assert len({ax.collections[0].norm for ax in figure.axes[:3]}) == 1
    assert "Classes by label." in caption and "n = 4 seeds" in caption


@pytest.mark.parametrize("kind", ["clean", "linear"])
def test_similarity_writes_the_mean_correlation(kind):
    tables = usual()
    data, figure, _ = make("similarity", tables)
    table = tables["confusion"]
    table = table[(table["role"] == "teacher") & (table["model"] == "big")]
    rho = table.loc[table["metric"] == f"spearman_mixed_{kind}", "value"]
    p = table.loc[table["metric"] == f"mantel_p_mixed_{kind}", "value"].max()
    low, high = interval(rho)
    row = data[data["kind"] == kind].iloc[0]
    assert row[["rho", "rho_low", "rho_high", "rho_n", "p"]].tolist() == pytest.approx([rho.mean(), low, high, 4, p])
    below = f"ρ with mixed {rho.mean():.2f} [{low:.2f}, {high:.2f}]\nMantel p ≤ {p:.2g}".replace("-", "−")
    assert any(text.endswith(below) for text in words(figure))
    assert data.loc[data["kind"] == "mixed", "rho"].isna().all()


def test_similarity_orders_classes_by_superclass():
    tables = tables_of(grid(seeds=2), superclass=[1, 0, 1, 2, 0], names=["fox", "oak", "wolf", "tank", "elm"])
    data, figure, caption = make("similarity", tables)
    ax = figure.axes[0]
    order = ["oak", "elm", "fox", "wolf", "tank"]
    assert [label.get_text() for label in ax.get_xticklabels()] == order
    assert [label.get_text() for label in ax.get_yticklabels()] == order
    entry = data[(data["kind"] == "clean") & (data["row_name"] == "wolf") & (data["column_name"] == "elm")]
    assert matrix_of(ax)[3, 1] == pytest.approx(entry["mean"].item())
    assert (entry["row"].item(), entry["column"].item()) == (2, 4)
    borders = {line.get_xdata()[0] for line in ax.get_lines() if len(set(line.get_xdata())) == 1}
    assert borders == {2, 4}
    assert "superclass" in caption


@pytest.mark.parametrize("superclass", [None, [1, 0, 1, 0, 2]])
@pytest.mark.parametrize("gone", [0, 2, 4])
def test_a_class_without_an_image_has_an_empty_row(gone, superclass):
    tables = tables_of(grid(seeds=2), superclass=superclass, names=list("abcde"))
    tables["similarity"] = tables["similarity"][tables["similarity"]["row"] != gone]
    data, figure, caption = make("similarity", tables)
    place = data.loc[data["column"] == gone, "column_place"].iloc[0]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(names) == list("abcde") and names[place] == "abcde"[gone]
    for ax in figure.axes[:3]:
        empty = matrix_of(ax).mask
        assert empty[place].all() and empty.sum() == 5 + 4
    borders = {line.get_xdata()[0] for line in figure.axes[0].get_lines() if len(set(line.get_xdata())) == 1}
    assert borders == ({2, 4} if superclass else set())
    assert ("superclass" in caption) is bool(superclass)


@pytest.mark.parametrize("kind", ["clean", "mixed", "linear"])
def test_similarity_without_one_of_its_matrices_says_so(kind):
    tables = tables_of(grid(seeds=1))
    tables["similarity"] = tables["similarity"][tables["similarity"]["kind"] != kind]
    assert words(make("similarity", tables)[1]) == [module("similarity").MISSING]


def test_similarity_of_many_classes_has_no_names():
    figure = make("similarity", tables_of(grid(seeds=2), classes=21))[1]
    assert all(len(ax.get_xticks()) == 0 for ax in figure.axes[:3])


def test_inheritance_pairs_students_with_their_own_teacher():
    tables = usual()
    data, figure, caption = make("inheritance", tables)
    table = tables["metrics"][tables["metrics"]["split"] == "test"]
    assert len(data) == 4 * 5
    assert set(data["teacher"]) == {"big"}  # the other one has one logit scale
    for row in data.itertuples():
        teacher = table[(table["role"] == "teacher") & (table["model"] == "big") & (table["seed"] == row.seed)]
        name = "confidence_gap" if row.logit_scale == 1 else f"confidence_gap_c{row.logit_scale:g}"
        own = table[
            (table["method"] == "kd_mixup") & (table["seed"] == row.seed) & (table["teacher"] == "big")
            & (table["temperature"] == "2") & (table["logit_scale"] == row.logit_scale)
        ].set_index("metric")["value"]  # fmt: skip
        expected = [teacher.set_index("metric")["value"][name], own["confidence_gap"], own["accuracy"]]
        assert [row.teacher_gap, row.student_gap, row.accuracy] == pytest.approx([100 * value for value in expected])
    ax = panel(figure, "big → small")
    [points] = [c for c in ax.collections if isinstance(c, PathCollection)]
    np.testing.assert_allclose(points.get_offsets(), data[["teacher_gap", "student_gap"]])
    bar = figure.axes[-1].collections[-1]
    np.testing.assert_allclose(points.get_facecolor(), matplotlib.colormaps["viridis_r"](bar.norm(data["accuracy"])))
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 5]
    assert len(lines) == 4
    np.testing.assert_allclose(lines[1].get_ydata(), data.loc[data["seed"] == 1, "student_gap"])
    assert "T = 2" in caption and "n = 4 seeds" in caption


def test_inheritance_takes_the_temperature_nearest_to_two():
    scaled = {"methods": ("kd_mixup",), "scales": SCALES[:3], "seeds": 2}
    models = grid(temperatures=("4", "16", "std"), **scaled) + grid(methods=("kd_mixup",), temperatures=("2",), seeds=2)
    data = module("inheritance").data(tables_of(models))
    assert set(data["temperature"]) == {"4"}
    two = tables_of(grid(methods=("kd_mixup",), scales=(0.5, 1.0)))
    assert len(module("inheritance").data(two)) == 0


@pytest.mark.parametrize(("method", "seeds"), [("ce", [0, 1, 2, 3]), ("ce_mixup", [1, 3]), ("kd", [0, 1, 2, 3])])
def test_overconfidence_is_paired_by_seed_and_leaves_out_zeros(method, seeds):
    tables = usual()
    data, figure, caption = make("overconfidence", tables)
    table = tables["metrics"]
    table = table[(table["split"] == "test") & (table["metric"] == "oe") & (table["role"] == "student")]
    chosen = (table["teacher"] == "bigger") & (table["temperature"] == "4")
    own = table[chosen & (table["method"] == "kd_mixup")].set_index("seed")["value"]
    theirs = table[(table["method"] == method) & (chosen | table["teacher"].isna())].set_index("seed")["value"]
    ratios = np.log([theirs[seed] / own[seed] for seed in seeds])
    row = data[(data["teacher"] == "bigger") & (data["temperature"] == "4") & (data["method"] == method)]
    expected = [ratios.mean(), *interval(ratios), len(seeds), 4 - len(seeds)]
    assert row[["mean", "low", "high", "n", "zero"]].to_numpy(dtype=float)[0] == pytest.approx(expected)
    ax = panel(figure, "bigger → small")
    wanted = np.exp(interval(ratios))
    assert any(bar[:, 0] == pytest.approx(wanted) for bar in bars_of(ax, style.COLOURS[method]))
    places = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    seen = [any(np.isclose(own[:, 0], np.exp(ratios.mean()))) for own in places]
    assert seen == [True] + [method == "ce_mixup"] * (len(places) - 1)  # the second are white cores
    assert "ratios left out: 12" in caption


def test_overconfidence_has_its_reference_lines():
    ax = make("overconfidence", tables_of(grid(seeds=20, temperatures=("2",))))[1].axes[0]
    lines = sorted(line.get_xdata()[0] for line in ax.get_lines() if line.get_color() == "0.3")
    assert lines == pytest.approx([1, 10**0.5, 10])
    ax.figure.draw_without_rendering()
    assert {"0.1×", "1×", "10×"} <= {label.get_text() for label in ax.get_xticklabels()}


def test_overconfidence_when_every_oe_is_zero():
    data, figure, caption = make("overconfidence", tables_of(grid(), zero={("kd_mixup", s) for s in range(4)}))
    assert (data["n"] == 0).all() and len(data) == 9
    assert "places empty because no seed is left: 9" in caption
    assert isinstance(figure, Figure)


def test_overconfidence_axis_does_not_follow_a_huge_interval():
    tables = tables_of(grid(seeds=2), seed=3)
    table = tables["metrics"]
    table.loc[(table["method"] == "ce") & (table["seed"] == 0), "value"] = 1e-7
    data, figure, caption = make("overconfidence", tables)
    low, high = figure.axes[0].get_xlim()
    assert low > np.exp(data["mean"].min()) / 150 and high < np.exp(data["mean"].max()) * 150 + 10 * 150
    assert "Bars that leave the axis are cut." in caption


CASES = {
    "one_seed": lambda: tables_of(grid(teachers=("big", "bigger"), seeds=1, scales=SCALES)),
    "no_teacher": lambda: tables_of(grid(methods=("ce", "ce_mixup"))),
    "no_mixup": lambda: tables_of(grid(methods=("ce", "kd"), scales=SCALES)),
    "only_kd_mixup": lambda: tables_of(grid(methods=("kd_mixup",), scales=SCALES, seeds=2)),
    "only_std": lambda: tables_of(grid(temperatures=("std",), scales=SCALES, seeds=2)),
    "mixup_teacher_only": lambda: tables_of(grid(teacher_alpha=1.0, scales=SCALES, seeds=2)),
    "two_classes": lambda: tables_of(grid(seeds=2), classes=2),
    "three_classes": lambda: tables_of(grid(seeds=2), classes=3),
    "many": lambda: tables_of(grid(teachers=("a", "b"), students=("s", "t"), scales=SCALES, seeds=2)),
    "nothing": lambda: {
        name: table if name == "classes" else table[:0] for name, table in tables_of(grid(seeds=1)).items()
    },
}
MISSING = {
    ("confusion", "no_teacher"), ("confusion", "nothing"),
    ("similarity", "no_teacher"), ("similarity", "mixup_teacher_only"), ("similarity", "nothing"),
    ("similarity", "two_classes"),
    ("inheritance", "no_teacher"), ("inheritance", "no_mixup"), ("inheritance", "only_std"),
    ("inheritance", "mixup_teacher_only"), ("inheritance", "two_classes"), ("inheritance", "three_classes"),
    ("inheritance", "nothing"),
    ("overconfidence", "no_teacher"), ("overconfidence", "no_mixup"), ("overconfidence", "only_kd_mixup"),
    ("overconfidence", "only_std"), ("overconfidence", "mixup_teacher_only"), ("overconfidence", "nothing"),
}  # fmt: skip


@cache
def tables_of_case(case):
    return CASES[case]()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_drawn_whatever_runs_are_missing(name, case, tmp_path):
    data, figure, caption = make(name, tables_of_case(case))
    assert caption.endswith(".") and "{" not in caption
    assert (len(data) == 0) is ((name, case) in MISSING)
    if not len(data):
        assert words(figure) == [module(name).MISSING] == [caption]
    figure.draw_without_rendering()
    path = tmp_path / "data.parquet"
    data.to_parquet(path, index=False)
    again = pd.read_parquet(path)
    again = again.astype(object).where(again.notna(), None)
    pd.testing.assert_frame_equal(again, data.astype(object).where(data.notna(), None))


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_has_no_interval(name):
    caption = make(name, tables_of_case("one_seed"))[2]
    assert "one seed" in caption.lower() and "t-interval" not in caption


@pytest.mark.parametrize("name", NAMES)
def test_text_is_legible_and_nothing_is_cut_off(name):
    long = [f"a long name {i}" for i in range(20)]
    for tables in (usual(), tables_of(grid(seeds=2, scales=SCALES), 20, names=long)):
        figure = make(name, tables)[1]
        sizes = [text.get_fontsize() for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))]
        assert min(sizes) >= 7
        assert figure.get_figwidth() in (style.COLUMN, style.PAGE)
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        assert box.x0 >= -0.01 and box.y0 >= -0.01
        assert box.x1 <= figure.get_figwidth() + 0.01 and box.y1 <= figure.get_figheight() + 0.01


@pytest.mark.parametrize("name", NAMES)
def test_drawn_again_from_its_parquet_it_shows_the_same(name, tmp_path):
    data, figure, caption = make(name, tables_of_case("one_seed"))
    data.to_parquet(tmp_path / "data.parquet", index=False)
    data = pd.read_parquet(tmp_path / "data.parquet")
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False}):
        again, said = drawn(module(name), data)
    assert pixels(again) == pixels(figure)
    assert said == caption


def test_input_tables_stay_as_they_were():
    tables = {name: table.copy() for name, table in usual().items()}
    for name in NAMES:
        make(name, tables)
    for name, table in usual().items():
        pd.testing.assert_frame_equal(tables[name], table)

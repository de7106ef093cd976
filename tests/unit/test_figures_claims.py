"""The figures that go with the claims, from small made-up tables: what is drawn equals what is computed by hand."""

import matplotlib
import numpy as np
import pytest
from claim_figures import NAMES, SCALES, grid, tables_of, usual
from figure_tables import bars_of, interval, make, module, panel, words
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure

from vicinal.analysis.figures import FIGURES, style


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


def test_overconfidence_draws_a_ratio_far_from_one_at_the_edge():
    """Else a baseline without any overconfidence presses all others together."""
    tables = tables_of(grid(seeds=4))
    table = tables["metrics"]
    near, _, said = make("overconfidence", tables)
    table.loc[(table["method"] == "ce") & (table["metric"] == "oe"), "value"] = 1e-9
    data, figure, caption = make("overconfidence", tables)
    assert data["mean"].min() < np.log(1e-5) < near["mean"].min()
    low = figure.axes[0].get_xlim()[0]
    assert 1 / 150 < low < 1 / 100
    drawn = np.concatenate([np.asarray(points.get_offsets()) for points in figure.axes[0].collections])
    assert min(x for x, _ in drawn if x > 0) == pytest.approx(1 / 100, rel=0.3)
    assert "Points at its edge lie beyond" in caption and "Points at its edge" not in said

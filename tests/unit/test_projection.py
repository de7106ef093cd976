"""Points in the plane of three class means: where geometry says, the same images for all models, or none."""

import numpy as np
import pandas as pd
import pytest
from figure_tables import make, panel, pixels, style, usual, usual_figure, words
from matplotlib.collections import PathCollection

from vicinal.analysis.figures import projection
from vicinal.analysis.schema import tidy
from vicinal.evaluation.pairs import Pairs, vicinal_pairs
from vicinal.evaluation.projection import CLEAN, COLUMNS, MIXED, plane_classes, projection_table


def rotation(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def drawn(classes=4, images=400, seed=0):
    """Return features around a mean a class, labels, pairs, and the features of a network linear between images."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    clean = rng.normal(size=(images, 12)) + 9 * rng.normal(size=(classes, 12))[labels]
    pairs = vicinal_pairs(labels, 2000, seed)
    mixed = pairs.lam[:, None] * clean[pairs.i] + (1 - pairs.lam)[:, None] * clean[pairs.j]
    return clean, mixed, labels, pairs


def of_kind(table, kind):
    return table[table["kind"] == kind].set_index("point")


def test_points_lie_where_geometry_says():
    corners = np.array([[0, 0], [4, 0], [1, 3]])
    offsets = np.array([[1, 0], [-1, 0], [0, 2], [0, -2]])
    flat = np.concatenate([corner + offsets for corner in corners])
    labels = np.repeat([2, 5, 7], 4)
    pairs = Pairs(np.array([0, 4, 8, 0]), np.array([4, 8, 3, 1]), np.array([0.25, 0.5, 0.9, 0.5]))
    halfway = pairs.lam[:, None] * flat[pairs.i] + (1 - pairs.lam)[:, None] * flat[pairs.j]
    # The plane somewhere in seven dimensions, and a part at right angles to it that nothing may depend on.
    turn, far = rotation(7), np.random.default_rng(1).normal(size=7)

    def features(places, beside):
        return np.column_stack([places, beside * np.ones((len(places), 5))]) @ turn.T + far

    table = projection_table(features(flat, 0.0), features(halfway, 8.0), labels, pairs)
    centre = corners.mean(axis=0)
    np.testing.assert_allclose(of_kind(table, "mean")[["x", "y"]], corners - centre, atol=1e-6)
    np.testing.assert_allclose(of_kind(table, "clean")[["x", "y"]], flat - centre, atol=1e-6)
    assert of_kind(table, "clean")["label"].tolist() == labels.tolist()
    mixed = of_kind(table, "mixed")
    np.testing.assert_allclose(mixed[["x", "y"]], (halfway - centre)[:3], atol=1e-6)  # the last is of one class
    assert mixed["label"].tolist() == [2, 5, 7] and mixed["other"].tolist() == [5, 7, 2]
    assert mixed["lam"].tolist() == pytest.approx([0.25, 0.5, 0.9])


def test_the_points_are_the_first_and_the_same_for_all_models():
    clean, mixed, labels, pairs = drawn()
    tables = [
        projection_table(clean, mixed, labels, pairs),
        projection_table(clean[:, ::-1] ** 2, mixed, labels, pairs),
    ]
    for kind, column in (("clean", "label"), ("mixed", "label"), ("mixed", "other"), ("mixed", "lam")):
        one, other = (of_kind(table, kind)[column] for table in tables)
        assert one.tolist() == other.tolist()
    assert tables[0].dtypes.astype(str).to_dict() == COLUMNS
    classes = plane_classes(labels, pairs)
    assert of_kind(tables[0], "clean")["label"].value_counts().to_dict() == dict.fromkeys(classes, CLEAN)
    own = [(a, b, lam) for a, b, lam in zip(labels[pairs.i], labels[pairs.j], pairs.lam, strict=True)
           if a != b and {a, b} <= set(classes)]  # fmt: skip
    found = of_kind(tables[0], "mixed")[["label", "other", "lam"]].to_numpy()
    assert len(own) > MIXED == len(found)
    np.testing.assert_allclose(found, own[:MIXED], rtol=1e-6)


def test_the_classes_are_those_with_the_most_pairs():
    labels = np.array([1, 1, 3, 3, 4, 6])
    pairs = Pairs(np.array([2, 4, 5, 0, 0, 1, 4]), np.array([4, 3, 2, 1, 1, 0, 5]), np.full(7, 0.5))
    # 3 and 4 have two pairs; 6 has two with these, 1 none; the three of 1 with itself do not count.
    assert plane_classes(labels, pairs) == [3, 4, 6]
    assert plane_classes(labels[:4], Pairs(np.array([0]), np.array([2]), np.array([0.5]))) == [1, 3]
    # One image a class and no pair with a third: still three classes.
    assert plane_classes(np.array([0, 1, 2]), Pairs(np.array([1]), np.array([2]), np.array([0.5]))) == [0, 1, 2]


@pytest.mark.parametrize("case", ["two classes", "one dimension", "means on a line"])
def test_without_a_plane_there_is_no_point_and_a_line_says_why(case, capsys):
    clean, mixed, labels, pairs = drawn(2 if case == "two classes" else 4)
    if case == "one dimension":
        clean, mixed = clean[:, :1], mixed[:, :1]
    if case == "means on a line":
        clean = np.outer(clean[:, 0], np.ones(12))
    table = projection_table(clean, mixed, labels, pairs)
    assert len(table) == 0 and table.dtypes.astype(str).to_dict() == COLUMNS
    why = "must be three classes" if case == "two classes" else "lie on a line"
    assert why in capsys.readouterr().out


def offsets_of(ax):
    return np.concatenate([c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)])


def test_the_figure_shows_the_points_of_the_lowest_seed_in_one_scale():
    data, figure, caption = usual_figure("projection")
    assert list(data["method"].unique()) == list(projection.METHODS)
    assert set(data["teacher"]) == {"big"} and set(data["seed"]) == {0}
    metrics, points = usual()["metrics"], tidy("projection", usual()["projection"])
    chosen = metrics[(metrics["method"] == "kd_mixup") & (metrics["teacher"] == "big") & (metrics["seed"] == 0)]
    chosen = chosen[(chosen["temperature"] == "2") & (chosen["alpha"] == 1) & (chosen["logit_scale"] == 1)]
    chosen = chosen[chosen["teacher_mixup_alpha"].isna() & (chosen["kd_weight"] == 1)]
    assert chosen["model_id"].nunique() == 1
    own = points[points["model_id"] == chosen["model_id"].iloc[0]]
    means = own[own["kind"] == "mean"][["x", "y"]].to_numpy(dtype=float)
    scale = np.sqrt(np.square(means).sum(axis=1).mean())
    ax = panel(figure, style.LABELS["kd_mixup"])
    expected = own[own["kind"] != "mean"][["x", "y"]].to_numpy(dtype=float) / scale
    found = offsets_of(ax)
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], rtol=1e-5)
    [triangle] = ax.get_lines()
    np.testing.assert_allclose(triangle.get_xydata(), means[[0, 1, 2, 0]] / scale, rtol=1e-5)
    assert ax.get_aspect() == 1 and len({own.get_xlim() for own in figure.axes}) == 1
    number = own["kind"].value_counts()
    assert f"The same {number['clean']} images and {number['mixed']} mixed inputs" in caption
    assert "big → small, seed 0" in caption


def test_a_mixed_input_has_the_colours_of_its_classes_mixed_as_its_images():
    data, figure, _ = usual_figure("projection")
    rows = data[(data["method"] == "kd") & (data["kind"] == "mixed")].sort_values("point")
    colours = np.array([style.tint(colour, 1) for colour in projection.COLOURS])
    one, other = (colours[rows[side].astype(int)] for side in ("place", "other_place"))
    lam = rows[["lam"]].to_numpy(dtype=float)
    drawn = panel(figure, style.LABELS["kd"]).collections[-1]
    np.testing.assert_allclose(drawn.get_offsets(), rows[["x", "y"]])
    np.testing.assert_allclose(drawn.get_facecolor()[:, :3], lam * one + (1 - lam) * other)


def test_names_of_classes_are_in_the_legend():
    names = ["fox", "oak", "elm", "ape"]
    tables = {**usual(), "classes": pd.DataFrame({"label": range(4), "name": names})}
    data, figure, _ = make("projection", tables)
    shown = [names[label] for label in sorted(data["label"].unique())]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*shown, "Mixed input, λ from 1 to 0"]


def test_without_a_plane_the_figure_says_so():
    tables = {**usual(), "projection": usual()["projection"][:0]}
    data, figure, caption = make("projection", tables)
    assert len(data) == 0 and words(figure) == [caption] == [projection.MISSING]
    no_mixed = usual()["projection"]
    figure = make("projection", {**usual(), "projection": no_mixed[no_mixed["kind"] != "mixed"]})[1]
    assert pixels(figure) != pixels(usual_figure("projection")[1])

"""Confusion on mixed inputs against SciPy and straight loops over pairs, and models whose answer is known."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats

from vicinal.evaluation.confusion import (
    COLUMNS,
    KINDS,
    TEMPERATURES,
    confusion_table,
    explained_share,
    other_classes,
    peak_pairs,
    similarity_matrices,
    similarity_table,
    similarity_tests,
)
from vicinal.evaluation.metrics import MetricError
from vicinal.evaluation.pairs import Pairs, vicinal_pairs
from vicinal.evaluation.rank_tests import PERMUTATIONS

CLASSES = 6


def draw(shape, seed, scale=2.0):
    return scale * np.random.default_rng(seed).normal(size=shape)


def make(classes=CLASSES, images=120, count=900, seed=0):
    """Clean logits that know their class, mixed logits that know little, pairs and labels."""
    labels = np.random.default_rng(seed).permutation(np.arange(images) % classes)
    clean = draw((images, classes), seed + 1)
    clean[np.arange(images), labels] += 3
    return clean, draw((count, classes), seed + 2), vicinal_pairs(labels, count, seed), labels


def linear_logits(clean, pairs, temperature):
    """The logits on x̃ of a model that is linear between its inputs at one temperature."""
    p = scipy.special.softmax(clean / temperature, axis=1)
    lam = pairs.lam[:, None]
    return temperature * np.log(lam * p[pairs.i] + (1 - lam) * p[pairs.j])


def loop(clean, mixed, pairs, labels, temperature):
    """One row a peak pair of different classes, by SciPy, and its q and r as dictionaries by class."""
    rows, distributions = [], []
    for m, (i, j, lam) in enumerate(zip(pairs.i, pairs.j, pairs.lam, strict=True)):
        a, b = int(labels[i]), int(labels[j])
        if a == b or not 0.45 < lam < 0.55:
            continue
        p_i, p_j, p = (scipy.special.softmax(z / temperature) for z in (clean[i], clean[j], mixed[m]))
        linear = lam * p_i + (1 - lam) * p_j
        rest = [k for k in range(len(p)) if k not in (a, b)]
        q, r = p[rest] / p[rest].sum(), linear[rest] / linear[rest].sum()
        r_logits = scipy.special.softmax(lam * clean[i][rest] / temperature + (1 - lam) * clean[j][rest] / temperature)
        rows.append(
            {
                "kl": scipy.special.rel_entr(q, r).sum(),
                "kl_logits": scipy.special.rel_entr(q, r_logits).sum(),
                "kl_uniform": math.log(len(rest)) - scipy.stats.entropy(q),
                "entropy_clean": (scipy.stats.entropy(p_i) + scipy.stats.entropy(p_j)) / 2,
                "entropy_mixed": scipy.stats.entropy(p),
                "entropy_linear": scipy.stats.entropy(linear),
                "source_mass_mixed": p[a] + p[b],
                "source_mass_clean": linear[a] + linear[b],
            }
        )
        distributions.append((a, b, lam, dict(zip(rest, q, strict=True)), dict(zip(rest, r, strict=True))))
    return pd.DataFrame(rows), distributions


def by_metric(table, temperature):
    return table[table["temperature"] == temperature].set_index("metric")["value"].to_dict()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_every_row_matches_a_loop_over_pairs(temperature):
    data = make()
    table = confusion_table(*data)
    assert table.columns.tolist() == list(COLUMNS)
    pairs, _ = loop(*data, temperature)
    mean = pairs.mean()
    found = by_metric(table, temperature)
    expected = {
        "explained_share": 1 - pairs["kl"].sum() / pairs["kl_uniform"].sum(),
        "explained_share_logits": 1 - pairs["kl_logits"].sum() / pairs["kl_uniform"].sum(),
        "entropy_increase": mean["entropy_mixed"] - mean["entropy_clean"],
        "entropy_excess": mean["entropy_mixed"] - mean["entropy_linear"],
        **mean.drop(["kl", "kl_logits", "kl_uniform"]),
    }
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert set(table["count"]) == {len(pairs)}
    assert len(pairs) > 50


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("classes", [4, 10])
def test_a_linear_model_explains_everything(classes, temperature):
    clean, _, pairs, labels = make(classes)
    found = by_metric(confusion_table(clean, linear_logits(clean, pairs, temperature), pairs, labels), temperature)
    assert found["explained_share"] == pytest.approx(1, abs=1e-9)
    assert found["entropy_excess"] == pytest.approx(0, abs=1e-12)
    assert found["entropy_increase"] > 0  # entropy is concave
    assert found["source_mass_mixed"] == pytest.approx(found["source_mass_clean"], abs=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_model_with_linear_logits_is_explained_by_their_mixture_alone(temperature):
    clean, _, pairs, labels = make(10)
    lam = pairs.lam[:, None]
    mixed = lam * clean[pairs.i] + (1 - lam) * clean[pairs.j]
    found = by_metric(confusion_table(clean, mixed, pairs, labels), temperature)
    assert found["explained_share_logits"] == pytest.approx(1, abs=1e-9)
    assert found["explained_share"] < 1 - 1e-4
    # What all logits of an image have in common says nothing.
    shifted = by_metric(confusion_table(clean + draw((len(clean), 1), 5), mixed, pairs, labels), temperature)
    assert shifted == pytest.approx(found, rel=1e-9, abs=1e-12)


def test_a_guess_no_better_than_uniform_explains_nothing():
    _, mixed, pairs, labels = make()
    sharp = np.zeros((len(labels), CLASSES))
    sharp[np.arange(len(labels)), labels] = 5  # clean answers tell no other classes apart: r is uniform
    found = by_metric(confusion_table(sharp, mixed, pairs, labels), 1.0)
    assert found["explained_share"] == pytest.approx(0, abs=1e-12)
    assert found["explained_share_logits"] == pytest.approx(0, abs=1e-12)


def test_a_model_that_tells_no_other_classes_apart_has_no_share():
    clean, mixed, pairs, labels = make()
    table = confusion_table(clean, np.zeros_like(mixed), pairs, labels)
    assert not {"explained_share", "explained_share_logits"} & set(table["metric"])
    assert by_metric(table, 2.0)["entropy_mixed"] == pytest.approx(math.log(CLASSES))
    q = other_classes(np.full((5, 6), 1 / 6), [0] * 5, [1] * 5)
    assert math.isnan(explained_share(q, q, [0] * 5, [1] * 5))


def test_three_classes_leave_one_other_and_two_leave_none():
    table = confusion_table(*make(3))
    assert set(table["metric"]) == {
        "entropy_clean", "entropy_mixed", "entropy_linear", "entropy_increase", "entropy_excess",
        "source_mass_mixed", "source_mass_clean",
    }  # fmt: skip
    assert np.isfinite(table["value"]).all()
    two = confusion_table(*make(2))
    assert two.empty
    assert two.dtypes["value"] == np.float64
    matrices = similarity_matrices(*make(2))
    assert np.isnan(matrices["mixed"]).all()
    assert matrices["clean"][0, 1] == 1
    assert similarity_tests(matrices).empty
    # Every row of the mixed matrix of three classes is (1/2, 1/2): no ranks to compare.
    assert similarity_tests(similarity_matrices(*make(3))).empty


def test_without_a_peak_pair_of_different_classes_there_are_no_rows():
    clean, mixed, pairs, labels = make(count=3)
    for lam, other in ((0.45, pairs.j), (0.55, pairs.j), (0.5, pairs.i)):
        without = Pairs(pairs.i, other, np.full(3, lam))
        assert confusion_table(clean, mixed, without, labels).empty
        matrices = similarity_matrices(clean, mixed, without, labels)
        assert np.isnan(matrices["mixed"]).all()
        assert set(similarity_table(matrices)["kind"]) == {"clean"}
        assert similarity_tests(matrices).empty


def test_pairs_whose_other_classes_underflow_are_left_out_of_the_share():
    clean, mixed, pairs, labels = make()
    expected, _ = loop(clean, mixed, pairs, labels, 1.0)
    peak = np.flatnonzero((labels[pairs.i] != labels[pairs.j]) & (np.abs(pairs.lam - 0.5) < 0.05))
    mixed[peak[0]] = np.where(np.arange(CLASSES) == labels[pairs.i[peak[0]]], 2000, 0)
    table = confusion_table(clean, mixed, pairs, labels)
    rows = table[table["temperature"] == 1].set_index("metric")
    assert rows.loc["explained_share", "count"] == len(expected) - 1
    assert rows.loc["entropy_mixed", "count"] == len(expected)
    left = expected.iloc[1:]
    assert rows.loc["explained_share", "value"] == pytest.approx(1 - left["kl"].sum() / left["kl_uniform"].sum())


def test_other_classes_removes_the_sources_and_renormalises():
    found = other_classes([[0.1, 0.2, 0.3, 0.4], [1.0, 0, 0, 0]], [0, 0], [3, 1])
    assert found[0] == pytest.approx([0, 0.4, 0.6, 0])
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_matrices_match_a_loop(temperature):
    clean, mixed, pairs, labels = make()
    found = similarity_matrices(clean, mixed, pairs, labels, temperature)
    p = scipy.special.softmax(clean / temperature, axis=1)
    _, distributions = loop(clean, mixed, pairs, labels, temperature)
    for kind, at in (("clean", None), ("mixed", 3), ("linear", 4)):
        for c in range(CLASSES):
            row = {}
            for k in set(range(CLASSES)) - {c}:
                if kind == "clean":
                    row[k] = np.mean([p[n, k] for n in range(len(p)) if labels[n] == c])
                    continue
                top = bottom = 0.0
                for pair in distributions:
                    weight = {pair[0]: pair[2], pair[1]: 1 - pair[2]}
                    if c in weight and k in pair[at]:
                        top, bottom = top + weight[c] * pair[at][k], bottom + weight[c]
                row[k] = top / bottom
            for k, value in row.items():
                assert found[kind][c, k] == pytest.approx(value / sum(row.values()), rel=1e-9), (kind, c, k)
    assert np.isnan(np.diag(found["mixed"])).all()


def test_entries_that_no_image_or_pair_bears_on_are_left_out():
    clean, mixed = draw((4, 5), 0), draw((1, 5), 1)
    pair = Pairs(np.array([0]), np.array([1]), np.array([0.5]))
    matrices = similarity_matrices(clean, mixed, pair, np.arange(4))
    assert np.isnan(matrices["clean"][4]).all()
    assert np.argwhere(np.isfinite(matrices["mixed"])).tolist() == [[0, 2], [0, 3], [0, 4], [1, 2], [1, 3], [1, 4]]
    table = similarity_table(matrices)
    assert table.groupby("kind", observed=True).size().to_dict() == {"clean": 16, "linear": 6, "mixed": 6}
    assert table.groupby(["kind", "row"], observed=True)["value"].sum().to_numpy() == pytest.approx(1, abs=1e-6)
    assert np.isfinite(similarity_tests(matrices)["value"]).all()


def test_similarity_table_holds_the_matrices():
    matrices = similarity_matrices(*make())
    table = similarity_table(matrices)
    assert len(table) == 3 * CLASSES * (CLASSES - 1)
    kinds = {"kind": "category", "row": "int16", "column": "int16", "value": "float32"}
    assert table.dtypes.astype(str).to_dict() == kinds
    for kind in KINDS:
        wide = table[table["kind"] == kind].pivot(index="row", columns="column", values="value")
        np.testing.assert_allclose(wide.to_numpy(), matrices[kind], rtol=1e-6)


def test_tests_tell_a_linear_model_from_a_confused_one():
    clean, _, pairs, labels = make(10, images=400, count=4000)
    linear = similarity_matrices(clean, linear_logits(clean, pairs, 2.0), pairs, labels)
    found = similarity_tests(linear).set_index("metric")
    assert found.loc["spearman_mixed_linear", "value"] == pytest.approx(1, abs=1e-6)
    assert found.loc["mantel_p_mixed_linear", "value"] == 1 / (1 + PERMUTATIONS)
    assert found["count"].to_dict() == {
        "spearman_mixed_linear": 90,
        "spearman_mixed_clean": 90,
        "mantel_p_mixed_linear": 45,
        "mantel_p_mixed_clean": 45,
    }
    confused = similarity_tests(similarity_matrices(clean, draw((4000, 10), 9), pairs, labels)).set_index("metric")
    assert abs(confused.loc["spearman_mixed_linear", "value"]) < 0.4


@pytest.mark.parametrize("measure", [confusion_table, similarity_matrices])
def test_numbers_that_are_not_finite_get_one_clear_line(measure):
    clean, mixed, pairs, labels = make()
    assert len(peak_pairs(clean, mixed, pairs, labels).lam) > 0
    with pytest.raises(MetricError, match="logits: row 0 is not finite"):
        measure(clean, np.full_like(mixed, np.inf), pairs, labels)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(MetricError, match="temperature: must be above 0"):
        similarity_matrices(*make(), temperature=0)

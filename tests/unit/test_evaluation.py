"""The tables of evaluation against per-pair SciPy values averaged by pandas, and small cases by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
import torch
from scipy.spatial.distance import jensenshannon

from vicinal.evaluation import measures as evaluation
from vicinal.evaluation import metrics
from vicinal.evaluation.measures import spread_table, vicinal_table
from vicinal.evaluation.metrics import MetricError
from vicinal.evaluation.pairs import Pairs, vicinal_pairs

torch.set_num_threads(1)
CLASSES = 6


def draw(n, seed, scale=2.0):
    return scale * np.random.default_rng(seed).normal(size=(n, CLASSES))


@pytest.fixture(scope="module")
def vicinity():
    """Labels, pairs and the logits of a model and a teacher on 700 pairs."""
    labels = np.random.default_rng(0).integers(0, CLASSES, 90)
    pairs = vicinal_pairs(labels, 700, seed=0)
    return labels, pairs, draw(700, 1), draw(700, 2), draw(700, 3, 1.5), draw(700, 4)


def expected_per_pair(labels, pairs, logits_i, logits_j, logits_mixed, teacher):
    """One row a pair, every metric by SciPy or by its words."""
    p_i, p_j, mixed, taught = (scipy.special.softmax(x, axis=1) for x in (logits_i, logits_j, logits_mixed, teacher))
    linear = pairs.lam[:, None] * p_i + (1 - pairs.lam[:, None]) * p_j
    sources = [{labels[i], labels[j]} for i, j in zip(pairs.i, pairs.j, strict=True)]
    h = scipy.stats.entropy
    return pd.DataFrame(
        {
            "lam": pairs.lam,
            "same": [len(s) == 1 for s in sources],
            "nonlinearity": scipy.special.rel_entr(linear, mixed).sum(axis=1),
            "jsd": jensenshannon(linear, mixed, axis=1) ** 2,
            "miss_rate": [float(m.argmax() not in s) for m, s in zip(mixed, sources, strict=True)],
            "entropy_clean": (h(p_i, axis=1) + h(p_j, axis=1)) / 2,
            "entropy_mixed": h(mixed, axis=1),
            "entropy_linear": h(linear, axis=1),
            "source_mass_mixed": [m[list(s)].sum() for m, s in zip(mixed, sources, strict=True)],
            "source_mass_linear": [m[list(s)].sum() for m, s in zip(linear, sources, strict=True)],
            "confidence_mixed": mixed.max(axis=1),
            "agreement": (mixed.argmax(axis=1) == taught.argmax(axis=1)).astype(float),
            "kl_teacher": scipy.special.rel_entr(taught, mixed).sum(axis=1),
        }
    )


def expected_rows(per_pair):
    """{(pairs, lam_low, lam_high, metric): (value, count)} for every group that is not empty."""
    names = [name for name in per_pair if name not in ("lam", "same")]
    ranges = [(0.0, 1.0, per_pair.lam >= 0)]
    ranges += [(k / 20, (k + 1) / 20, np.floor(per_pair.lam * 20) == k) for k in range(20)]
    ranges += [(0.45, 0.55, (per_pair.lam > 0.45) & (per_pair.lam < 0.55))]
    found = {}
    for kind, of_kind in (("all", True), ("same", per_pair.same), ("different", ~per_pair.same)):
        for low, high, within in ranges:
            group = per_pair[within & of_kind]
            if len(group):
                for name in names:
                    found[kind, low, high, name] = (group[name].mean(), len(group))
    return found


def expected_weights(per_pair, pairs, logits):
    """{(pairs, 0, 1, imitation_weight): (value, count)}: the best of a grid, by SciPy."""
    p_i, p_j, mixed, taught = (scipy.special.softmax(x, axis=1) for x in logits)
    linear = pairs.lam[:, None] * p_i + (1 - pairs.lam[:, None]) * p_j
    grid = np.linspace(0, 1, 1001)
    distances = np.stack([scipy.special.rel_entr(a * linear + (1 - a) * taught, mixed).sum(axis=1) for a in grid])
    kinds = {"all": per_pair.lam >= 0, "same": per_pair.same, "different": ~per_pair.same}
    return {
        (kind, 0.0, 1.0, "imitation_weight"): (grid[distances[:, of_kind].mean(axis=1).argmin()], of_kind.sum())
        for kind, of_kind in kinds.items()
    }


def as_rows(table):
    assert list(table) == ["pairs", "lam_low", "lam_high", "metric", "value", "count"]
    keys = zip(table.pairs, table.lam_low, table.lam_high, table.metric, strict=True)
    rows = dict(zip(keys, zip(table.value, table["count"], strict=True), strict=True))
    assert len(rows) == len(table)
    return rows


@pytest.mark.parametrize("chunk", [1, 600, 1 << 17])
def test_the_vicinal_table_matches_scipy_and_pandas(vicinity, monkeypatch, chunk):
    monkeypatch.setattr(evaluation, "_CHUNK_ELEMENTS", chunk)
    labels, pairs, logits_i, logits_j, logits_mixed, teacher = vicinity
    per_pair = expected_per_pair(*vicinity)
    expected = expected_rows(per_pair)
    rows = as_rows(vicinal_table(logits_i, logits_j, logits_mixed, pairs, labels, teacher))
    for key, (value, count) in expected_weights(per_pair, pairs, vicinity[2:]).items():
        assert rows[key][0] == pytest.approx(value, abs=1.1e-3), key
        assert rows.pop(key)[1] == count, key
        assert 0.1 < value < 0.9
    assert list(rows) == list(expected)
    for key, (value, count) in expected.items():
        assert rows[key][0] == pytest.approx(value, rel=1e-9, abs=1e-13), key
        assert rows[key][1] == count, key


def test_without_a_teacher_its_metrics_are_absent(vicinity):
    labels, pairs, logits_i, logits_j, logits_mixed, teacher = vicinity
    alone = vicinal_table(logits_i, logits_j, logits_mixed, pairs, labels)
    taught = vicinal_table(logits_i, logits_j, logits_mixed, pairs, labels, teacher)
    extra = taught.metric.isin(["agreement", "kl_teacher", "imitation_weight"])
    assert extra.any()
    pd.testing.assert_frame_equal(alone, taught[~extra].reset_index(drop=True))


def test_tensors_give_the_same_table(vicinity):
    labels, pairs, *logits = vicinity
    single = [x.astype(np.float32) for x in logits]
    expected = vicinal_table(*single[:3], pairs, labels, single[3])
    tensors = [torch.tensor(x, requires_grad=True) for x in single]
    table = vicinal_table(*tensors[:3], pairs, torch.tensor(labels), tensors[3])
    pd.testing.assert_frame_equal(table, expected)


def test_the_matched_temperature_rescales_all_three(vicinity):
    labels, pairs, logits_i, logits_j, logits_mixed, _ = vicinity
    table = vicinal_table(logits_i, logits_j, logits_mixed, pairs, labels, matched_temperature=3.0)
    cooled = vicinal_table(logits_i / 3, logits_j / 3, logits_mixed / 3, pairs, labels)
    matched = table[table.metric == "nonlinearity_matched"].value.to_numpy()
    expected = cooled[cooled.metric == "nonlinearity"].value.to_numpy()
    assert matched == pytest.approx(expected, rel=1e-12)
    raw = table[table.metric == "nonlinearity"].value.to_numpy()
    assert (matched < raw).all()


def test_a_linear_model_is_linear_in_the_table(vicinity):
    labels, pairs, logits_i, logits_j, *_ = vicinity
    p_i, p_j = metrics.softmax(logits_i), metrics.softmax(logits_j)
    mixed = np.log(metrics.linear_mixture(p_i, p_j, pairs.lam))
    table = vicinal_table(logits_i, logits_j, mixed, pairs, labels)
    wide = table.pivot_table(index=["pairs", "lam_low", "lam_high"], columns="metric", values="value")
    assert wide.nonlinearity.max() < 1e-12
    assert wide.jsd.max() < 1e-12
    assert wide.entropy_mixed.to_numpy() == pytest.approx(wide.entropy_linear.to_numpy())
    assert wide.source_mass_mixed.to_numpy() == pytest.approx(wide.source_mass_linear.to_numpy())
    # The entropy is concave.
    assert (wide.entropy_linear > wide.entropy_clean)[("all", 0.0, 1.0)]


def test_edges_of_the_ranges_and_empty_ranges():
    lam = np.array([0.0, 0.05, 0.45, 0.5, 0.55, 1.0])
    pairs = Pairs(i=np.zeros(6, dtype=int), j=np.ones(6, dtype=int), lam=lam)
    logits = draw(6, 0)
    table = vicinal_table(logits, logits, logits, pairs, np.array([2, 3]))
    one = table[table.metric == "nonlinearity"]
    assert set(one.pairs) == {"all", "different"}
    counts = one[one.pairs == "all"].set_index(["lam_low", "lam_high"])["count"].to_dict()
    assert counts == {
        (0.0, 1.0): 6,
        (0.0, 0.05): 1,
        (0.05, 0.1): 1,
        (0.45, 0.5): 1,
        (0.5, 0.55): 1,
        (0.55, 0.6): 1,
        (0.95, 1.0): 1,
        (0.45, 0.55): 1,
    }
    assert table.value.notna().all()


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def expected_spread(labels, pairs, logits_i, logits_j, logits_mixed):
    """{(lam_low, lam_high, metric): values} over pairs of different classes, both images of a pair where clean."""
    per_pair = expected_per_pair(labels, pairs, logits_i, logits_j, logits_mixed, logits_mixed)
    p_i, p_j = scipy.special.softmax(logits_i, axis=1), scipy.special.softmax(logits_j, axis=1)
    found = {}
    for low, high in [(0.0, 1.0), *((k / 20, (k + 1) / 20) for k in range(20))]:
        rows = per_pair.index[(pairs.lam >= low) & (pairs.lam < high) & ~per_pair.same]
        for name in ("entropy_mixed", "entropy_linear", "source_mass_mixed", "source_mass_linear"):
            found[low, high, name] = per_pair.loc[rows, name].to_numpy()
        sources = [(p_i[m], labels[pairs.i[m]]) for m in rows] + [(p_j[m], labels[pairs.j[m]]) for m in rows]
        found[low, high, "entropy_clean"] = np.array([scipy.stats.entropy(p) for p, _ in sources])
        found[low, high, "own_mass_clean"] = np.array([p[label] for p, label in sources])
    return found


@pytest.mark.parametrize("chunk", [1, 600, 1 << 17])
def test_the_spread_is_numpys_quantiles_of_scipys_values(vicinity, monkeypatch, chunk):
    monkeypatch.setattr(evaluation, "_CHUNK_ELEMENTS", chunk)
    labels, pairs, *logits = vicinity
    table = spread_table(*logits[:3], pairs, labels)
    assert list(table) == ["lam_low", "lam_high", "metric", "quantile", "value", "count"]
    expected = expected_spread(labels, pairs, *logits[:3])
    groups = table.groupby(["lam_low", "lam_high", "metric"])
    assert set(groups.groups) == set(expected)
    for key, own in groups:
        assert own["quantile"].tolist() == list(QUANTILES)
        assert own["value"].to_numpy() == pytest.approx(np.quantile(expected[key], QUANTILES), rel=1e-9, abs=1e-13), key
        assert set(own["count"]) == {len(expected[key])}, key


def test_the_spread_of_planted_answers_is_known():
    # Of 101 pairs (x_m, x_m + 1) the mixed answer gives the sources 0, 0.01, … 1 in all; the clean ones are certain.
    masses = np.arange(101) / 100
    pairs = Pairs(i=np.arange(101) % 3, j=(np.arange(101) + 1) % 3, lam=np.full(101, 0.3))
    labels = np.array([0, 1, 2])
    mixed = np.zeros((101, 3))
    np.put_along_axis(mixed, pairs.i[:, None], masses[:, None], axis=1)
    np.put_along_axis(mixed, (np.arange(101)[:, None] + 2) % 3, 1 - masses[:, None], axis=1)
    clean = 800.0 * np.eye(3)
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(mixed), -800.0)
    table = spread_table(clean[pairs.i], clean[pairs.j], logits, pairs, labels)
    found = table.set_index(["lam_low", "lam_high", "metric", "quantile"])["value"].unstack()
    assert sorted({(low, high) for low, high, _ in found.index}) == [(0.0, 1.0), (0.3, 0.35)]
    for low, high in ((0.0, 1.0), (0.3, 0.35)):
        own = found.loc[low, high]
        assert own.loc["source_mass_mixed"].to_numpy() == pytest.approx(QUANTILES)
        assert own.loc["source_mass_linear"].to_numpy() == pytest.approx(np.ones(5))
        assert own.loc["own_mass_clean"].to_numpy() == pytest.approx(np.ones(5))
        assert own.loc["entropy_clean"].to_numpy() == pytest.approx(np.zeros(5), abs=1e-12)
        of_mixture = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
        assert own.loc["entropy_linear"].to_numpy() == pytest.approx(np.full(5, of_mixture))
    counts = table.set_index("metric")["count"]
    assert set(counts["entropy_mixed"]) == {101} and set(counts["entropy_clean"]) == {202}


TWO = Pairs(i=np.array([0, 1]), j=np.array([1, 2]), lam=np.array([0.5, 0.25]))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"logits_mixed": np.full((2, 6), math.nan)}, "logits: row 0 is not finite"),
        ({"pairs": Pairs(TWO.i, TWO.j, TWO.lam * 3)}, r"lam: must lie in \[0, 1\]"),
        ({"matched_temperature": 0.0}, "temperature: must be above 0"),
    ],
)
def test_bad_input_gets_one_clear_line(change, message):
    arguments = {
        "logits_i": draw(2, 0),
        "logits_j": draw(2, 1),
        "logits_mixed": draw(2, 2),
        "pairs": TWO,
        "labels": np.arange(3),
    }
    assert len(vicinal_table(**arguments)) > 0
    measures = [vicinal_table, spread_table] if change.keys() <= arguments.keys() else [vicinal_table]
    for measure in measures:
        with pytest.raises(MetricError, match=message) as caught:
            measure(**{**arguments, **change})
        assert "\n" not in str(caught.value)

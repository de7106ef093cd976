"""Metrics against scikit-learn, SciPy, closed forms and straight loops written here."""

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import accuracy_score, log_loss

from vicinal import metrics
from vicinal.errors import VicinalError
from vicinal.metrics import MetricError

torch.set_num_threads(1)
quick = settings(max_examples=60, deadline=None, derandomize=True)


def sample(n=400, k=7, scale=2.0, seed=0):
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(n, k))
    return logits, rng.integers(0, k, size=n)


def with_confidence(confidence, k=3):
    """Rows whose largest entry is exactly the given confidence, at class 0 (it must exceed 1/k)."""
    confidence = np.asarray(confidence, dtype=np.float64)
    p = np.repeat(((1 - confidence) / (k - 1))[:, None], k, axis=1)
    p[:, 0] = confidence
    return p


def loop_bins(confidence, correct, edges):
    """The samples in each right-closed bin, by the definition: low < confidence <= high, 0 in the first."""
    found = []
    for b in range(len(edges) - 1):
        inside = []
        for c, ok in zip(confidence, correct, strict=True):
            if edges[b] < c <= edges[b + 1] or (b == 0 and c == 0):
                inside.append((float(c), float(ok)))
        found.append(inside)
    return found


def loop_errors(groups):
    """(ECE, OE) of groups of (confidence, correct), with exactly rounded sums."""
    n = sum(len(group) for group in groups)
    ece = oe = 0.0
    for group in groups:
        if group:
            confidence = math.fsum(c for c, _ in group) / len(group)
            accuracy = math.fsum(ok for _, ok in group) / len(group)
            ece += len(group) / n * abs(accuracy - confidence)
            oe += len(group) / n * confidence * max(confidence - accuracy, 0)
    return ece, oe


def loop_equal_mass(confidence, correct, bins):
    """Sorted runs: the first n % bins of them hold one sample more."""
    ranked = sorted(range(len(confidence)), key=lambda r: confidence[r])  # sorted() is stable
    groups, start = [], 0
    for b in range(bins):
        stop = start + len(ranked) // bins + (b < len(ranked) % bins)
        groups.append([(float(confidence[r]), float(correct[r])) for r in ranked[start:stop]])
        start = stop
    return groups


# Scores


@pytest.mark.parametrize("seed", range(3))
def test_scores_match_scikit_learn(seed):
    logits, y = sample(seed=seed)
    p = scipy.special.softmax(logits, axis=1)
    k = p.shape[1]
    assert metrics.accuracy(p, y) == accuracy_score(y, p.argmax(axis=1))
    expected = log_loss(y, p, labels=range(k))
    assert metrics.negative_log_likelihood(p, y) == pytest.approx(expected, rel=1e-12)
    brier = np.mean([sum((p[n, c] - (y[n] == c)) ** 2 for c in range(k)) for n in range(len(y))])
    assert metrics.brier_score(p, y) == pytest.approx(brier, rel=1e-12)


def test_binary_brier_is_twice_scikit_learns():
    from sklearn.metrics import brier_score_loss

    logits, y = sample(k=2)
    p = scipy.special.softmax(logits, axis=1)
    assert metrics.brier_score(p, y) == pytest.approx(2 * brier_score_loss(y, p[:, 1]), rel=1e-12)


@pytest.mark.parametrize("k", [2, 10, 100])
def test_uniform_predictions(k):
    p, y = np.full((50, k), 1 / k), np.arange(50) % k
    assert metrics.entropy(p) == pytest.approx(math.log(k), rel=1e-12)
    assert metrics.negative_log_likelihood(p, y) == pytest.approx(math.log(k), rel=1e-12)
    assert metrics.brier_score(p, y) == pytest.approx(1 - 1 / k, rel=1e-12)
    # Ties: the prediction is class 0.
    assert metrics.accuracy(p, y) == np.mean(y == 0)
    assert metrics.confidence_gap(p, y) == pytest.approx(1 / k - np.mean(y == 0), abs=1e-15)


def test_perfect_and_perfectly_wrong_predictions():
    y = np.array([0, 1, 2, 1])
    p = np.eye(3)[y]
    for metric in (
        metrics.negative_log_likelihood,
        metrics.brier_score,
        metrics.expected_calibration_error,
        metrics.adaptive_calibration_error,
        metrics.overconfidence_error,
        metrics.confidence_gap,
    ):
        assert metric(p, y) == 0.0
    assert (metrics.accuracy(p, y), metrics.entropy(p)) == (1.0, 0.0)
    wrong = (y + 1) % 3
    assert metrics.accuracy(p, wrong) == 0.0
    assert metrics.brier_score(p, wrong) == 2.0
    assert metrics.negative_log_likelihood(p, wrong) == pytest.approx(12 * math.log(10), rel=1e-12)
    assert metrics.expected_calibration_error(p, wrong) == 1.0
    assert metrics.overconfidence_error(p, wrong) == 1.0
    assert metrics.confidence_gap(p, wrong) == 1.0


def test_agreement_miss_rate_and_source_mass_by_hand():
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.6, 0.2], [0.4, 0.4, 0.2]])
    q = np.array([[0.6, 0.2, 0.2], [0.5, 0.2, 0.3], [0.1, 0.8, 0.1], [0.3, 0.5, 0.2]])
    assert metrics.agreement(p, q, "none").tolist() == [1, 0, 1, 0]
    assert metrics.agreement(p, q) == 0.5
    y_i, y_j = [0, 0, 1, 1], [1, 1, 1, 2]
    assert metrics.miss_rate(p, y_i, y_j, "none").tolist() == [0, 1, 0, 1]
    assert metrics.source_mass(p, y_i, y_j, "none") == pytest.approx([0.8, 0.3, 0.6, 0.6])


# Entropies and divergences


def test_divergences_match_scipy():
    p = scipy.special.softmax(sample(seed=1)[0], axis=1)
    q = scipy.special.softmax(sample(seed=2)[0], axis=1)
    assert metrics.entropy(p, "none") == pytest.approx(scipy.stats.entropy(p, axis=1), rel=1e-11)
    assert metrics.kl_divergence(p, q, "none") == pytest.approx(scipy.special.rel_entr(p, q).sum(axis=1), rel=1e-10)
    # With λ = 1 the linear mixture is p itself. SciPy's is the square root of the divergence.
    assert metrics.jensen_shannon(p, q, q, 1.0, "none") == pytest.approx(jensenshannon(p, q, axis=1) ** 2, rel=1e-10)


def test_nonlinearity_and_jensen_shannon_match_scipy_on_mixtures():
    p_i, p_j, mixed = (scipy.special.softmax(sample(seed=s)[0], axis=1) for s in (1, 2, 3))
    lam = np.random.default_rng(4).random(len(p_i))
    linear = lam[:, None] * p_i + (1 - lam[:, None]) * p_j
    assert metrics.linear_mixture(p_i, p_j, lam) == pytest.approx(linear, rel=1e-15)
    assert metrics.nonlinearity(p_i, p_j, mixed, lam) == pytest.approx(
        scipy.special.rel_entr(linear, mixed).sum(axis=1).mean(), rel=1e-11
    )
    assert metrics.jensen_shannon(p_i, p_j, mixed, lam) == pytest.approx(
        (jensenshannon(linear, mixed, axis=1) ** 2).mean(), rel=1e-11
    )
    constant = metrics.nonlinearity(p_i, p_j, mixed, np.full(len(lam), 0.3))
    assert metrics.nonlinearity(p_i, p_j, mixed, 0.3) == constant


def test_a_linear_model_has_no_nonlinearity():
    p_i, p_j = (scipy.special.softmax(sample(seed=s)[0], axis=1) for s in (1, 2))
    lam = np.random.default_rng(4).random(len(p_i))
    mixed = metrics.linear_mixture(p_i, p_j, lam)
    assert metrics.nonlinearity(p_i, p_j, mixed, lam, "none").max() == 0.0
    assert metrics.jensen_shannon(p_i, p_j, mixed, lam, "none").max() == 0.0


def test_disjoint_distributions_reach_the_limits():
    p, q = [[1.0, 0.0]], [[0.0, 1.0]]
    assert metrics.kl_divergence(p, q) == pytest.approx(12 * math.log(10), rel=1e-12)
    assert metrics.jensen_shannon(p, p, q, 0.5) == pytest.approx(math.log(2), rel=1e-12)
    # Halfway between two certain classes a certain prediction of one of them costs ½ ln ½ + ½ ln(½ / 1e-12).
    expected = math.log(0.5) + 6 * math.log(10)
    assert metrics.nonlinearity(p, q, p, 0.5) == pytest.approx(expected, rel=1e-12)


# Calibration


@pytest.mark.parametrize("bins", [1, 2, 10, 15, 37])
@pytest.mark.parametrize("scale", [0.1, 2.0, 30.0])
def test_calibration_errors_match_straight_loops(bins, scale):
    logits, y = sample(n=301, scale=scale, seed=5)
    p = scipy.special.softmax(logits, axis=1)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    ece, oe = loop_errors(loop_bins(confidence, correct, [b / bins for b in range(bins + 1)]))
    assert metrics.expected_calibration_error(p, y, bins) == pytest.approx(ece, abs=1e-14)
    assert metrics.overconfidence_error(p, y, bins) == pytest.approx(oe, abs=1e-14)
    ace, _ = loop_errors(loop_equal_mass(confidence, correct, bins))
    assert metrics.adaptive_calibration_error(p, y, bins) == pytest.approx(ace, abs=1e-14)


def test_adaptive_bins_of_many_ties_match_straight_loops():
    rng = np.random.default_rng(8)
    p = with_confidence(rng.choice([0.5, 0.7, 0.9], 500))
    y = np.where(rng.random(500) < p[:, 0], 0, 1)
    ace, _ = loop_errors(loop_equal_mass(p[:, 0], y == 0, 15))
    assert metrics.adaptive_calibration_error(p, y) == pytest.approx(ace, abs=1e-14)


@pytest.mark.parametrize("confidence, accuracy", [(0.9, 0.75), (0.6, 0.95), (1.0, 0.5)])
def test_constant_confidence_has_closed_forms(confidence, accuracy):
    y = np.where(np.arange(1000) < 1000 * accuracy, 0, 1)
    p = with_confidence(np.full(1000, confidence))
    gap = confidence - accuracy
    assert metrics.confidence_gap(p, y) == pytest.approx(gap, abs=1e-13)
    assert metrics.expected_calibration_error(p, y) == pytest.approx(abs(gap), abs=1e-13)
    assert metrics.overconfidence_error(p, y) == pytest.approx(confidence * max(gap, 0), abs=1e-13)
    table = metrics.reliability_bins(p, y)
    assert (table.count > 0).sum() == 1
    assert table.count.sum() == 1000
    assert np.isnan(table.accuracy).sum() == np.isnan(table.confidence).sum() == 14


@pytest.mark.parametrize("bins", [2, 3, 7, 10, 15, 20, 49, 100])
def test_confidence_on_an_edge_belongs_to_the_bin_below(bins):
    for m in range(1, bins + 1):
        table = metrics.confidence_bins([m / bins], [1], bins)
        assert np.flatnonzero(table.count).tolist() == [m - 1]
        above = np.nextafter(m / bins, 2)
        if m < bins:
            table = metrics.confidence_bins([above], [1], bins)
            assert np.flatnonzero(table.count).tolist() == [m]


def test_the_ends_of_the_confidence_range_are_counted():
    table = metrics.confidence_bins([0.0, 1.0, np.nextafter(1, 2), 1.0005], [0, 1, 1, 0])
    assert table.count.tolist() == [1] + [0] * 13 + [3]
    assert (table.low[0], table.high[-1]) == (0.0, 1.0)
    assert table.low[1:].tolist() == table.high[:-1].tolist()
    # Certain in float64 (the others underflow) and wrong: all of the error is in the last bin.
    p = metrics.softmax([[800.0, 0.0], [800.0, 0.0]])
    assert p.max() == 1.0
    assert metrics.expected_calibration_error(p, [0, 1]) == 0.5
    assert metrics.overconfidence_error(p, [0, 1]) == 0.5
    assert metrics.adaptive_calibration_error(p, [0, 1], 1) == 0.5


def test_reliability_bins_agree_with_scikit_learns_curve():
    from sklearn.calibration import calibration_curve

    logits, y = sample(n=2000, k=5, seed=6)
    p = scipy.special.softmax(logits, axis=1)
    correct = p.argmax(axis=1) == y
    table = metrics.reliability_bins(p, y, 10)
    filled = table.count > 0
    accuracy, confidence = calibration_curve(correct, p.max(axis=1), n_bins=10)
    assert table.accuracy[filled] == pytest.approx(accuracy, rel=1e-12)
    assert table.confidence[filled] == pytest.approx(confidence, rel=1e-12)


def test_calibrated_predictions_have_a_vanishing_error():
    rng = np.random.default_rng(0)
    errors = []
    for n in (1_000, 100_000):
        p = rng.dirichlet(np.ones(4), size=n)
        y = (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1)
        errors.append(metrics.expected_calibration_error(p, y))
        assert abs(metrics.confidence_gap(p, y)) < 4 * math.sqrt(0.25 / n)
    assert errors[1] < 0.006 < errors[0]


@pytest.mark.parametrize("label", [0, 1])
def test_a_single_sample(label):
    p = [[0.7, 0.3]]
    error = 0.3 if label == 0 else 0.7
    assert metrics.expected_calibration_error(p, [label]) == pytest.approx(error)
    assert metrics.adaptive_calibration_error(p, [label]) == pytest.approx(error)
    assert metrics.overconfidence_error(p, [label]) == pytest.approx(0.49 if label else 0.0)
    assert metrics.confidence_gap(p, [label]) == pytest.approx(0.7 - (label == 0))


def test_adaptive_bins_keep_the_order_of_ties():
    p = with_confidence([0.8] * 4)
    # Runs of two: (right, right), (wrong, wrong) against (right, wrong) twice.
    assert metrics.adaptive_calibration_error(p, [0, 0, 1, 1], 2) == pytest.approx(0.5)
    assert metrics.adaptive_calibration_error(p, [0, 1, 0, 1], 2) == pytest.approx(0.3)


# Temperature


@pytest.mark.parametrize("temperature", [0.1, 1, 4.0, 50])
def test_softmax_matches_scipy(temperature):
    logits, _ = sample(scale=40)
    expected = scipy.special.softmax(logits / temperature, axis=1)
    assert metrics.softmax(logits, temperature) == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_softmax_is_stable_and_leaves_its_input_alone():
    logits = np.array([[1e4, 0.0, -1e4], [-1e5, -1e5, -1e5]])
    before = logits.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = metrics.softmax(logits)
    assert p == pytest.approx(np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]))
    assert (logits == before).all()


@pytest.mark.parametrize("gap, accuracy", [(3.0, 0.8), (0.5, 0.9), (10.0, 0.6)])
def test_fitted_temperature_of_two_classes_with_a_constant_gap(gap, accuracy):
    # NLL is least where sigmoid(gap / T) equals the accuracy: T = gap / logit(accuracy).
    y = np.where(np.arange(1000) < 1000 * accuracy, 0, 1)
    logits = np.tile([gap, 0.0], (1000, 1))
    expected = gap / scipy.special.logit(accuracy)
    if expected > 20:
        with pytest.warns(RuntimeWarning, match="bound 20"):
            assert metrics.fit_temperature(logits, y) == 20
    else:
        assert metrics.fit_temperature(logits, y) == pytest.approx(expected, rel=1e-5)


def test_fitted_temperature_zeroes_the_derivative():
    logits, _ = sample(n=500)
    rng = np.random.default_rng(1)
    p = scipy.special.softmax(logits / 2.5, axis=1)
    y = (rng.random(len(p))[:, None] > p.cumsum(axis=1)).sum(axis=1)
    fitted = metrics.fit_temperature(logits, y)
    assert 1.8 < fitted < 3.5
    # d NLL / d(1/T) = E[Σ_k p_k z_k − z_y]
    p = scipy.special.softmax(logits / fitted, axis=1)
    slope = ((p * logits).sum(axis=1) - logits[np.arange(len(y)), y]).mean()
    assert abs(slope) < 1e-5
    assert metrics.fit_temperature(2 * logits, y) == pytest.approx(2 * fitted, rel=1e-5)


@pytest.mark.parametrize("flip, bound", [(1, 0.05), (-1, 20.0)])
def test_a_fitted_temperature_at_a_bound_says_so(flip, bound):
    logits, _ = sample()
    y = (flip * logits).argmax(axis=1)
    with pytest.warns(RuntimeWarning, match="at the bound"):
        assert metrics.fit_temperature(logits, y) == bound


@pytest.mark.parametrize("certainty", [0.55, 0.9, 0.9999])
def test_entropy_matching_of_two_classes_with_a_constant_gap(certainty):
    gap = 2.0
    target = scipy.stats.entropy([certainty, 1 - certainty])
    fitted = metrics.entropy_matching_temperature(np.tile([0.0, gap], (5, 1)), target)
    assert fitted == pytest.approx(gap / scipy.special.logit(certainty), rel=1e-8)


@pytest.mark.parametrize("target", [1e-4, 0.3, 1.5, 1.94])
def test_entropy_matching_reaches_its_target(target):
    logits, _ = sample()
    fitted = metrics.entropy_matching_temperature(logits, target)
    reached = scipy.stats.entropy(scipy.special.softmax(logits / fitted, axis=1), axis=1).mean()
    assert reached == pytest.approx(target, rel=1e-7)
    assert metrics.entropy_matching_temperature(3 * logits, target) == pytest.approx(3 * fitted)


@pytest.mark.parametrize("target", [-0.1, 1.9460, 3.0, math.nan])
def test_entropy_that_cannot_be_reached_is_an_error(target):
    assert math.log(7) < 1.9460
    with pytest.raises(MetricError, match=r"target_entropy: .* out of reach"):
        metrics.entropy_matching_temperature(sample()[0], target)


def test_tied_logits_cannot_be_sharpened():
    with pytest.raises(MetricError, match="out of reach"):
        metrics.entropy_matching_temperature([[1.0, 1.0, 0.0]], math.log(2) / 2)


# Properties


SAMPLES = st.integers(1, 40)


def grid_logits(n=SAMPLES):
    # Multiples of 1/64, so that two logits that differ still differ after a temperature.
    shape = st.tuples(n, st.integers(2, 6))
    return shape.flatmap(lambda s: arrays(np.int64, s, elements=st.integers(-1200, 1200))).map(lambda x: x / 64)


@quick
@given(grid_logits(), st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 15]))
def test_calibration_inequalities(logits, seed, bins):
    p = metrics.softmax(logits)
    y = np.random.default_rng(seed).integers(0, p.shape[1], len(p))
    ece = metrics.expected_calibration_error(p, y, bins)
    assert 0 <= ece <= 1
    assert abs(metrics.confidence_gap(p, y)) <= ece + 1e-12
    assert abs(metrics.confidence_gap(p, y)) <= metrics.adaptive_calibration_error(p, y) + 1e-12
    assert 0 <= metrics.overconfidence_error(p, y, bins) <= ece + 1e-12
    assert metrics.reliability_bins(p, y, bins).count.sum() == len(y)


@quick
@given(grid_logits(), st.integers(0, 2**32 - 1), st.floats(0.05, 20))
def test_temperature_does_not_change_accuracy(logits, seed, temperature):
    logits = logits / 64  # else p underflows to ties at small temperatures
    y = np.random.default_rng(seed).integers(0, logits.shape[1], len(logits))
    expected = np.mean(logits.argmax(axis=1) == y)
    assert metrics.accuracy(metrics.softmax(logits, temperature), y) == expected


@quick
@given(grid_logits(n=st.just(12)), st.integers(0, 2**32 - 1))
def test_divergence_inequalities(logits, seed):
    p = metrics.softmax(logits)
    p_i, p_j, mixed = p[:4], p[4:8], p[8:]
    lam = np.random.default_rng(seed).random(4)
    jsd = metrics.jensen_shannon(p_i, p_j, mixed, lam, "none")
    linear = metrics.linear_mixture(p_i, p_j, lam)
    assert ((jsd >= 0) & (jsd <= math.log(2) + 1e-12)).all()
    assert (metrics.nonlinearity(p_i, p_j, mixed, lam, "none") >= 0).all()
    assert jsd == pytest.approx(metrics.jensen_shannon(mixed, mixed, linear, lam, "none"))
    assert metrics.kl_divergence(p, p) == 0.0
    entropy = metrics.entropy(p, "none")
    assert ((entropy >= 0) & (entropy <= math.log(p.shape[1]) + 1e-12)).all()


# Inputs


CALLS = {
    "accuracy": lambda p, q, y: metrics.accuracy(p, y),
    "nll": lambda p, q, y: metrics.negative_log_likelihood(p, y),
    "brier": lambda p, q, y: metrics.brier_score(p, y),
    "ece": lambda p, q, y: metrics.expected_calibration_error(p, y),
    "ace": lambda p, q, y: metrics.adaptive_calibration_error(p, y),
    "oe": lambda p, q, y: metrics.overconfidence_error(p, y),
    "gap": lambda p, q, y: metrics.confidence_gap(p, y),
    "fit": lambda p, q, y: metrics.fit_temperature(p, y),
    "matching": lambda p, q, y: metrics.entropy_matching_temperature(p, 1.0),
    "softmax": lambda p, q, y: metrics.softmax(p).tolist(),
    "entropy": lambda p, q, y: metrics.entropy(p),
    "kl": lambda p, q, y: metrics.kl_divergence(p, q),
    "agreement": lambda p, q, y: metrics.agreement(p, q),
    "jsd": lambda p, q, y: metrics.jensen_shannon(p, q, p, 0.5),
    "nonlinearity": lambda p, q, y: metrics.nonlinearity(p, q, p, 0.25),
    "miss": lambda p, q, y: metrics.miss_rate(p, y, y),
    "mass": lambda p, q, y: metrics.source_mass(p, y, y),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_lists_tensors_and_float32_are_taken(call):
    # Multiples of 1/256 that sum to 1: exact in every type, bfloat16 too.
    rng = np.random.default_rng(0)
    p, q = (rng.multinomial(256, rng.dirichlet(np.ones(5), size=30)) / 256 for _ in range(2))
    y = p.argmax(axis=1)
    y[::2] = 0
    expected = call(p, q, y)
    assert call(p.tolist(), q.tolist(), y.tolist()) == expected
    assert call(p.astype(np.float32), q.astype(np.float32), y.astype(np.int32)) == expected
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        tensors = (torch.tensor(x, dtype=dtype, requires_grad=True) for x in (p, q))
        assert call(*tensors, torch.tensor(y)) == expected


def test_float32_probabilities_are_close_to_float64():
    logits, y = sample(n=2000)
    p = scipy.special.softmax(logits, axis=1)
    single = torch.softmax(torch.tensor(logits, dtype=torch.float32), dim=1)
    for name in ("nll", "brier", "gap", "ace", "entropy"):
        assert CALLS[name](single, single, y) == pytest.approx(CALLS[name](p, p, y), abs=1e-6)


PER_SAMPLE = {
    "accuracy": lambda p, y, r: metrics.accuracy(p, y, r),
    "nll": lambda p, y, r: metrics.negative_log_likelihood(p, y, r),
    "brier": lambda p, y, r: metrics.brier_score(p, y, r),
    "entropy": lambda p, y, r: metrics.entropy(p, r),
    "kl": lambda p, y, r: metrics.kl_divergence(p, p[::-1], r),
    "agreement": lambda p, y, r: metrics.agreement(p, p[::-1], r),
    "jsd": lambda p, y, r: metrics.jensen_shannon(p, p[::-1], p, 0.5, r),
    "nonlinearity": lambda p, y, r: metrics.nonlinearity(p, p[::-1], p, 0.5, r),
    "miss": lambda p, y, r: metrics.miss_rate(p, y, y, r),
    "mass": lambda p, y, r: metrics.source_mass(p, y, y, r),
}


@pytest.mark.parametrize("call", PER_SAMPLE.values(), ids=PER_SAMPLE)
def test_reductions(call):
    logits, y = sample(n=50)
    p = metrics.softmax(logits)
    values = call(p, y, "none")
    assert values.shape == (50,)
    assert values.dtype == np.float64
    mean = call(p, y, "mean")
    assert type(mean) is float
    assert mean == pytest.approx(math.fsum(values) / 50, rel=1e-12)
    with pytest.raises(MetricError, match="reduction: must be mean or none, got 'sum'"):
        call(p, y, "sum")


GOOD, LABELS = [[0.5, 0.5], [0.2, 0.8]], [0, 1]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: metrics.accuracy([0.5, 0.5], [0]), r"p: shape must be \(N, K\), got \(2,\)"),
        (lambda: metrics.accuracy(np.zeros((0, 3)), []), "p: needs at least one sample"),
        (lambda: metrics.accuracy([[0.5], [0.2, 0.8]], LABELS), "p: not a regular array"),
        (lambda: metrics.accuracy([["a", "b"]], [0]), "p: must be real numbers"),
        (lambda: metrics.accuracy([[0.5, 0.5], [0.5, math.nan]], LABELS), "p: row 1 is not finite"),
        (lambda: metrics.entropy([[math.inf, 0.0]]), "p: row 0 is not finite"),
        (lambda: metrics.entropy([[0.5, 0.5], [1.5, -0.5]]), "p: row 1 has a negative entry"),
        (lambda: metrics.entropy([[0.5, 0.5], [0.5, 0.502]]), "p: row 1 sums to 1.002"),
        (lambda: metrics.accuracy(GOOD, [0]), r"y: shape must be \(2,\)"),
        (lambda: metrics.accuracy(GOOD, [0.0, 1.0]), "y: labels must be integers, got float64"),
        (lambda: metrics.brier_score(GOOD, [0, 2]), r"y: labels must lie in 0..1, got 0..2"),
        (lambda: metrics.brier_score(GOOD, [-1, 0]), r"y: labels must lie in 0..1, got -1..0"),
        (lambda: metrics.miss_rate(GOOD, [0, 1], [0, 3]), "y_j: labels must lie in"),
        (lambda: metrics.kl_divergence(GOOD, GOOD[:1]), r"shapes differ: p \(2, 2\), q \(1, 2\)"),
        (lambda: metrics.nonlinearity(GOOD, GOOD, GOOD[:1], 0.5), "shapes differ"),
        (lambda: metrics.nonlinearity(GOOD, GOOD, GOOD, 1.01), r"lam: must lie in \[0, 1\]"),
        (lambda: metrics.jensen_shannon(GOOD, GOOD, GOOD, [0.5, math.nan]), "lam: must lie in"),
        (lambda: metrics.linear_mixture(GOOD, GOOD, [0.5]), "lam: must be a number or of shape"),
        (lambda: metrics.linear_mixture(GOOD, GOOD, "half"), "lam: must be real numbers"),
        (lambda: metrics.softmax([[math.nan, 0.0]]), "logits: row 0 is not finite"),
        (lambda: metrics.softmax(GOOD, 0), "temperature: must be above 0, got 0.0"),
        (lambda: metrics.softmax(GOOD, math.nan), "temperature: must be above 0, got nan"),
        (lambda: metrics.softmax(GOOD, "std"), "temperature: must be a number, got 'std'"),
        (lambda: metrics.fit_temperature(GOOD, [0, 5]), "labels: labels must lie in 0..1"),
        (lambda: metrics.entropy_matching_temperature(GOOD, None), "target_entropy: must be a"),
        (lambda: metrics.expected_calibration_error(GOOD, LABELS, 0), "bins: must be an integer"),
        (lambda: metrics.adaptive_calibration_error(GOOD, LABELS, 1.5), "bins: must be an integer"),
        (lambda: metrics.confidence_bins([], []), r"confidence: shape must be \(N,\)"),
        (lambda: metrics.confidence_bins([1.2], [1]), r"confidence: must lie in \[0, 1\]"),
        (lambda: metrics.confidence_bins([0.2], [0.5]), "correct: must be 0 or 1"),
        (lambda: metrics.confidence_bins([0.2, 0.3], [1]), "shapes differ"),
    ],
)
def test_bad_input_gets_one_clear_line(call, message):
    with pytest.raises(MetricError, match=message) as caught:
        call()
    assert isinstance(caught.value, VicinalError)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_a_row_sum_within_tolerance_is_accepted():
    assert metrics.accuracy([[0.5, 0.5009]], [1]) == 1.0


def test_metrics_and_pairs_import_nothing_heavy():
    code = (
        "import sys, vicinal.metrics, vicinal.pairs;"
        "print(sorted({'torch', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

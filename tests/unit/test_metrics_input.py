"""What the metrics take, what they refuse, and what they import."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from metric_samples import sample

from vicinal.errors import VicinalError
from vicinal.evaluation import metrics
from vicinal.evaluation.metrics import MetricError

torch.set_num_threads(1)
CALLS = {
    "accuracy": lambda p, q, y: metrics.accuracy(p, y),
    "nll": lambda p, q, y: metrics.negative_log_likelihood(p, y),
    "brier": lambda p, q, y: metrics.brier_score(p, y),
    "ece": lambda p, q, y: metrics.expected_calibration_error(p, y),
    "ace": lambda p, q, y: metrics.adaptive_calibration_error(p, y),
    "oe": lambda p, q, y: metrics.overconfidence_error(p, y),
    "gap": lambda p, q, y: metrics.confidence_gap(p, y),
    "classwise": lambda p, q, y: metrics.classwise_calibration_error(p, y),
    "error_auroc": lambda p, q, y: metrics.error_auroc(p, y),
    "aurc": lambda p, q, y: metrics.area_under_risk_coverage(p, y),
    "imitation": lambda p, q, y: metrics.imitation_weight(p, metrics.linear_mixture(p, q, 0.25), q),
    "cka": lambda p, q, y: metrics.linear_cka(p, q),
    "nc1": lambda p, q, y: metrics.within_class_variability(p, y),
    "plane": lambda p, q, y: metrics.class_plane(p, y, [0, 1, 2]).coordinates(q).tolist(),
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
        (lambda: metrics.classwise_calibration_error(GOOD, LABELS, 0), "bins: must be an integer"),
        (lambda: metrics.auroc([], [0.5]), r"positive: shape must be \(N,\) with N >= 1, got \(0,\)"),
        (lambda: metrics.auroc([0.5], [[0.5]]), r"negative: shape must be \(N,\)"),
        (lambda: metrics.auroc([0.5], [math.nan]), "negative: must be finite real numbers"),
        (lambda: metrics.error_auroc(GOOD, [0, 2]), r"y: labels must lie in 0..1"),
        (lambda: metrics.area_under_risk_coverage(GOOD, [0]), r"y: shape must be \(2,\)"),
        (lambda: metrics.imitation_weight(GOOD, GOOD, GOOD[:1]), "shapes differ: linear"),
        (lambda: metrics.imitation_weight(GOOD, GOOD, [[0.5, 0.6]] * 2), "teacher_mixed: row 0 sums to 1.1"),
        (lambda: metrics.linear_cka(GOOD, GOOD[:1]), "y: features of 1 inputs, but x of 2"),
        (lambda: metrics.linear_cka([[math.inf]], [[1.0]]), "x: row 0 is not finite"),
        (lambda: metrics.within_class_variability(GOOD, [0]), r"labels: shape must be \(2,\)"),
        (lambda: metrics.class_plane(np.eye(3), [0, 1, 2], [0, 1]), r"classes: must be three classes .* got \[0, 1\]"),
        (lambda: metrics.class_plane(np.eye(3), [0, 1, 2], [0, 1, 1]), "classes: must be three classes"),
        (lambda: metrics.class_plane(np.eye(3), [0, 1, 2], [0, 1, 3]), "classes: must be three classes that have"),
        (lambda: metrics.class_plane([[0.0], [1.0], [2.0]], [0, 1, 2], [0, 1, 2]), "lie on a line"),
        (lambda: metrics.class_plane([[0.1, 0.2], [0.3, 0.6], [0.6, 1.2]], [0, 1, 2], [0, 1, 2]), "lie on a line"),
        (
            lambda: metrics.class_plane(np.eye(3), [0, 1, 2], [0, 1, 2]).coordinates(GOOD),
            "features: must have 3 columns, got 2",
        ),
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

"""Calibration errors against straight loops written here, scikit-learn and closed forms."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from metric_samples import sample, with_confidence

from vicinal.evaluation import metrics

torch.set_num_threads(1)


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


def test_adaptive_bins_keep_the_order_of_ties():
    p = with_confidence([0.8] * 4)
    # Runs of two: (right, right), (wrong, wrong) against (right, wrong) twice.
    assert metrics.adaptive_calibration_error(p, [0, 0, 1, 1], 2) == pytest.approx(0.5)
    assert metrics.adaptive_calibration_error(p, [0, 1, 0, 1], 2) == pytest.approx(0.3)


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("scale", [0.1, 2.0, 30.0])
def test_classwise_error_matches_straight_loops(bins, scale):
    logits, y = sample(n=201, k=4, scale=scale, seed=7)
    p = scipy.special.softmax(logits, axis=1)
    edges = [b / bins for b in range(bins + 1)]
    expected = np.mean([loop_errors(loop_bins(p[:, k], y == k, edges))[0] for k in range(4)])
    assert metrics.classwise_calibration_error(p, y, bins) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_calibration_errors_match_torchmetrics(scale):
    from torchmetrics.functional import classification as functional  # slow to import

    logits, y = sample(n=3000, k=5, scale=scale, seed=9)
    p = torch.softmax(torch.tensor(logits), dim=1)
    target = torch.tensor(y)
    expected = functional.multiclass_calibration_error(p, target, num_classes=5, n_bins=15, norm="l1")
    # Its edges are float32.
    assert metrics.expected_calibration_error(p, y) == pytest.approx(expected.item(), abs=1e-6)
    each = [
        functional.binary_calibration_error(p[:, k].contiguous(), target == k, n_bins=15, norm="l1") for k in range(5)
    ]
    assert metrics.classwise_calibration_error(p, y) == pytest.approx(np.mean(each), abs=1e-6)

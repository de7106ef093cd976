"""AUROC and AURC against scikit-learn, straight loops and closed forms, ties included."""

import math

import numpy as np
import pytest
import scipy.special
from metric_samples import sample, with_confidence
from sklearn.metrics import roc_auc_score

from vicinal.evaluation import metrics


def loop_aurc(confidence, correct, rng=None):
    """The mean error rate of the n most confident, over n; ties in the order given, or in random order."""
    order = rng.permutation(len(confidence)) if rng else range(len(confidence))
    wrong, total = 0, 0.0
    for n, r in enumerate(sorted(order, key=lambda r: -confidence[r]), start=1):
        wrong += not correct[r]
        total += wrong / n
    return total / len(confidence)


@pytest.mark.parametrize("levels", [3, 50, 10**9])
def test_auroc_is_scikit_learns_with_ties_or_without(levels):
    rng = np.random.default_rng(levels)
    positive, negative = rng.integers(0, levels, 300) + levels // 5, rng.integers(0, levels, 170)
    expected = roc_auc_score(np.repeat([1, 0], [300, 170]), np.concatenate([positive, negative]))
    assert metrics.auroc(positive, negative) == pytest.approx(expected, rel=1e-12)
    assert metrics.auroc(negative, positive) == pytest.approx(1 - expected, rel=1e-12)
    assert 0.5 < expected < 1


@pytest.mark.parametrize("scale", [0.2, 2.0, 40.0])
def test_error_auroc_is_scikit_learns_of_right_against_wrong(scale):
    logits, y = sample(n=800, k=5, scale=scale, seed=1)
    p = scipy.special.softmax(logits, axis=1)
    y[::3] = p.argmax(axis=1)[::3]
    expected = roc_auc_score(p.argmax(axis=1) == y, p.max(axis=1))
    assert metrics.error_auroc(p, y) == pytest.approx(expected, rel=1e-12)


def test_without_errors_or_with_nothing_else_there_is_no_error_auroc():
    p = with_confidence([0.5, 0.8, 0.9])
    assert math.isnan(metrics.error_auroc(p, [0, 0, 0]))
    assert math.isnan(metrics.error_auroc(p, [1, 1, 1]))
    assert metrics.error_auroc(p, [1, 0, 0]) == 1.0
    assert metrics.error_auroc(p, [0, 1, 0]) == 0.5


@pytest.mark.parametrize("scale", [0.2, 2.0])
def test_aurc_is_a_straight_loop(scale):
    logits, y = sample(n=301, scale=scale, seed=2)
    p = scipy.special.softmax(logits, axis=1)
    y[::2] = p.argmax(axis=1)[::2]
    expected = loop_aurc(p.max(axis=1), p.argmax(axis=1) == y)
    assert metrics.area_under_risk_coverage(p, y) == pytest.approx(expected, rel=1e-12)


def test_aurc_of_ties_is_the_mean_over_their_orders():
    rng = np.random.default_rng(0)
    confidence = rng.choice([0.4, 0.6, 0.9, 1.0], 60)
    y = np.where(rng.random(60) < confidence, 0, 1)
    orders = [loop_aurc(confidence, y == 0, rng) for _ in range(4000)]
    error = np.std(orders) / math.sqrt(len(orders))
    assert error > 0
    assert metrics.area_under_risk_coverage(with_confidence(confidence), y) == pytest.approx(
        np.mean(orders), abs=4 * error
    )

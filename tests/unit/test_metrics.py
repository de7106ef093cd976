"""Scores, entropies and divergences against scikit-learn, SciPy and numbers worked out by hand."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from metric_samples import sample
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import accuracy_score, log_loss

from vicinal.evaluation import metrics

torch.set_num_threads(1)

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


def test_disjoint_distributions_reach_the_limits():
    p, q = [[1.0, 0.0]], [[0.0, 1.0]]
    assert metrics.kl_divergence(p, q) == pytest.approx(12 * math.log(10), rel=1e-12)
    assert metrics.jensen_shannon(p, p, q, 0.5) == pytest.approx(math.log(2), rel=1e-12)
    # Halfway between two certain classes a certain prediction of one of them costs ½ ln ½ + ½ ln(½ / 1e-12).
    expected = math.log(0.5) + 6 * math.log(10)
    assert metrics.nonlinearity(p, q, p, 0.5) == pytest.approx(expected, rel=1e-12)

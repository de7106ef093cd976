"""Softmax, fitted temperatures and matched entropies against SciPy and closed forms."""

import math
import warnings

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_samples import grid_logits, quick, sample

from vicinal.evaluation import metrics
from vicinal.evaluation.metrics import MetricError

torch.set_num_threads(1)


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


def test_where_every_temperature_is_as_good_it_is_1():
    logits = np.tile([[3.0], [-1.0]], (1, 4))  # equal in each sample
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.fit_temperature(logits, [0, 3]) == 1


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


@quick
@given(grid_logits(), st.integers(0, 2**32 - 1), st.floats(0.05, 20))
def test_temperature_does_not_change_accuracy(logits, seed, temperature):
    logits = logits / 64  # else p underflows to ties at small temperatures
    y = np.random.default_rng(seed).integers(0, logits.shape[1], len(logits))
    expected = np.mean(logits.argmax(axis=1) == y)
    assert metrics.accuracy(metrics.softmax(logits, temperature), y) == expected

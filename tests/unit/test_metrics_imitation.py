"""The imitation weight of students whose weight is known, and against a grid over all weights."""

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from metric_samples import grid_logits, quick

from vicinal.evaluation import metrics


def draw(seed, n=500, k=6, scale=2.0):
    """p(x_i), p(x_j), a student's and a teacher's answers to x̃, and λ."""
    rng = np.random.default_rng(seed)
    p = [scipy.special.softmax(scale * rng.normal(size=(n, k)), axis=1) for _ in range(4)]
    return *p, rng.random(n)


def weight_of(p_i, p_j, p_mixed, teacher, lam):
    return metrics.imitation_weight(metrics.linear_mixture(p_i, p_j, lam), p_mixed, teacher)


def mean_kl(alpha, p_i, p_j, p_mixed, teacher, lam):
    """The mean KL by SciPy, with p(x̃) clipped as in all KL of the metrics."""
    linear = lam[:, None] * p_i + (1 - lam[:, None]) * p_j
    return scipy.special.rel_entr(alpha * linear + (1 - alpha) * teacher, np.maximum(p_mixed, 1e-12)).sum(axis=1).mean()


@pytest.mark.parametrize("weight", [0.0, 0.004, 0.13, 0.5, 0.74, 1.0])
@pytest.mark.parametrize("scale", [0.5, 2.0, 12.0])
def test_the_weight_of_a_planted_mixture_is_found(weight, scale):
    p_i, p_j, _, teacher, lam = draw(0, scale=scale)
    student = weight * metrics.linear_mixture(p_i, p_j, lam) + (1 - weight) * teacher
    assert weight_of(p_i, p_j, student, teacher, lam) == pytest.approx(weight, abs=1e-6)


def test_a_linear_student_has_one_and_a_copy_of_its_teacher_has_zero():
    p_i, p_j, _, teacher, lam = draw(1)
    linear = metrics.linear_mixture(p_i, p_j, lam)
    assert weight_of(p_i, p_j, linear, teacher, lam) == pytest.approx(1, abs=1e-7)
    assert weight_of(p_i, p_j, teacher, teacher, lam) == pytest.approx(0, abs=1e-7)
    # Beyond its own mixture, away from the teacher, there is no more than all.
    beyond = np.maximum(linear + 0.1 * (linear - teacher), 1e-3)
    assert weight_of(p_i, p_j, beyond / beyond.sum(axis=1, keepdims=True), teacher, lam) == 1.0
    # Its teacher answers as it would itself if it were linear: nothing tells them apart.
    assert weight_of(p_i, p_j, linear, linear, lam) == 0.0


@pytest.mark.parametrize("seed", range(6))
def test_no_weight_of_a_grid_is_nearer(seed):
    sample = draw(seed, scale=1 + seed)
    found = weight_of(*sample)
    grid = np.linspace(0, 1, 2001)
    distances = [mean_kl(alpha, *sample) for alpha in grid]
    assert found == pytest.approx(grid[np.argmin(distances)], abs=5.1e-4)
    assert mean_kl(found, *sample) <= min(distances)
    assert 0 < found < 1


def test_at_its_ends_the_distance_is_that_of_two_other_measures():
    p_i, p_j, own, teacher, lam = sample = draw(2)
    assert mean_kl(1.0, *sample) == pytest.approx(metrics.nonlinearity(p_i, p_j, own, lam), rel=1e-12)
    assert mean_kl(0.0, *sample) == pytest.approx(metrics.kl_divergence(teacher, own), rel=1e-12)


def test_the_weight_is_of_the_mean_over_pairs_not_a_mean_of_weights():
    # Half of the student's answers are linear, half are its teacher's.
    p_i, p_j, _, teacher, lam = draw(3)
    linear = metrics.linear_mixture(p_i, p_j, lam)
    student = np.where(np.arange(len(lam))[:, None] < 250, linear, teacher)
    found = weight_of(p_i, p_j, student, teacher, lam)
    grid = np.linspace(0, 1, 2001)
    distances = [mean_kl(alpha, p_i, p_j, student, teacher, lam) for alpha in grid]
    assert found == pytest.approx(grid[np.argmin(distances)], abs=5.1e-4)
    assert abs(found - 0.5) > 1e-3


def test_certain_answers_do_not_overflow():
    certain = np.eye(3)
    found = metrics.imitation_weight(certain, certain, certain[[1, 2, 0]])
    assert found == 1.0
    assert metrics.imitation_weight(certain, certain[[1, 2, 0]], certain[[1, 2, 0]]) == 0.0
    # Between two certain answers α ln α + (1 − α) ln(1 − α) + ln 2 is least in the middle.
    half = (certain + certain[[1, 2, 0]]) / 2
    assert metrics.imitation_weight(certain, half, certain[[1, 2, 0]]) == pytest.approx(0.5, abs=1e-7)


@quick
@given(grid_logits(n=st.just(16)), st.integers(0, 2**32 - 1))
def test_the_slope_changes_sign_at_the_weight(logits, seed):
    p_i, p_j, mixed, teacher = np.split(metrics.softmax(logits), 4)
    lam = np.random.default_rng(seed).random(4)
    found = weight_of(p_i, p_j, mixed, teacher, lam)
    assert 0 <= found <= 1
    linear = np.maximum(metrics.linear_mixture(p_i, p_j, lam), 1e-12)
    teacher = np.maximum(teacher, 1e-12)

    def distance(alpha):
        mixture = alpha * linear + (1 - alpha) * teacher
        return (mixture * np.log(mixture / np.maximum(mixed, 1e-12))).sum()

    for alpha in (found - 1e-3, found + 1e-3):
        if 0 <= alpha <= 1:
            assert distance(found) <= distance(alpha) + 1e-9

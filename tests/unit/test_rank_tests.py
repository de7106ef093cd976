"""Rank correlation and the Mantel test, against SciPy and all permutations."""

import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from vicinal.evaluation.rank_tests import PERMUTATIONS, mantel_test, spearman


def draw(shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def test_spearman_matches_scipy():
    a, b = draw((7, 7), 0), np.round(draw((7, 7), 1))  # with ties
    b[2, 3] = np.nan
    off = ~np.eye(7, dtype=bool)
    off[2, 3] = False
    value, count = spearman(a, b)
    assert value == pytest.approx(scipy.stats.spearmanr(a[off], b[off]).statistic)
    assert count == 41
    assert spearman(a, a)[0] == pytest.approx(1)
    assert math.isnan(spearman(a, np.ones((7, 7)))[0])


def test_mantel_agrees_with_all_permutations():
    a, b = draw((5, 5), 3), draw((5, 5), 4)
    upper = np.triu_indices(5, 1)

    def rho(order):
        permuted = ((b + b.T) / 2)[np.ix_(order, order)]
        return scipy.stats.spearmanr(((a + a.T) / 2)[upper], permuted[upper]).statistic

    exact = np.mean([rho(order) >= rho(range(5)) - 1e-12 for order in itertools.permutations(range(5))])
    p, count = mantel_test(a, b, permutations=20_000)
    assert 0.05 < exact < 0.95
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))
    assert count == 10


def test_mantel_p_is_least_for_equal_and_uniform_for_unrelated_matrices():
    same = draw((12, 12), 0)
    assert mantel_test(same, same)[0] == 1 / (1 + PERMUTATIONS)
    assert mantel_test(same, -same)[0] == 1.0
    unrelated = [mantel_test(draw((10, 10), s), draw((10, 10), 1000 + s), permutations=199)[0] for s in range(150)]
    assert scipy.stats.kstest(unrelated, "uniform").pvalue > 0.01


def test_mantel_is_repeatable_and_keeps_gaps_and_constants():
    a, b = draw((8, 8), 0), draw((8, 8), 1)
    assert mantel_test(a, b) == mantel_test(a, b)
    assert mantel_test(a, b, seed=1)[0] != mantel_test(a, b)[0]
    assert math.isnan(mantel_test(a, np.ones((8, 8)))[0])
    one_side = a.copy()
    one_side[0, 1] = np.nan  # the entry (1, 0) stands for it
    assert mantel_test(one_side, b)[1] == 28
    one_side[1, 0] = np.nan
    assert mantel_test(one_side, b)[1] == 27

"""The statistics of the claims against SciPy, R and closed forms."""

import numpy as np
import pytest
import scipy.stats

from vicinal.analysis.claims import statistics
from vicinal.analysis.claims.statistics import Largest, Mean, SameSign, Within


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_interval_and_p_of_a_mean_are_those_of_the_paired_t_test(n):
    a, b = np.random.default_rng(n).normal(0.3, 1, (2, n))
    s = statistics.summary((a - b)[:, None])
    expected = scipy.stats.ttest_rel(a, b).confidence_interval(0.95)
    assert Mean().interval(s, 0.05) == pytest.approx((expected.low, expected.high), rel=1e-12)
    one_sided = scipy.stats.ttest_1samp(a - b, 0.1, alternative="greater").pvalue
    assert Mean().p(s, 0.1) == pytest.approx(one_sided, rel=1e-10)


def test_holm_is_that_of_r():
    # p.adjust(p, "holm") of R
    assert statistics.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert statistics.holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert len(statistics.holm([])) == 0


@pytest.mark.parametrize("rule", [Mean(), Largest(), SameSign(), Within(0.5)], ids=lambda rule: type(rule).__name__)
def test_the_interval_and_the_p_value_agree(rule):
    rng = np.random.default_rng(0)
    decided = 0
    for _ in range(300):
        centre = rng.normal(0, 1, 3 if rule == Largest() else 2 if rule == SameSign() else 1)
        s = statistics.summary(centre * rng.choice([0.1, 1]) + rng.normal(0, 0.3, (5, len(centre))))
        for threshold in (0.0, 0.1):
            low, high = rule.interval(s, 0.05)
            assert low <= rule.estimate(s) <= high
            assert (low > threshold) == (rule.p(s, threshold) < 0.025)
            decided += low > threshold
    assert 20 < decided < 580


def test_largest_is_bonferroni_and_one_of_its_columns():
    x = np.random.default_rng(1).normal([0.0, 0.5, 2.0], 1, (6, 3))
    s = statistics.summary(x)
    each = [scipy.stats.ttest_1samp(column, 0).confidence_interval(1 - 0.05 / 3) for column in x.T]
    plain = [scipy.stats.ttest_1samp(column, 0).confidence_interval(0.95) for column in x.T]
    low, high = Largest().interval(s, 0.05)
    assert low == pytest.approx(max(interval.low for interval in each))
    assert high == pytest.approx(max(interval.high for interval in plain))


@pytest.mark.parametrize(
    ("slopes", "expected"), [((2, 3), 2), ((-2, -3), 2), ((2, -3), -2), ((-3, 2), -2), ((0, 5), 0)]
)
def test_same_sign_is_the_smaller_slope_where_the_signs_agree(slopes, expected):
    s = statistics.Summary(np.array(slopes, dtype=float), np.full(2, 1e-9), 5)
    assert SameSign().estimate(s) == expected
    assert SameSign().interval(s, 0.05) == pytest.approx((expected, expected), abs=1e-7)


def test_within_is_equivalence_by_the_interval():
    for shift in (-0.02, -0.009, -0.004, 0.0, 0.004, 0.009, 0.02):
        x = shift + np.array([-1, 1, 0.5, -0.5, 0.2]) * 0.004
        interval = scipy.stats.ttest_1samp(x, 0).confidence_interval(0.95)
        low, high = Within(0.01).interval(statistics.summary(x[:, None]), 0.05)
        assert (low > 0) == (interval.low > -0.01 and interval.high < 0.01)
        assert (high < 0) == (interval.low > 0.01 or interval.high < -0.01)


def test_slopes_and_partial_correlation():
    rng = np.random.default_rng(2)
    x, y, z = rng.normal(size=(3, 4, 7))
    expected = [scipy.stats.linregress(a, b).slope for a, b in zip(x, y, strict=True)]
    assert statistics.slopes(x, y) == pytest.approx(expected)
    assert statistics.slopes(x[0], y)[0] == pytest.approx(expected[0])
    residual = [[v - np.polyval(np.polyfit(c, v, 1), c) for v in (a, b)] for a, b, c in zip(x, y, z, strict=True)]
    expected = [scipy.stats.pearsonr(a, b).statistic for a, b in residual]
    assert statistics.partial_correlation(x, y, z) == pytest.approx(expected)


@pytest.mark.parametrize("n", [3, 5, 10, 20])
@pytest.mark.parametrize("error", [0.05, 0.05 / 4])
def test_what_is_detectable_is_found_in_80_percent(n, error):
    distance = statistics.detectable(0.2, n, error)
    critical = scipy.stats.t.ppf(1 - error / 2, n - 1)
    assert scipy.stats.nct.sf(critical, n - 1, distance / 0.2) == pytest.approx(0.8, abs=1e-6)
    assert statistics.seeds_needed(distance * 1.0001, 0.2 * np.sqrt(n), error) == n


def test_seeds_needed_is_none_where_no_number_will_do():
    assert statistics.seeds_needed(0.0, 1.0) is None
    assert statistics.seeds_needed(-1.0, 1.0) is None
    assert statistics.seeds_needed(0.01, 1.0) is None  # 78,000
    assert statistics.seeds_needed(100.0, 1.0) == 3


@pytest.mark.parametrize("rule", [Mean(), Largest(), SameSign(), Within(0.5)], ids=lambda rule: type(rule).__name__)
def test_the_lower_bound_hangs_on_the_decisive_mean(rule):
    rng = np.random.default_rng(3)
    for _ in range(50):
        columns = 3 if rule == Largest() else 2 if rule == SameSign() else 1
        s = statistics.summary(rng.normal(0, 0.3, columns) + rng.normal(0, 0.3, (6, columns)))
        mean, se, error = rule.decisive(s)
        low, _ = statistics.t_interval(np.array(mean), np.array(se), s.n, error)
        assert rule.interval(s, 0.05).low == pytest.approx(low)

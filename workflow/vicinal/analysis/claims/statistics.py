"""Intervals and p-values over seeds: paired-t for one mean, and valid bounds for what is made of several means.

Every rule takes the summary of a sample (n seeds, k columns) and gives the estimate of one number θ, an interval that
contains θ with probability 1 − ``error`` (``error``/2 on each side), and the one-sided p-value of θ ≤ threshold, for
normal differences. ``interval(...).low > threshold`` at ``error`` exactly where ``p < error/2``. ``decisive`` gives the
one mean on which the lower bound of the 95 % interval hangs, for statements of power.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import nctdtr, nctdtrinc, stdtr, stdtrit

ERROR, POWER = 0.05, 0.8
MOST_SEEDS = 1000  # of ``seeds_needed``


class Summary(NamedTuple):
    """Mean and standard error of the mean of k columns over n seeds: shapes (k,), (k,) and n."""

    mean: np.ndarray
    se: np.ndarray
    n: int


class Interval(NamedTuple):
    """Lower and upper bound."""

    low: float
    high: float


def summary(samples: np.ndarray) -> Summary:
    """Return the summary of ``samples`` (n, k), with n ≥ 2."""
    n = len(samples)
    return Summary(samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(n), n)


def t_interval(mean: np.ndarray, se: np.ndarray, n: int, error: float = ERROR) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper bounds mean ± t(1 − error/2, n − 1)·se."""
    half = _quantile(n - 1, 1 - error / 2) * se
    return mean - half, mean + half


@cache
def _quantile(df: int, probability: float) -> float:
    return float(stdtrit(df, probability))


def t_above(mean: np.ndarray, se: np.ndarray, n: int) -> np.ndarray:
    """Return the one-sided p-values of mean ≤ 0."""
    return stdtr(n - 1, -mean / se)


def detectable(se: float, n: int, error: float = ERROR) -> float:
    """Return how far above its threshold a mean must be to be found with probability ``POWER``.

    Found: the lower bound of the paired-t interval at ``error`` over ``n`` seeds lies above the threshold. By the
    noncentral t distribution, with the standard error ``se`` taken as true.
    """
    return float(nctdtrinc(n - 1, 1 - POWER, _quantile(n - 1, 1 - error / 2))) * se


def seeds_needed(distance: float, sd: float, error: float = ERROR) -> int | None:
    """Return the number of seeds with which a mean ``distance`` above its threshold is found with ``POWER``.

    ``sd`` is the standard deviation over seeds, taken as true. None: more than ``MOST_SEEDS``, or no number will do.
    """
    if distance <= 0:
        return None
    n = np.arange(3, MOST_SEEDS + 1)
    enough = nctdtr(n - 1, distance / sd * np.sqrt(n), stdtrit(n - 1, 1 - error / 2)) <= 1 - POWER
    return int(n[enough.argmax()]) if enough.any() else None


def holm(p: np.ndarray) -> np.ndarray:
    """Return the p-values (m,) adjusted by Holm (1979): running maximum of (m − i)·p over sorted p, at most 1."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


@dataclass(frozen=True)
class Mean:
    """θ is the mean of one column."""

    def estimate(self, s: Summary) -> float:
        """Return the estimate of θ."""
        return float(s.mean[0])

    def interval(self, s: Summary, error: float) -> Interval:
        """Return the interval for θ."""
        low, high = t_interval(*s, error)
        return Interval(float(low[0]), float(high[0]))

    def p(self, s: Summary, threshold: float) -> float:
        """Return the one-sided p-value of θ ≤ threshold."""
        return float(t_above(s.mean - threshold, s.se, s.n)[0])

    def decisive(self, s: Summary) -> tuple[float, float, float]:
        """Return the mean that the lower bound is of, its standard error, and the error of its interval."""
        return float(s.mean[0]), float(s.se[0]), ERROR


@dataclass(frozen=True)
class Largest:
    """θ is the largest of k means.

    Lower bound: the largest lower bound at error/k (Bonferroni). Upper bound: the largest upper bound at error, no
    correction needed, since θ is one of the means. The estimate, the largest sample mean, tends to be too high.
    """

    def estimate(self, s: Summary) -> float:
        """Return the estimate of θ."""
        return float(s.mean.max())

    def interval(self, s: Summary, error: float) -> Interval:
        """Return the interval for θ."""
        low, _ = t_interval(*s, error / len(s.mean))
        _, high = t_interval(*s, error)
        return Interval(float(low.max()), float(high.max()))

    def p(self, s: Summary, threshold: float) -> float:
        """Return the one-sided p-value of θ ≤ threshold."""
        return min(1.0, len(s.mean) * float(t_above(s.mean - threshold, s.se, s.n).min()))

    def decisive(self, s: Summary) -> tuple[float, float, float]:
        """Return the mean that the lower bound is of, its standard error, and the error of its interval."""
        error = ERROR / len(s.mean)
        at = t_interval(*s, error)[0].argmax()
        return float(s.mean[at]), float(s.se[at]), error


@dataclass(frozen=True)
class SameSign:
    """θ is the smaller magnitude of two means of the same sign; not above 0 where their signs differ.

    θ = max(min(a, b), min(−a, −b)). It is above 0 only if both means are on the same side, which each of two one-sided
    tests must show (intersection–union), on either side.
    """

    def estimate(self, s: Summary) -> float:
        """Return the estimate of θ."""
        return float(max(s.mean.min(), (-s.mean).min()))

    def interval(self, s: Summary, error: float) -> Interval:
        """Return the interval for θ."""
        low, high = t_interval(*s, error)
        return Interval(float(max(low.min(), (-high).min())), float(max(high.min(), (-low).min())))

    def p(self, s: Summary, threshold: float) -> float:
        """Return the one-sided p-value of θ ≤ threshold."""
        up, down = t_above(s.mean - threshold, s.se, s.n), t_above(-s.mean - threshold, s.se, s.n)
        return float(min(up.max(), down.max()))

    def decisive(self, s: Summary) -> tuple[float, float, float]:
        """Return the mean that the lower bound is of, its standard error, and the error of its interval."""
        low, high = t_interval(*s, ERROR)
        sign, bounds = (1, low) if low.min() >= (-high).min() else (-1, -high)
        at = bounds.argmin()
        return float(sign * s.mean[at]), float(s.se[at]), ERROR


@dataclass(frozen=True)
class Within:
    """θ = margin − |mean|: above 0 where the mean is equivalent to 0 (two one-sided tests by the interval)."""

    margin: float

    def estimate(self, s: Summary) -> float:
        """Return the estimate of θ."""
        return float(self.margin - abs(s.mean[0]))

    def interval(self, s: Summary, error: float) -> Interval:
        """Return the interval for θ."""
        low, high = (float(bound[0]) for bound in t_interval(*s, error))
        nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        return Interval(self.margin - max(abs(low), abs(high)), self.margin - nearest)

    def p(self, s: Summary, threshold: float) -> float:
        """Return the one-sided p-value of θ ≤ threshold."""
        room = self.margin - threshold
        return float(max(t_above(room - s.mean, s.se, s.n)[0], t_above(room + s.mean, s.se, s.n)[0]))

    def decisive(self, s: Summary) -> tuple[float, float, float]:
        """Return the mean that the lower bound is of, its standard error, and the error of its interval."""
        return self.estimate(s), float(s.se[0]), ERROR


Rule = Mean | Largest | SameSign | Within


def slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the least-squares slope of each row of ``y`` (n, k) on ``x`` (k,) or (n, k): shape (n,).

    NaN or infinite where the x of a row are all the same.
    """
    centred = x - x.mean(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (centred * y).sum(axis=-1) / (centred**2).sum(axis=-1)


def partial_correlation(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the correlation of x and y given z within each row, all (n, k): shape (n,)."""

    def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
        return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))

    with np.errstate(divide="ignore", invalid="ignore"):
        xy, xz, yz = correlation(x, y), correlation(x, z), correlation(y, z)
        return (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))

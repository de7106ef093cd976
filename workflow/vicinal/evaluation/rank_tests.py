"""Rank correlation of two class-similarity matrices, and its permutation test."""

import numpy as np

PERMUTATIONS = 999

_STREAM = 0x4D414E54454C  # second word of the generator's key: no other stream of the same seed has it


def spearman(a: np.ndarray, b: np.ndarray) -> tuple[float, int]:
    """Return Spearman's ρ of two matrices (K, K) over the off-diagonal entries that both have, and their number.

    ρ is NaN where these are fewer than two, or constant in one matrix.
    """
    both = np.isfinite(a) & np.isfinite(b) & ~np.eye(len(a), dtype=bool)
    x, y = _centred_ranks(a[both]), _centred_ranks(b[both])
    norm = np.sqrt((x @ x) * (y @ y))
    return (float(x @ y / norm) if norm > 0 else float("nan")), int(both.sum())


def mantel_test(a: np.ndarray, b: np.ndarray, seed: int = 0, permutations: int = PERMUTATIONS) -> tuple[float, int]:
    """Return the p-value of the Mantel permutation test on ranks (Mantel 1967), one-sided, and the entries compared.

    Both matrices (K, K) are made symmetric: (S + Sᵀ) / 2, or the one of both entries that is there. The statistic is
    the sum over pairs of classes of the product of ranks; a missing entry has the mean rank. p = (1 + n) / (1 +
    permutations), where in n permutations of the class labels of ``b`` the statistic is at least as large. Entries are
    not independent, so p is descriptive, and no claim rests on it. p is NaN where one matrix is constant.
    """
    rows, columns = np.triu_indices(len(a), 1)
    x, y = _symmetric(a)[rows, columns], _symmetric(b)[rows, columns]
    count = int((np.isfinite(x) & np.isfinite(y)).sum())
    x, y = _centred_ranks(x), _centred_ranks(y)
    if not (count and x.any() and y.any()):
        return float("nan"), count
    ranks = np.zeros(b.shape)
    ranks[rows, columns] = ranks[columns, rows] = y
    raw = np.random.Philox(key=[seed, _STREAM]).random_raw((permutations, len(b)))
    orders = np.argsort(raw, axis=1, kind="stable")
    # Ranks are whole numbers: a permutation that changes nothing ties exactly.
    larger = sum(x @ ranks.take(order.take(rows) * len(b) + order.take(columns)) >= x @ y for order in orders)
    return float(1 + larger) / (1 + permutations), count


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    """Return the mean of a matrix and its transpose, of the entries that are there."""
    there = np.isfinite(matrix)
    total = np.where(there, matrix, 0) + np.where(there, matrix, 0).T
    count = there.astype(np.float64) + there.T
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    """Return twice the ranks of ``values`` (N,), ties averaged, minus their mean: integers of sum 0; 0 for NaN."""
    there = np.isfinite(values)
    _, place, count = np.unique(values[there], return_inverse=True, return_counts=True)
    ranks = np.zeros(len(values))
    # Equal values have the ranks from last − count + 1 to last. (``scipy.stats.rankdata`` takes a second to import.)
    ranks[there] = (2 * np.cumsum(count) - count + 1)[place] - (there.sum() + 1)
    return ranks

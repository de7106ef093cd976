"""What a model says about mixed inputs besides their two source classes: confusion or similarity between classes.

A pair (i, j, λ) has two distributions over the K − 2 classes that are not its sources: q, from p(x̃), and r, from the
linear mixture λ p(x_i) + (1−λ) p(x_j), both without the source classes and renormalised. If the answer to a mixed input
held the same similarity between classes as the answers to its sources, q would be r. A second r is of the softmax of
the linear mixture of the logits. Everything here is about pairs of different classes with λ at the peak, (0.45, 0.55),
in float64 and nats. Errors are those of ``metrics``. Nothing here imports torch.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from vicinal.evaluation import metrics
from vicinal.evaluation.measures import PEAK
from vicinal.evaluation.pairs import Pairs
from vicinal.evaluation.rank_tests import mantel_test, spearman

TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0)
SIMILARITY_TEMPERATURE = 2.0
KINDS = ("clean", "mixed", "linear")
COLUMNS = {"temperature": "float64", "metric": "str", "value": "float64", "count": "int64"}

_UNIFORM = 1e-12  # where the mean KL(q ‖ uniform), in nats, is below this, q is uniform up to rounding


class PeakPairs(NamedTuple):
    """The pairs of different classes with λ at the peak: logits (pairs, K), λ and source labels (pairs,)."""

    logits_i: np.ndarray
    logits_j: np.ndarray
    logits_mixed: np.ndarray
    lam: np.ndarray
    y_i: np.ndarray
    y_j: np.ndarray


def peak_pairs(clean_logits: np.ndarray, mixed_logits: np.ndarray, pairs: Pairs, labels: np.ndarray) -> PeakPairs:
    """Return the pairs of different classes with λ in (0.45, 0.55), possibly none.

    From a model's logits on the data set (n, K) and on x̃ of every pair (pairs, K), and the labels of the data set
    (n,).
    """
    lam = pairs.lam
    chosen = np.flatnonzero((labels[pairs.i] != labels[pairs.j]) & (lam > PEAK[0]) & (lam < PEAK[1]))
    i, j = pairs.i[chosen], pairs.j[chosen]
    return PeakPairs(clean_logits[i], clean_logits[j], mixed_logits[chosen], lam[chosen], labels[i], labels[j])


def other_classes(p: np.ndarray, y_i: np.ndarray, y_j: np.ndarray) -> np.ndarray:
    """Return ``p`` (N, K) with 0 at the classes ``y_i`` and ``y_j`` (N,), the other classes renormalised to sum 1.

    A row is NaN where nothing is left: all other classes underflowed, or there are none.
    """
    p = np.array(p, dtype=np.float64)
    np.put_along_axis(p, np.stack([y_i, y_j], axis=1), 0, axis=1)
    mass = p.sum(axis=1, keepdims=True)
    return np.divide(p, mass, out=np.full_like(p, np.nan), where=mass > 0)


def explained_share(q: np.ndarray, r: np.ndarray, y_i: np.ndarray, y_j: np.ndarray) -> float:
    """Return 1 − Σ KL(q ‖ r) / Σ KL(q ‖ uniform over the other classes), sums over pairs.

    1 where q is r (a model linear between its inputs), 0 where r predicts q no better than the uniform distribution,
    negative where worse, NaN where q is uniform (up to rounding). ``q`` and ``r`` are (N, K), see ``other_classes``;
    ``y_i`` and ``y_j`` (N,) are the labels of the sources.
    """
    uniform = other_classes(np.full_like(q, 1 / q.shape[1]), y_i, y_j)
    explained, total = metrics.kl_divergence(q, r), metrics.kl_divergence(q, uniform)
    return 1 - explained / total if total > _UNIFORM else float("nan")


def confusion_table(
    clean_logits: np.ndarray, mixed_logits: np.ndarray, pairs: Pairs, labels: np.ndarray
) -> pd.DataFrame:
    """Return the measures of confusion at every temperature of ``TEMPERATURES`` (logits / T before the softmax).

    Arguments as in ``peak_pairs``.

    Returns:
        Columns temperature, metric, value and count (pairs averaged). Metrics: ``explained_share``, and
        ``explained_share_logits`` with r from softmax((λ z_i + (1−λ) z_j) / T) of the logits z; ``entropy_clean`` (mean
        of both sources), ``entropy_mixed``, ``entropy_linear`` (of the linear mixture), ``entropy_increase`` (mixed −
        clean), ``entropy_excess`` (mixed − linear), in nats; ``source_mass_mixed`` and ``source_mass_clean`` (of the
        linear mixture). No rows without such pairs or with two classes; no row of an explained share where it is not
        defined: with three classes, or where q is uniform.
    """
    peak = peak_pairs(clean_logits, mixed_logits, pairs, labels)
    rows = []
    if len(peak.lam) and peak.logits_mixed.shape[1] > 2:
        for temperature in TEMPERATURES:
            rows += [(temperature, *row) for row in _confusion(peak, temperature)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _confusion(peak: PeakPairs, temperature: float) -> list[tuple[str, float, int]]:
    """Return (metric, value, count) at one temperature."""
    p_i, p_j, p_mixed, linear, q, r = _distributions(peak, temperature)
    clean = 0.5 * (metrics.entropy(p_i) + metrics.entropy(p_j))
    mixed, of_linear = metrics.entropy(p_mixed), metrics.entropy(linear)
    values = {
        "entropy_clean": clean,
        "entropy_mixed": mixed,
        "entropy_linear": of_linear,
        "entropy_increase": mixed - clean,
        "entropy_excess": mixed - of_linear,
        "source_mass_mixed": metrics.source_mass(p_mixed, peak.y_i, peak.y_j),
        "source_mass_clean": metrics.source_mass(linear, peak.y_i, peak.y_j),
    }
    rows = [(metric, value, len(p_i)) for metric, value in values.items()]
    for metric, reference in (("explained_share", r), ("explained_share_logits", _of_mixed_logits(peak, temperature))):
        both = _defined(q, reference)
        share = explained_share(q[both], reference[both], peak.y_i[both], peak.y_j[both]) if len(both) else np.nan
        if np.isfinite(share):
            rows.append((metric, share, len(both)))
    return rows


def _of_mixed_logits(peak: PeakPairs, temperature: float) -> np.ndarray:
    """Return softmax(λ z_i + (1−λ) z_j) without the source classes, (pairs, K)."""
    lam = peak.lam[:, None]
    p = metrics.softmax(lam * peak.logits_i + (1 - lam) * peak.logits_j, temperature)
    return other_classes(p, peak.y_i, peak.y_j)


def _distributions(peak: PeakPairs, temperature: float) -> tuple[np.ndarray, ...]:
    """Return p(x_i), p(x_j), p(x̃), the linear mixture, q and r, each (pairs, K)."""
    p_i, p_j, p_mixed = (metrics.softmax(logits, temperature) for logits in peak[:3])
    linear = metrics.linear_mixture(p_i, p_j, peak.lam)
    q, r = (other_classes(p, peak.y_i, peak.y_j) for p in (p_mixed, linear))
    return p_i, p_j, p_mixed, linear, q, r


def _defined(q: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return the pairs for which both distributions exist."""
    return np.flatnonzero(np.isfinite(q[:, 0]) & np.isfinite(r[:, 0]))


def similarity_matrices(
    clean_logits: np.ndarray,
    mixed_logits: np.ndarray,
    pairs: Pairs,
    labels: np.ndarray,
    temperature: float = SIMILARITY_TEMPERATURE,
) -> dict[str, np.ndarray]:
    """Return the class-similarity matrices of a model, (K, K) float64 by kind.

    ``clean``: row c is the mean of p(k | x) over clean images of class c. ``mixed`` and ``linear``: entry (c, k) is the
    mean of q_k, or r_k, over the pairs with source c and without source k, weighted by λ or 1−λ of the source of class
    c. NaN: the diagonal, and entries without an image or pair; the other entries of a row sum to 1. Arguments
    as in ``peak_pairs``.
    """
    peak = peak_pairs(clean_logits, mixed_logits, pairs, labels)
    p = metrics.softmax(clean_logits, temperature)
    matrices = dict.fromkeys(KINDS, np.full((p.shape[1], p.shape[1]), np.nan))
    matrices["clean"] = _class_means([labels], [np.ones(len(p))], p, np.ones_like(p))
    if len(peak.lam):
        *_, q, r = _distributions(peak, temperature)
        both = _defined(q, r)
        y_i, y_j, lam = peak.y_i[both], peak.y_j[both], peak.lam[both]
        observed = np.ones((len(both), p.shape[1]))
        np.put_along_axis(observed, np.stack([y_i, y_j], axis=1), 0, axis=1)
        for kind, values in (("mixed", q[both]), ("linear", r[both])):
            matrices[kind] = _class_means([y_i, y_j], [lam, 1 - lam], values, observed)
    return matrices


def _class_means(
    labels: list[np.ndarray], weights: list[np.ndarray], values: np.ndarray, observed: np.ndarray
) -> np.ndarray:
    """Return the weighted means of the observed ``values`` (N, K) by class, rows renormalised off the diagonal.

    Every row of ``values`` counts once for each array of ``labels``, with its weight in the array of ``weights``.
    """
    from scipy.sparse import csr_array  # slow to import

    rows, classes = values.shape
    where = np.concatenate(labels), np.tile(np.arange(rows), len(labels))
    members = csr_array((np.concatenate(weights), where), shape=(classes, rows))
    weight = members @ observed
    means = np.divide(members @ values, weight, out=np.full_like(weight, np.nan), where=weight > 0)
    np.fill_diagonal(means, np.nan)
    totals = np.nansum(means, axis=1, keepdims=True)
    return np.divide(means, totals, out=np.full_like(means, np.nan), where=totals > 0)


def similarity_table(matrices: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return similarity matrices as a table: kind, row, column (labels, int16) and value (float32), without NaN."""
    parts = []
    for kind, matrix in matrices.items():
        row, column = np.nonzero(np.isfinite(matrix))
        kinds = pd.Categorical([kind] * len(row), categories=list(KINDS))
        entries = {"row": row.astype(np.int16), "column": column.astype(np.int16)}
        parts.append(pd.DataFrame({"kind": kinds, **entries, "value": matrix[row, column].astype(np.float32)}))
    return pd.concat(parts, ignore_index=True)


def similarity_tests(
    matrices: dict[str, np.ndarray], temperature: float = SIMILARITY_TEMPERATURE, seed: int = 0
) -> pd.DataFrame:
    """Compare the ``mixed`` matrix with the ``linear`` and the ``clean`` one.

    Returns:
        The columns of ``confusion_table``, count being the number of entries compared. Metrics:
        ``spearman_mixed_linear``, ``spearman_mixed_clean``, ``mantel_p_mixed_linear``, ``mantel_p_mixed_clean``.
        A test that is not defined has no row.
    """
    tests = {"spearman": spearman, "mantel_p": lambda a, b: mantel_test(a, b, seed)}
    rows = []
    for name, test in tests.items():
        for other in ("linear", "clean"):
            value, count = test(matrices["mixed"], matrices[other])
            if np.isfinite(value):
                rows.append((temperature, f"{name}_mixed_{other}", value, count))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)

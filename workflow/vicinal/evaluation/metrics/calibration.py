"""Calibration of top-1 confidence: reliability bins, ECE, adaptive ECE, overconfidence error, signed gap.

And of all classes: classwise ECE.
"""

from typing import Any, NamedTuple

import numpy as np

from vicinal.evaluation.metrics.inputs import (
    ROW_SUM_TOLERANCE,
    MetricError,
    check_bins,
    check_labels,
    check_probabilities,
    check_same_shape,
    to_numpy,
)


class ReliabilityBins(NamedTuple):
    """Equal-width bins (low, high] of confidence, each field of shape (bins,).

    ``confidence`` and ``accuracy`` are the means in a bin, NaN where ``count`` is 0.
    """

    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability_bins(p: Any, y: Any, bins: int = 15) -> ReliabilityBins:
    """Return the reliability diagram of ``p`` (N, K) and ``y`` (N,): see ``confidence_bins``."""
    return confidence_bins(*confidence_and_correct(p, y), bins)


def confidence_bins(confidence: Any, correct: Any, bins: int = 15) -> ReliabilityBins:
    """Return the reliability diagram of top-1 confidences (N,) in [0, 1] and ``correct`` (N,), 0 or 1.

    The bins are right-closed: a confidence of exactly m/bins belongs to bin m − 1, one of 1.0 to the last bin and
    one of 0 to the first (Guo et al. 2017).
    """
    bins = check_bins(bins)
    confidence = to_numpy(confidence, "confidence").astype(np.float64, copy=False)
    correct = to_numpy(correct, "correct").astype(np.float64, copy=False)
    check_same_shape(confidence=confidence, correct=correct)
    if confidence.ndim != 1 or len(confidence) == 0:
        raise MetricError(f"confidence: shape must be (N,) with N >= 1, got {confidence.shape}")
    # Rows of probabilities may sum to a little more than 1.
    if not ((confidence >= 0) & (confidence <= 1 + ROW_SUM_TOLERANCE)).all():
        raise MetricError("confidence: must lie in [0, 1]")
    if not ((correct == 0) | (correct == 1)).all():
        raise MetricError("correct: must be 0 or 1")
    # Quotients are correctly rounded, so that m/bins is an edge exactly (steps of linspace drift off it).
    edges = np.arange(bins + 1) / bins
    which = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    filled = np.where(count > 0, count, np.nan)
    return ReliabilityBins(
        low=edges[:-1],
        high=edges[1:],
        count=count,
        confidence=np.bincount(which, confidence, minlength=bins) / filled,
        accuracy=np.bincount(which, correct, minlength=bins) / filled,
    )


def expected_calibration_error(p: Any, y: Any, bins: int = 15) -> float:
    """Return ECE = Σ |B|/n · |acc(B) − conf(B)| over equal-width right-closed bins (Guo et al. 2017).

    ``p`` is (N, K), ``y`` (N,).
    """
    return _error(reliability_bins(p, y, bins))


def overconfidence_error(p: Any, y: Any, bins: int = 15) -> float:
    """Return OE = Σ |B|/n · conf(B) · max(conf(B) − acc(B), 0) over the bins of ECE (Thulasidasan et al. 2019).

    ``p`` is (N, K), ``y`` (N,).
    """
    weight, confidence, correct = _filled(reliability_bins(p, y, bins))
    return float(np.sum(weight * confidence * np.maximum(confidence - correct, 0.0)))


def adaptive_calibration_error(p: Any, y: Any, bins: int = 15) -> float:
    """Return ECE over bins of equal mass (Nguyen and O'Connor 2015), for ``p`` (N, K) and ``y`` (N,).

    Samples are sorted by confidence, ties in the order given, and cut into ``bins`` runs of ⌈N/bins⌉ or ⌊N/bins⌋
    samples, the longer ones first; with N < bins every sample is its own bin.
    """
    bins = check_bins(bins)
    confidence, correct = confidence_and_correct(p, y)
    n = len(confidence)
    order = np.argsort(confidence, kind="stable")
    size, longer = divmod(n, bins)
    sizes = np.array([size + 1] * longer + [size] * (bins - longer))
    starts = np.cumsum(sizes) - sizes
    excess = np.add.reduceat((confidence - correct)[order], starts[sizes > 0])
    return float(np.abs(excess).sum() / n)


def classwise_calibration_error(p: Any, y: Any, bins: int = 15) -> float:
    """Return classwise ECE, the mean over classes k of Σ |B|/n · |share of k in B − mean p_k in B| (Kull et al. 2019).

    The equal-width bins of class k are of p_k, right-closed as in ECE. ``p`` is (N, K), ``y`` (N,).
    """
    p = check_probabilities(p)
    y = check_labels(y, *p.shape)
    errors = [_error(confidence_bins(p[:, k], y == k, bins)) for k in range(p.shape[1])]
    return float(np.mean(errors))


def confidence_gap(p: Any, y: Any) -> float:
    """Return mean confidence − accuracy for ``p`` (N, K) and ``y`` (N,): positive where overconfident."""
    confidence, correct = confidence_and_correct(p, y)
    return float(confidence.mean() - correct.mean())


def confidence_and_correct(p: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the top-1 confidence (N,) and whether the prediction is right (N,), for ``p`` (N, K) and ``y`` (N,)."""
    p = check_probabilities(p)
    y = check_labels(y, *p.shape)
    return p.max(axis=1), p.argmax(axis=1) == y


def _error(table: ReliabilityBins) -> float:
    """Return Σ |B|/n · |acc(B) − conf(B)|."""
    weight, confidence, correct = _filled(table)
    return float(np.sum(weight * np.abs(correct - confidence)))


def _filled(table: ReliabilityBins) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weight, confidence and accuracy of the bins that are not empty."""
    some = table.count > 0
    return table.count[some] / table.count.sum(), table.confidence[some], table.accuracy[some]

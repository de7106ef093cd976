"""How well a score ranks: right above wrong predictions, inputs of the training distribution above others."""

from typing import Any

import numpy as np

from vicinal.evaluation.metrics.calibration import confidence_and_correct
from vicinal.evaluation.metrics.inputs import MetricError, to_numpy


def auroc(positive: Any, negative: Any) -> float:
    """Return the area under the ROC curve: the chance that a positive has a higher score than a negative.

    A tie counts one half, as in the Mann-Whitney statistic. ``positive`` (N,) and ``negative`` (M,) are finite scores,
    for instance the confidences on inputs from the training distribution and from another one.
    """
    positive, negative = _scores(positive, "positive"), np.sort(_scores(negative, "negative"))
    below, not_above = (np.searchsorted(negative, positive, side) for side in ("left", "right"))
    return float((below.mean() + not_above.mean()) / (2 * len(negative)))


def error_auroc(p: Any, y: Any) -> float:
    """Return the area under the ROC curve of top-1 confidence for right (positive) against wrong predictions.

    1/2: the confidence says nothing about errors. NaN where all are right or all are wrong. ``p`` is (N, K), ``y``
    (N,).
    """
    confidence, correct = confidence_and_correct(p, y)
    if correct.all() or not correct.any():
        return float("nan")
    return auroc(confidence[correct], confidence[~correct])


def area_under_risk_coverage(p: Any, y: Any) -> float:
    """Return AURC, the mean over n of the error rate among the n predictions of highest top-1 confidence.

    n is 1 to N (Geifman and El-Yaniv 2017; Geifman et al. 2019). Predictions of equal confidence are in random order:
    the value is the expected one. ``p`` is (N, K), ``y`` (N,).
    """
    confidence, correct = confidence_and_correct(p, y)
    # Expected: each of those of equal confidence is as wrong as they are on average.
    _, tied, count = np.unique(-confidence, return_inverse=True, return_counts=True)
    risk = np.bincount(tied, ~correct) / count
    wrong = np.cumsum(np.repeat(risk, count))
    return float(np.mean(wrong / np.arange(1, len(wrong) + 1)))


def _scores(values: Any, name: str) -> np.ndarray:
    values = to_numpy(values, name)
    if values.ndim != 1 or len(values) == 0:
        raise MetricError(f"{name}: shape must be (N,) with N >= 1, got {values.shape}")
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise MetricError(f"{name}: must be finite real numbers")
    return values

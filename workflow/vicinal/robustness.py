"""What corrupted images do to a trained network: accuracy and calibration by corruption and severity; no torch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vicinal import metrics

METRICS = ("accuracy", "ece", "oe")
# Fields of a model's record: corruption → metric → values by severity, and the number of images.
VALUES, IMAGES = "corruptions", "images_measured"


def corruption_metrics(logits: Any, labels: Any) -> dict[str, float]:
    """Return accuracy, ECE and OE, fractions, of ``logits`` (N, K) at T = 1 for ``labels`` (N,).

    Raises:
        MetricError: the logits are not (N, K) or not finite, or the labels do not fit.
    """
    p = metrics.softmax(logits)
    return {
        "accuracy": metrics.accuracy(p, labels),
        "ece": metrics.expected_calibration_error(p, labels),
        "oe": metrics.overconfidence_error(p, labels),
    }


def measure_robustness(
    logits: Callable[[np.ndarray], np.ndarray],
    corrupted: Mapping[str, np.ndarray],
    rows: np.ndarray,
    labels: np.ndarray,
    measured: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, list[float]]]:
    """Return corruption → metric → values by severity of one network; one set of images at a time is read.

    Args:
        logits: the network: images (n, H, W, C) uint8 → logits (n, K).
        corrupted: corruption → images by severity, (5, N, H, W, C) uint8.
        rows: which of the N are measured, (n,).
        labels: theirs, (n,).
        measured: is called after each set of images.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for name, by_severity in corrupted.items():
        found[name] = {metric: [] for metric in METRICS}
        for images in by_severity:
            for metric, value in corruption_metrics(logits(images[rows]), labels).items():
                found[name][metric].append(value)
            measured()
    return found

"""What corrupted images do to a trained network: accuracy and calibration by corruption and severity; no torch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from vicinal import metrics
from vicinal.data.corruptions import SEVERITIES

COLUMNS = {"corruption": "str", "severity": "int64", "metric": "str", "value": "float64", "count": "int64"}


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


def robustness_table(
    logits: Callable[[np.ndarray], np.ndarray],
    corrupted: Mapping[str, np.ndarray],
    rows: np.ndarray,
    labels: np.ndarray,
    measured: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """Return the metrics of one network on every corruption at every severity; one set of images at a time is read.

    Args:
        logits: the network: images (n, H, W, C) uint8 → logits (n, K).
        corrupted: corruption → images by severity, (5, N, H, W, C) uint8.
        rows: which of the N are measured, (n,).
        labels: theirs, (n,).
        measured: is called after each set of images.

    Returns:
        Columns as in ``COLUMNS``; ``count`` is the number of images.
    """
    found = []
    for name, by_severity in corrupted.items():
        for severity, images in zip(SEVERITIES, by_severity, strict=True):
            values = corruption_metrics(logits(images[rows]), labels)
            found += [(name, severity, metric, value, len(labels)) for metric, value in values.items()]
            measured()
    return pd.DataFrame(found, columns=list(COLUMNS)).astype(COLUMNS)


def no_robustness() -> pd.DataFrame:
    """Return the table of a network where there are no corrupted images: the columns, without a row."""
    return pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)

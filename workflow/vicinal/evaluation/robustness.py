"""Accuracy and calibration of a trained network on corrupted images, by corruption and severity; no torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.data.corruptions.catalogue import NAMES, SEVERITIES
from vicinal.errors import VicinalError
from vicinal.evaluation import metrics
from vicinal.evaluation.files import measure_anew
from vicinal.files import read_json
from vicinal.jobs.records import EVALUATION

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("accuracy", "ece", "oe")
# Fields of a model's record: corruption → metric → values by severity, and the number of images.
VALUES, IMAGES = "corruptions", "images_measured"
# Of the table of metrics on corrupted images.
COLUMNS = {"corruption": "str", "severity": "int64", "metric": "str", "value": "float64", "count": "int64"}


def corruption_metrics(logits: Any, labels: Any) -> dict[str, float]:
    """Return accuracy, ECE and OE, fractions, of ``logits`` (N, K) at T = 1 for ``labels`` (N,)."""
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
    """Return corruption → metric → values by severity, of one network; one set of images is in memory at a time.

    The network maps images (n, H, W, C) uint8 to logits (n, K). Of images by severity, (5, N, H, W, C) uint8, these
    rows are measured; labels are theirs, (n,). ``measured`` is called after each set of images.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for name, by_severity in corrupted.items():
        found[name] = {metric: [] for metric in METRICS}
        for images in by_severity:
            for metric, value in corruption_metrics(logits(images[rows]), labels).items():
                found[name][metric].append(value)
            measured()
    return found


def read_robustness(folder: Path) -> "pd.DataFrame":
    """Return a model's metrics on corrupted images (``COLUMNS``). Raises VicinalError: it has none."""
    record = read_json(folder / EVALUATION)
    try:
        return robustness_rows(record[VALUES], record[IMAGES])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise VicinalError(
            f"{folder / EVALUATION}: made by older code, without metrics on corrupted images; {measure_anew(folder)}"
        ) from None


def robustness_rows(values: Mapping[str, Mapping[str, list[float]]], images: int) -> "pd.DataFrame":
    """Return the values of ``measure_robustness`` as a table (``COLUMNS``); KeyError, ValueError: one is missing."""
    import pandas as pd

    rows = []
    for name in (name for name in NAMES if name in values):
        by_severity = zip(SEVERITIES, *(values[name][metric] for metric in METRICS), strict=True)
        for severity, *found in by_severity:
            rows += [(name, severity, metric, value, images) for metric, value in zip(METRICS, found, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)

"""What goes into a metric: conversion to NumPy, checks, and the reduction over samples."""

import math
from typing import Any, Literal

import numpy as np

from vicinal.errors import VicinalError

CLIP = 1e-12  # the smallest probability inside a logarithm
ROW_SUM_TOLERANCE = 1e-3

Reduction = Literal["mean", "none"]


class MetricError(VicinalError, ValueError):
    """A metric was given something it is not defined for; the message names the argument."""


def to_numpy(x: Any, name: str) -> np.ndarray:
    """Return ``x`` as a NumPy array; torch tensors come off their graph and device first."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        if str(x.dtype) == "torch.bfloat16":  # NumPy has no such type
            x = x.float()
        return x.numpy()
    try:
        return np.asarray(x)
    except ValueError as error:
        raise MetricError(f"{name}: not a regular array ({error})") from None


def check_matrix(x: Any, name: str) -> np.ndarray:
    """Return ``x`` as a real (N, K) array of its own type with N, K >= 1, or raise ``MetricError``."""
    array = to_numpy(x, name)
    if array.ndim != 2:
        raise MetricError(f"{name}: shape must be (N, K), got {array.shape}")
    if 0 in array.shape:
        raise MetricError(f"{name}: needs at least one sample and one class, got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise MetricError(f"{name}: must be real numbers, got {array.dtype}")
    return array


def check_logits(logits: Any, name: str = "logits") -> np.ndarray:
    """Return ``logits`` as a finite (N, K) array of its own type, or raise ``MetricError``."""
    array = check_matrix(logits, name)
    if not np.isfinite(array).all():
        raise MetricError(f"{name}: row {_first(~np.isfinite(array).all(axis=1))} is not finite")
    return array


def check_probabilities(p: Any, name: str = "p") -> np.ndarray:
    """Return ``p`` as a float64 (N, K) array whose rows are distributions, or raise ``MetricError``."""
    array = check_matrix(p, name).astype(np.float64, copy=False)
    sums = array.sum(axis=1)
    if not np.isfinite(sums).all():
        raise MetricError(f"{name}: row {_first(~np.isfinite(sums))} is not finite")
    if array.min() < 0:
        row = _first((array < 0).any(axis=1))
        raise MetricError(f"{name}: row {row} has a negative entry, probabilities are wanted")
    wrong = np.abs(sums - 1) > ROW_SUM_TOLERANCE
    if wrong.any():
        row = _first(wrong)
        raise MetricError(f"{name}: row {row} sums to {sums[row]:.6g}, probabilities sum to 1")
    return array


def check_labels(y: Any, rows: int, classes: int, name: str = "y") -> np.ndarray:
    """Return ``y`` as int64 (rows,) labels in [0, classes), or raise ``MetricError``."""
    array = to_numpy(y, name)
    if array.shape != (rows,):
        raise MetricError(f"{name}: shape must be ({rows},), one label a row, got {array.shape}")
    if array.dtype.kind not in "iu":
        raise MetricError(f"{name}: labels must be integers, got {array.dtype}")
    if rows == 0:
        raise MetricError(f"{name}: needs at least one label")
    if array.min() < 0 or array.max() >= classes:
        raise MetricError(f"{name}: labels must lie in 0..{classes - 1}, got {array.min()}..{array.max()}")
    return array.astype(np.int64, copy=False)


def check_lam(lam: Any, rows: int) -> np.ndarray:
    """Return ``lam`` (a number or (rows,)) as a float64 column (rows, 1), or raise ``MetricError``."""
    array = to_numpy(lam, "lam")
    if array.dtype.kind not in "fiu":
        raise MetricError(f"lam: must be real numbers, got {array.dtype}")
    if array.shape not in ((), (rows,)):
        raise MetricError(f"lam: must be a number or of shape ({rows},), got {array.shape}")
    if not ((array >= 0) & (array <= 1)).all():  # NaN fails both comparisons
        raise MetricError("lam: must lie in [0, 1]")
    return np.broadcast_to(array.astype(np.float64), (rows,))[:, None]


def check_temperature(temperature: Any) -> float:
    """Return ``temperature`` as a finite float above 0, or raise ``MetricError``."""
    try:
        value = float(temperature)
    except (TypeError, ValueError):
        raise MetricError(f"temperature: must be a number, got {temperature!r}") from None
    if not (math.isfinite(value) and value > 0):
        raise MetricError(f"temperature: must be above 0, got {value}")
    return value


def check_bins(bins: Any) -> int:
    """Return ``bins`` as an integer of at least 1, or raise ``MetricError``."""
    if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 1:
        raise MetricError(f"bins: must be an integer of at least 1, got {bins!r}")
    return int(bins)


def check_same_shape(**arrays: np.ndarray) -> None:
    """Raise ``MetricError`` unless all arrays, given by name, have one shape."""
    if len({array.shape for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise MetricError(f"shapes differ: {shapes}")


def reduce(values: np.ndarray, reduction: Reduction) -> float | np.ndarray:
    """Return the mean of per-sample ``values`` as a float, or ``values`` as they are for ``none``."""
    if reduction == "mean":
        return float(values.mean())
    if reduction == "none":
        return values
    raise MetricError(f"reduction: must be mean or none, got {reduction!r}")


def _first(mask: np.ndarray) -> int:
    return int(np.argmax(mask))

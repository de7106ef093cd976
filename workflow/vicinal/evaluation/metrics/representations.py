"""Geometry of penultimate features: likeness of two networks, collapse of classes, the plane of three classes."""

from typing import Any, NamedTuple

import numpy as np

from vicinal.evaluation.metrics.inputs import MetricError, check_labels, check_logits, to_numpy

_ROWS = 4096  # in float64 at a time


def linear_cka(x: Any, y: Any) -> float:
    """Return the linear centred kernel alignment of features ``x`` (N, D1) and ``y`` (N, D2) of the same inputs.

    ‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖), Frobenius norms of centred features (Kornblith et al. 2019): in [0, 1], 1 for features
    that are equal up to rotation and scale. NaN where the features of one network are all the same.
    """
    x, y = check_logits(x, "x"), check_logits(y, "y")
    if len(x) != len(y):
        raise MetricError(f"y: features of {len(y)} inputs, but x of {len(x)}")
    if not (np.ptp(x, axis=0).any() and np.ptp(y, axis=0).any()):
        return float("nan")
    x_mean, y_mean = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    xx, yy, yx = 0.0, 0.0, 0.0
    for start in range(0, len(x), _ROWS):
        here = slice(start, start + _ROWS)
        own, other = x[here] - x_mean, y[here] - y_mean
        xx, yy, yx = xx + own.T @ own, yy + other.T @ other, yx + other.T @ own
    return float(np.sum(np.square(yx)) / (np.linalg.norm(xx) * np.linalg.norm(yy)))


def within_class_variability(features: Any, labels: Any) -> float:
    """Return NC1 = tr(Σ_W Σ_B⁺) / C of ``features`` (N, D) with ``labels`` (N,): 0 where each class is one point.

    Σ_W is the covariance within classes, the mean over inputs; Σ_B that of the C class means, the mean over classes;
    Σ_B⁺ its pseudo-inverse (Papyan et al. 2020). Only classes with an input count. NaN where all class means are equal,
    or there is one class.
    """
    features, labels = check_logits(features, "features"), _labels(labels, features)
    classes, which = np.unique(labels, return_inverse=True)
    means = np.stack([_mean(features, labels, c) for c in classes])
    _, size, axes = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    spanned = size > np.linalg.norm(means) * max(means.shape) * np.finfo(np.float64).eps  # more than rounding
    size, axes = size[spanned], axes[spanned]
    if not len(size):
        return float("nan")
    centres, within = means @ axes.T, 0.0
    for start in range(0, len(features), _ROWS):
        here = slice(start, start + _ROWS)
        within = within + np.square(features[here] @ axes.T - centres[which[here]]).sum(axis=0)
    # Σ_B is Σ size² axis axisᵀ / C, so C cancels.
    return float(np.sum(within / np.square(size)) / len(features))


class ClassPlane(NamedTuple):
    """A plane in the space of features: its origin (D,), and two orthonormal axes (2, D)."""

    origin: np.ndarray
    axes: np.ndarray

    def coordinates(self, features: Any) -> np.ndarray:
        """Return the coordinates (N, 2) of ``features`` (N, D), projected on the plane."""
        features = check_logits(features, "features")
        if features.shape[1] != len(self.origin):
            raise MetricError(f"features: must have {len(self.origin)} columns, got {features.shape[1]}")
        return (features - self.origin) @ self.axes.T


def class_plane(features: Any, labels: Any, classes: Any) -> ClassPlane:
    """Return the plane through the means of three classes of ``features`` (N, D) with ``labels`` (N,).

    As in the figures of Müller et al. 2019, who take the classes' weights in the last layer instead of the means. The
    origin is the mean of the three; the first axis runs from the first class to the second, and the third class lies
    above it.

    Raises:
        MetricError: features are not (N, D) or not finite, labels do not fit, ``classes`` are not three classes with
            inputs, or their means lie on a line.
    """
    features, labels = check_logits(features, "features"), _labels(labels, features)
    classes = to_numpy(classes, "classes").tolist()
    if len(classes) != 3 or len(set(classes) & set(labels.tolist())) != 3:
        raise MetricError(f"classes: must be three classes that have inputs, got {classes}")
    means = np.stack([_mean(features, labels, c) for c in classes])
    across, up = means[1] - means[0], means[2] - means[0]
    axes, corner = np.linalg.qr(np.stack([across, up], axis=1))
    length = np.abs(np.diag(corner))
    if len(length) < 2 or not length.min() > 1e-9 * np.linalg.norm([across, up]):
        raise MetricError(f"classes: the means of {classes} lie on a line")
    return ClassPlane(means.mean(axis=0), axes.T * np.sign(np.diag(corner))[:, None])


def _labels(labels: Any, features: np.ndarray) -> np.ndarray:
    return check_labels(labels, len(features), np.iinfo(np.int64).max, "labels")


def _mean(features: np.ndarray, labels: np.ndarray, label: int) -> np.ndarray:
    return features[labels == label].mean(axis=0, dtype=np.float64)

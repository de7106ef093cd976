"""Scores of single predictions: accuracy, proper scores, agreement, and where mixed predictions go."""

from typing import Any

import numpy as np

from vicinal.evaluation.metrics.inputs import (
    CLIP,
    Reduction,
    check_labels,
    check_probabilities,
    check_same_shape,
    reduce,
)


def accuracy(p: Any, y: Any, reduction: Reduction = "mean") -> float | np.ndarray:
    """Return the share of rows of ``p`` (N, K) whose largest entry is at ``y`` (N,); per sample 0.0 or 1.0."""
    p = check_probabilities(p)
    y = check_labels(y, *p.shape)
    return reduce((p.argmax(axis=1) == y).astype(np.float64), reduction)


def negative_log_likelihood(p: Any, y: Any, reduction: Reduction = "mean") -> float | np.ndarray:
    """Return −ln p_y in nats for ``p`` (N, K) and ``y`` (N,), p_y clipped at 1e-12."""
    p = check_probabilities(p)
    y = check_labels(y, *p.shape)
    return reduce(-np.log(np.clip(p[np.arange(len(y)), y], CLIP, 1.0)), reduction)


def brier_score(p: Any, y: Any, reduction: Reduction = "mean") -> float | np.ndarray:
    """Return Σ_k (p_k − 1[k = y])² for ``p`` (N, K) and ``y`` (N,): the sum over classes, in [0, 2] (Brier 1950)."""
    p = check_probabilities(p)
    y = check_labels(y, *p.shape)
    score = np.einsum("nk,nk->n", p, p) - 2 * p[np.arange(len(y)), y] + 1
    return reduce(np.maximum(score, 0.0), reduction)


def agreement(p: Any, q: Any, reduction: Reduction = "mean") -> float | np.ndarray:
    """Return the share of rows where ``p`` and ``q``, both (N, K), predict the same class (Stanton et al. 2021)."""
    p, q = check_probabilities(p), check_probabilities(q, "q")
    check_same_shape(p=p, q=q)
    return reduce((p.argmax(axis=1) == q.argmax(axis=1)).astype(np.float64), reduction)


def miss_rate(p_mixed: Any, y_i: Any, y_j: Any, reduction: Reduction = "mean") -> float | np.ndarray:
    """Return the share of mixed inputs predicted as neither source class: argmax p(x̃) ∉ {y_i, y_j}.

    ``p_mixed`` is (N, K), ``y_i`` and ``y_j`` are (N,).
    """
    p_mixed, y_i, y_j = _mixed(p_mixed, y_i, y_j)
    prediction = p_mixed.argmax(axis=1)
    return reduce(((prediction != y_i) & (prediction != y_j)).astype(np.float64), reduction)


def source_mass(p: Any, y_i: Any, y_j: Any, reduction: Reduction = "mean") -> float | np.ndarray:
    """Return the probability that ``p`` (N, K) gives to the set {y_i, y_j}; a class shared by both counts once."""
    p, y_i, y_j = _mixed(p, y_i, y_j, name="p")
    rows = np.arange(len(p))
    return reduce(p[rows, y_i] + np.where(y_i == y_j, 0.0, p[rows, y_j]), reduction)


def _mixed(p: Any, y_i: Any, y_j: Any, name: str = "p_mixed") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p = check_probabilities(p, name)
    return p, check_labels(y_i, *p.shape, "y_i"), check_labels(y_j, *p.shape, "y_j")

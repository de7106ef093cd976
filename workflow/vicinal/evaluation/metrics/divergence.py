"""Entropies and divergences between distributions, and the linearity of a model between two inputs."""

from typing import Any

import numpy as np

from vicinal.evaluation.metrics.inputs import CLIP, Reduction, check_lam, check_probabilities, check_same_shape, reduce


def entropy(p: Any, reduction: Reduction = "mean") -> float | np.ndarray:
    """Return the Shannon entropy −Σ p ln p of each row of ``p`` (N, K), in nats."""
    p = check_probabilities(p)
    return reduce(np.maximum(-np.einsum("nk,nk->n", p, _log(p)), 0.0), reduction)


def kl_divergence(p: Any, q: Any, reduction: Reduction = "mean") -> float | np.ndarray:
    """Return KL(p ‖ q) = Σ p ln(p / q) of each pair of rows, both (N, K), in nats, at least 0.

    Both logarithms are clipped at 1e-12, so a class that only ``p`` knows costs at most 27.6 nats a unit of mass.
    """
    p, q = check_probabilities(p), check_probabilities(q, "q")
    check_same_shape(p=p, q=q)
    return reduce(_kl(p, q), reduction)


def linear_mixture(p_i: Any, p_j: Any, lam: Any) -> np.ndarray:
    """Return λ p(x_i) + (1−λ) p(x_j), float64 (N, K): what a model linear between its inputs would predict.

    ``lam`` is a number or (N,).
    """
    p_i, p_j = check_probabilities(p_i, "p_i"), check_probabilities(p_j, "p_j")
    check_same_shape(p_i=p_i, p_j=p_j)
    return _mix(p_i, p_j, check_lam(lam, len(p_i)))


def nonlinearity(p_i: Any, p_j: Any, p_mixed: Any, lam: Any, reduction: Reduction = "mean") -> float | np.ndarray:
    """Return L_NL = KL(λ p(x_i) + (1−λ) p(x_j) ‖ p(x̃)) in nats, the paper's non-linearity.

    All three are (N, K) and ``lam`` is a number or (N,). Softer predictions lower it mechanically: compare models
    at one common clean entropy (``entropy_matching_temperature``).
    """
    linear, p_mixed = _linear_and_mixed(p_i, p_j, p_mixed, lam)
    return reduce(_kl(linear, p_mixed), reduction)


def jensen_shannon(p_i: Any, p_j: Any, p_mixed: Any, lam: Any, reduction: Reduction = "mean") -> float | np.ndarray:
    """Return the Jensen-Shannon divergence (equal weights) of λ p(x_i) + (1−λ) p(x_j) and p(x̃), in nats, <= ln 2.

    It is the divergence, not its square root (Lin 1991). All three are (N, K), ``lam`` is a number or (N,).
    """
    linear, p_mixed = _linear_and_mixed(p_i, p_j, p_mixed, lam)
    middle = 0.5 * (linear + p_mixed)
    return reduce(0.5 * (_kl(linear, middle) + _kl(p_mixed, middle)), reduction)


def _linear_and_mixed(p_i: Any, p_j: Any, p_mixed: Any, lam: Any) -> tuple[np.ndarray, np.ndarray]:
    p_i, p_j = check_probabilities(p_i, "p_i"), check_probabilities(p_j, "p_j")
    p_mixed = check_probabilities(p_mixed, "p_mixed")
    check_same_shape(p_i=p_i, p_j=p_j, p_mixed=p_mixed)
    return _mix(p_i, p_j, check_lam(lam, len(p_i))), p_mixed


def _mix(p_i: np.ndarray, p_j: np.ndarray, lam: np.ndarray) -> np.ndarray:
    linear = lam * p_i
    linear += (1 - lam) * p_j
    return linear


def _log(p: np.ndarray) -> np.ndarray:
    clipped = np.maximum(p, CLIP)
    return np.log(clipped, out=clipped)


def _kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    ratio = _log(p)
    ratio -= _log(q)
    # Rounding and clipping can leave a hair below 0 where p = q.
    return np.maximum(np.einsum("nk,nk->n", p, ratio), 0.0)

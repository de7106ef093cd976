"""Softmax with a temperature, and the temperatures that calibrate a model or give it a wanted entropy."""

import math
import warnings
from typing import Any

import numpy as np

from vicinal.evaluation.metrics.inputs import MetricError, check_labels, check_logits, check_temperature

POSTHOC_BOUNDS = (0.05, 20.0)
MATCHING_BOUNDS = (1e-6, 1e6)


def softmax(logits: Any, temperature: float = 1.0) -> np.ndarray:
    """Return softmax(logits / temperature) over classes, float64 (N, K), from logits (N, K) of any real type."""
    p = _shifted(check_logits(logits))
    p /= check_temperature(temperature)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    return p


def fit_temperature(logits: Any, labels: Any) -> float:
    """Return the T in [0.05, 20] that minimises the NLL of softmax(logits / T) (Guo et al. 2017).

    ``logits`` is (N, K), ``labels`` (N,). The search is over ln T, where the NLL has a single valley (it is convex
    in 1/T); it uses the exact log-likelihood, without the clip of ``negative_log_likelihood``, which would flatten
    it. When the best T lies at a bound, exactly that bound is returned, with a ``RuntimeWarning``. Where every T is as
    good, since each sample has equal logits, T is 1.
    """
    from scipy.optimize import minimize_scalar  # slow to import, and only fits need it

    shifted = _shifted(check_logits(logits))
    labels = check_labels(labels, *shifted.shape, "labels")
    if not shifted.any():
        return 1.0
    at_label = shifted[np.arange(len(labels)), labels].mean()
    scaled = np.empty_like(shifted)

    def nll(log_temperature: float) -> float:
        inverse = math.exp(-log_temperature)
        np.multiply(shifted, inverse, out=scaled)
        np.exp(scaled, out=scaled)
        return float(np.log(scaled.sum(axis=1)).mean() - inverse * at_label)

    low, high = map(math.log, POSTHOC_BOUNDS)
    found = minimize_scalar(nll, bounds=(low, high), method="bounded", options={"xatol": 1e-7})
    # The bounded search never tries its bounds.
    for bound, temperature in zip((low, high), POSTHOC_BOUNDS, strict=True):
        if nll(bound) <= found.fun:
            warnings.warn(
                f"fit_temperature: the best temperature is at the bound {temperature:g}",
                RuntimeWarning,
                stacklevel=2,
            )
            return temperature
    return math.exp(found.x)


def entropy_matching_temperature(logits: Any, target_entropy: float) -> float:
    """Return the T at which the mean entropy of softmax(logits / T) is ``target_entropy`` (nats).

    ``logits`` is (N, K). The mean entropy grows with T, so T is unique; it is sought in [1e-6, 1e6] (Brent).

    Raises:
        MetricError: ``logits`` is not (N, K) or not finite, or no T in that range gives the target: it is not
            between 0 and ln K, or the largest logits of too many samples are tied.
    """
    from scipy.optimize import brentq

    shifted = _shifted(check_logits(logits))
    try:
        target = float(target_entropy)
    except (TypeError, ValueError):
        raise MetricError(f"target_entropy: must be a number, got {target_entropy!r}") from None
    scaled, p = np.empty_like(shifted), np.empty_like(shifted)

    def excess(log_temperature: float) -> float:
        np.multiply(shifted, math.exp(-log_temperature), out=scaled)
        np.exp(scaled, out=p)
        total = p.sum(axis=1)
        # H = ln Z − Σ p z, free of the logarithm of every probability.
        return float((np.log(total) - np.einsum("nk,nk->n", p, scaled) / total).mean() - target)

    low, high = map(math.log, MATCHING_BOUNDS)
    least, most = excess(low), excess(high)
    if not least <= 0 <= most:  # a target of NaN ends here too
        raise MetricError(
            f"target_entropy: {target:.6g} nats is out of reach, temperatures from {MATCHING_BOUNDS[0]:g} to "
            f"{MATCHING_BOUNDS[1]:g} give these logits {least + target:.6g} to {most + target:.6g}"
        )
    return math.exp(brentq(excess, low, high, xtol=1e-10))


def _shifted(logits: np.ndarray) -> np.ndarray:
    """Return a float64 copy of ``logits`` whose row maxima are 0."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    return shifted

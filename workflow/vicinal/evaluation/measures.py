"""What is measured on one model: from arrays of logits to numbers and tidy tables; no files, no torch.

Errors are those of ``metrics``.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from vicinal.evaluation import metrics
from vicinal.evaluation.pairs import Pairs

LAM_BINS = 20
PEAK = (0.45, 0.55)
# Of ``spread_table``.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_OF_PAIR = ("logits_i", "logits_j", "logits_mixed")
_IMITATION = ("linear", "p_mixed", "teacher_mixed")  # what ``imitation_weight`` takes
_CHUNK_ELEMENTS = 1 << 17  # float64 values an array and chunk: a handful of such arrays fit into the cache


def clean_metrics(logits: Any, labels: Any, temperature: float) -> dict[str, float]:
    """Return the metrics of ``logits`` (N, K) on clean inputs with ``labels`` (N,), at T = 1, by name.

    Only ``temperature_posthoc`` and ``ece_posthoc`` use ``temperature``: the one that ``metrics.fit_temperature`` fits
    on validation data. ``auroc`` and ``aurc`` are of confidence for errors; there is no ``auroc`` without an error, or
    without a right answer.
    """
    p = metrics.softmax(logits)
    values = {
        "accuracy": metrics.accuracy(p, labels),
        "nll": metrics.negative_log_likelihood(p, labels),
        "brier": metrics.brier_score(p, labels),
        "ece": metrics.expected_calibration_error(p, labels),
        "ace": metrics.adaptive_calibration_error(p, labels),
        "classwise_ece": metrics.classwise_calibration_error(p, labels),
        "oe": metrics.overconfidence_error(p, labels),
        "confidence_gap": metrics.confidence_gap(p, labels),
        "mean_confidence": float(p.max(axis=1).mean()),
        "entropy": metrics.entropy(p),
        "auroc": metrics.error_auroc(p, labels),
        "aurc": metrics.area_under_risk_coverage(p, labels),
        "temperature_posthoc": float(temperature),
        "ece_posthoc": metrics.expected_calibration_error(metrics.softmax(logits, temperature), labels),
    }
    return _defined(values)


def fidelity_metrics(logits: Any, teacher_logits: Any) -> dict[str, float]:
    """Return top-1 ``agreement`` and ``kl_teacher`` = KL(teacher ‖ student) in nats at T = 1, from logits (N, K)."""
    student, teacher = metrics.softmax(logits), metrics.softmax(teacher_logits)
    return {
        "agreement": metrics.agreement(student, teacher),
        "kl_teacher": metrics.kl_divergence(teacher, student),
    }


def ood_metrics(logits: Any, ood_logits: Any) -> dict[str, float]:
    """Return how well low confidence tells images of other data from those of the data (Hendrycks and Gimpel 2017).

    ``auroc``: area under the ROC curve of top-1 confidence, of the data (positive) against the others; 1/2: it says
    nothing. ``fpr95``: share of the others whose confidence is not below that which 95 % of the data reach. Logits are
    (N, K) and (M, K), at T = 1.
    """
    own, others = (metrics.softmax(values).max(axis=1) for values in (logits, ood_logits))
    reached = np.quantile(own, 0.05, method="lower")
    return {"auroc": metrics.auroc(own, others), "fpr95": float((others >= reached).mean())}


def representation_metrics(features: Any, labels: Any, teacher_features: Any = None) -> dict[str, float]:
    """Return ``nc1`` of penultimate features (N, D), and ``cka_teacher``, their linear CKA with the teacher's (N, D').

    A measure that is not defined is left out, see ``metrics.within_class_variability`` and ``metrics.linear_cka``.
    """
    values = {"nc1": metrics.within_class_variability(features, labels)}
    if teacher_features is not None:
        values["cka_teacher"] = metrics.linear_cka(features, teacher_features)
    return _defined(values)


def _defined(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if not np.isnan(value)}


def predictions_table(logits: np.ndarray, labels: np.ndarray, index: np.ndarray) -> pd.DataFrame:
    """Return one row an image: index, label, prediction (int32), confidence, nll, entropy (float32; T = 1, nats).

    ``logits`` is (N, K), ``labels`` (N,), ``index`` (N,) the images' positions in their data set.
    """
    p = metrics.softmax(logits)
    return pd.DataFrame(
        {
            "index": index.astype(np.int32),
            "label": labels.astype(np.int32),
            "prediction": p.argmax(axis=1).astype(np.int32),
            "confidence": p.max(axis=1).astype(np.float32),
            "nll": metrics.negative_log_likelihood(p, labels, "none").astype(np.float32),
            "entropy": metrics.entropy(p, "none").astype(np.float32),
        }
    )


def vicinal_table(
    logits_i: np.ndarray,
    logits_j: np.ndarray,
    logits_mixed: np.ndarray,
    pairs: Pairs,
    labels: np.ndarray,
    teacher_mixed_logits: np.ndarray | None = None,
    matched_temperature: float | None = None,
) -> pd.DataFrame:
    """Return the mean of every vicinal metric by kind of pair and range of λ, as a tidy table; and imitation weights.

    Args:
        logits_i, logits_j, logits_mixed: the model's logits on x_i, x_j and x̃ of every pair, each (pairs, K).
        pairs: the pairs, with positions in ``labels``.
        labels: the labels of the whole data set (n,).
        teacher_mixed_logits: the teacher's logits on x̃ (pairs, K); adds ``agreement``, ``kl_teacher`` and, for the
            whole range of λ, ``imitation_weight``.
        matched_temperature: this model's temperature for the common clean entropy, from
            ``entropy_matching_temperature``; adds ``nonlinearity_matched``.

    Returns:
        Columns ``pairs`` (all, same, different), ``lam_low``, ``lam_high``, ``metric``, ``value`` and ``count`` (the
        number of pairs averaged). The ranges of λ are the whole (0, 1), 20 bins [low, high) and the peak
        (0.45, 0.55), open; a range without pairs has no rows. Metrics, at T = 1 and in nats: nonlinearity, jsd,
        miss_rate, entropy_clean (mean of both sources), entropy_mixed, entropy_linear, source_mass_mixed,
        source_mass_linear, confidence_mixed.
    """
    logits = {"logits_i": logits_i, "logits_j": logits_j, "logits_mixed": logits_mixed}
    if teacher_mixed_logits is not None:
        logits["teacher_mixed_logits"] = teacher_mixed_logits
    found, same = _by_chunks(partial(_pair_metrics, matched_temperature=matched_temperature), logits, pairs, labels)
    answers = [found.pop(name) for name in _IMITATION if name in found]
    values = np.stack(list(found.values()), axis=1)
    kinds = {"all": np.ones(len(same), dtype=bool), "same": same, "different": ~same}
    peak = (*PEAK, (pairs.lam > PEAK[0]) & (pairs.lam < PEAK[1]))
    rows = []
    for kind, of_kind in kinds.items():
        for low, high, within in [*_lam_ranges(pairs.lam), peak]:
            chosen = np.flatnonzero(of_kind & within)
            if len(chosen):
                means = values[chosen].mean(axis=0).tolist()
                rows += [(kind, low, high, name, mean, len(chosen)) for name, mean in zip(found, means, strict=True)]
        if answers and of_kind.any():
            weight = metrics.imitation_weight(*(p[of_kind] for p in answers))
            rows.append((kind, 0.0, 1.0, "imitation_weight", weight, int(of_kind.sum())))
    columns = ["pairs", "lam_low", "lam_high", "metric", "value", "count"]
    return pd.DataFrame(rows, columns=columns)


def spread_table(
    logits_i: np.ndarray, logits_j: np.ndarray, logits_mixed: np.ndarray, pairs: Pairs, labels: np.ndarray
) -> pd.DataFrame:
    """Return quantiles of entropies and source masses over pairs of different classes, by range of λ.

    Arguments as in ``vicinal_table``.

    Returns:
        Columns ``lam_low``, ``lam_high``, ``metric``, ``quantile`` (one of ``QUANTILES``), ``value`` and ``count`` (the
        number of values that the quantile is of). The ranges of λ are the whole (0, 1) and 20 bins [low, high); a
        range without pairs has no rows. Metrics, at T = 1 and in nats, one value a pair: entropy_mixed,
        entropy_linear, source_mass_mixed and source_mass_linear. One value for each of the two images of a pair:
        entropy_clean and own_mass_clean (the probability of the image's own class); the spread of mixed images tends
        to theirs where λ nears 0 or 1. Quantiles are interpolated linearly (definition 7 of Hyndman and Fan 1996).
    """
    logits = {"logits_i": logits_i, "logits_j": logits_j, "logits_mixed": logits_mixed}
    found, same = _by_chunks(_spread_metrics, logits, pairs, labels)
    rows = []
    for low, high, within in _lam_ranges(pairs.lam):
        chosen = np.flatnonzero(~same & within)
        for name, values in found.items() if len(chosen) else ():
            of_range = values[chosen]
            for quantile, value in zip(QUANTILES, np.quantile(of_range, QUANTILES).tolist(), strict=True):
                rows.append((low, high, name, quantile, value, of_range.size))
    return pd.DataFrame(rows, columns=["lam_low", "lam_high", "metric", "quantile", "value", "count"])


def _by_chunks(
    measure: Callable[..., dict[str, np.ndarray]], logits: dict[str, np.ndarray], pairs: Pairs, labels: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return what ``measure`` returns for every pair, by name, first axis (pairs,), and which pairs are of one class.

    ``measure`` is called with some rows of all logits by name, their λ and the labels of both sources.
    """
    rows, classes = logits["logits_i"].shape
    y_i, y_j = labels[pairs.i], labels[pairs.j]
    step = max(1, _CHUNK_ELEMENTS // classes)
    parts = []
    for start in range(0, rows, step):
        here = slice(start, start + step)
        own = {name: value[here] for name, value in logits.items()}
        parts.append(measure(own, pairs.lam[here], y_i[here], y_j[here]))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, y_i == y_j


def _pair_metrics(
    logits: dict[str, np.ndarray],
    lam: np.ndarray,
    y_i: np.ndarray,
    y_j: np.ndarray,
    matched_temperature: float | None = None,
) -> dict[str, np.ndarray]:
    """Return the per-pair metrics of ``vicinal_table`` by name, each (pairs,), and ``_IMITATION``, each (pairs, K)."""
    p_i, p_j, p_mixed = (metrics.softmax(logits[name]) for name in _OF_PAIR)
    linear = metrics.linear_mixture(p_i, p_j, lam)
    values = {
        "nonlinearity": metrics.nonlinearity(p_i, p_j, p_mixed, lam, "none"),
        "jsd": metrics.jensen_shannon(p_i, p_j, p_mixed, lam, "none"),
        "miss_rate": metrics.miss_rate(p_mixed, y_i, y_j, "none"),
        "entropy_clean": 0.5 * (metrics.entropy(p_i, "none") + metrics.entropy(p_j, "none")),
        "entropy_mixed": metrics.entropy(p_mixed, "none"),
        "entropy_linear": metrics.entropy(linear, "none"),
        "source_mass_mixed": metrics.source_mass(p_mixed, y_i, y_j, "none"),
        "source_mass_linear": metrics.source_mass(linear, y_i, y_j, "none"),
        "confidence_mixed": p_mixed.max(axis=1),
    }
    if "teacher_mixed_logits" in logits:
        teacher = metrics.softmax(logits["teacher_mixed_logits"])
        values["agreement"] = metrics.agreement(p_mixed, teacher, "none")
        values["kl_teacher"] = metrics.kl_divergence(teacher, p_mixed, "none")
        values |= zip(_IMITATION, (linear, p_mixed, teacher), strict=True)
    if matched_temperature is not None:
        matched = [metrics.softmax(logits[name], matched_temperature) for name in _OF_PAIR]
        values["nonlinearity_matched"] = metrics.nonlinearity(*matched, lam, reduction="none")
    return values


def _spread_metrics(
    logits: dict[str, np.ndarray], lam: np.ndarray, y_i: np.ndarray, y_j: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the metrics of ``spread_table`` by name: (pairs, 2) of the clean images, (pairs,) of the others."""
    p_i, p_j, p_mixed = (metrics.softmax(logits[name]) for name in _OF_PAIR)
    linear = metrics.linear_mixture(p_i, p_j, lam)
    pair = np.arange(len(lam))
    return {
        "entropy_clean": np.stack([metrics.entropy(p, "none") for p in (p_i, p_j)], axis=1),
        "entropy_mixed": metrics.entropy(p_mixed, "none"),
        "entropy_linear": metrics.entropy(linear, "none"),
        "own_mass_clean": np.stack([p_i[pair, y_i], p_j[pair, y_j]], axis=1),
        "source_mass_mixed": metrics.source_mass(p_mixed, y_i, y_j, "none"),
        "source_mass_linear": metrics.source_mass(linear, y_i, y_j, "none"),
    }


def _lam_ranges(lam: np.ndarray) -> list[tuple[float, float, np.ndarray]]:
    """Return the whole range of λ and its bins: both ends, and which of ``lam`` (pairs,) lie within."""
    edges = np.arange(LAM_BINS + 1) / LAM_BINS
    bin_of = np.clip(np.searchsorted(edges, lam, side="right") - 1, 0, LAM_BINS - 1)
    bins = [(edges[b], edges[b + 1], bin_of == b) for b in range(LAM_BINS)]
    return [(0.0, 1.0, np.ones(len(lam), dtype=bool)), *bins]

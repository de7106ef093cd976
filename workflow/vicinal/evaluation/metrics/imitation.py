"""How much of a student's answer to mixed inputs is its teacher's answer, and how much its own linear mixture."""

from typing import Any

import numpy as np

from vicinal.evaluation.metrics.inputs import CLIP, check_probabilities, check_same_shape

_TOLERANCE = 1e-8  # of the weight
_CHUNK_ELEMENTS = 1 << 17  # float64 values at a time: they fit into the cache


def imitation_weight(linear: Any, p_mixed: Any, teacher_mixed: Any) -> float:
    """Return the α in [0, 1] whose mixture α·(λ p(x_i) + (1−λ) p(x_j)) + (1−α)·t(x̃) is nearest to p(x̃).

    Nearest means the least mean over pairs of KL(mixture ‖ p(x̃)), which is convex in α. At α = 1 this is L_NL
    (``nonlinearity``), at 0 it is KL(t(x̃) ‖ p(x̃)), ``kl_teacher``. α is 1 for a student p that is linear by itself and
    0 for one that repeats its teacher t; it is 0 too where both mixed distributions are the same.

    Args:
        linear: the ``linear_mixture`` of the student's answers to the clean inputs (N, K).
        p_mixed: the student's answers to the mixed inputs x̃ (N, K).
        teacher_mixed: its teacher's answers to them (N, K).
    """
    from scipy.optimize import brentq  # slow to import

    linear, p = check_probabilities(linear, "linear"), check_probabilities(p_mixed, "p_mixed")
    teacher = check_probabilities(teacher_mixed, "teacher_mixed")
    check_same_shape(linear=linear, p_mixed=p, teacher_mixed=teacher)
    step = max(1, _CHUNK_ELEMENTS // p.shape[1])
    chunks = [slice(start, start + step) for start in range(0, len(p), step)]

    def slope(alpha: float) -> float:
        """Return the derivative of the sum of all KL; each row of own − its sums to 0."""
        total = 0.0
        for here in chunks:
            # Clipped before they are mixed: a clip of the mixture would break the convexity.
            own, its = np.maximum(linear[here], CLIP), np.maximum(teacher[here], CLIP)
            log_ratio = np.log(alpha * own + (1 - alpha) * its) - np.log(np.maximum(p[here], CLIP))
            total += float(np.sum((own - its) * log_ratio))
        return total

    if slope(0.0) >= 0:
        return 0.0
    if slope(1.0) <= 0:
        return 1.0
    return float(brentq(slope, 0.0, 1.0, xtol=_TOLERANCE))

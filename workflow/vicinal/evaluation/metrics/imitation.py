"""How much of a student's answer to mixed inputs is its teacher's answer, and how much its own linear mixture."""

from typing import Any

import numpy as np

from vicinal.evaluation.metrics.divergence import linear_mixture
from vicinal.evaluation.metrics.inputs import CLIP, check_probabilities, check_same_shape

_TOLERANCE = 1e-8  # of the weight


def imitation_weight(p_i: Any, p_j: Any, p_mixed: Any, teacher_mixed: Any, lam: Any) -> float:
    """Return the α in [0, 1] whose mixture α·(λ p(x_i) + (1−λ) p(x_j)) + (1−α)·t(x̃) is nearest to p(x̃).

    Nearest means the least mean over pairs of KL(p(x̃) ‖ mixture), which is convex in α. α is 1 for a student p that is
    linear by itself and 0 for one that repeats its teacher t; it is 0 too where both mixtures are the same. All
    probabilities are (N, K), ``lam`` is a number or (N,).

    Raises:
        MetricError: probabilities, shapes or ``lam`` outside [0, 1].
    """
    from scipy.optimize import brentq  # slow to import

    p, teacher = check_probabilities(p_mixed, "p_mixed"), check_probabilities(teacher_mixed, "teacher_mixed")
    linear = linear_mixture(p_i, p_j, lam)
    check_same_shape(p_mixed=p, linear=linear, teacher_mixed=teacher)
    # Clipped before they are mixed: a clip of the mixture would break the convexity.
    linear, teacher = np.maximum(linear, CLIP), np.maximum(teacher, CLIP)
    weighted = p * (linear - teacher)

    def slope(alpha: float) -> float:
        """Return the derivative of the sum of all KL."""
        return -float(np.sum(weighted / (alpha * linear + (1 - alpha) * teacher)))

    if slope(0.0) >= 0:
        return 0.0
    if slope(1.0) <= 0:
        return 1.0
    return float(brentq(slope, 0.0, 1.0, xtol=_TOLERANCE))

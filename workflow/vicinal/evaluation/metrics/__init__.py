"""Metrics of predictions, calibration and linearity between inputs, for NumPy arrays, lists or torch tensors.

Probabilities are (N, K), labels (N,), penultimate features (N, D). Everything is computed in float64, in nats, with
probabilities clipped at 1e-12 inside logarithms, and returned as a fraction (not percent). A top-1 prediction is the
lowest index among ties. ``MetricError``: an array has a wrong shape or numbers that are not finite, rows are no
probabilities, or labels do not fit. Nothing here imports torch.
"""

from vicinal.evaluation.metrics.calibration import (
    ReliabilityBins,
    adaptive_calibration_error,
    classwise_calibration_error,
    confidence_bins,
    confidence_gap,
    expected_calibration_error,
    overconfidence_error,
    reliability_bins,
)
from vicinal.evaluation.metrics.divergence import entropy, jensen_shannon, kl_divergence, linear_mixture, nonlinearity
from vicinal.evaluation.metrics.imitation import imitation_weight
from vicinal.evaluation.metrics.inputs import MetricError
from vicinal.evaluation.metrics.ranking import area_under_risk_coverage, auroc, error_auroc
from vicinal.evaluation.metrics.representations import (
    ClassPlane,
    class_plane,
    linear_cka,
    within_class_variability,
)
from vicinal.evaluation.metrics.scores import (
    accuracy,
    agreement,
    brier_score,
    miss_rate,
    negative_log_likelihood,
    source_mass,
)
from vicinal.evaluation.metrics.temperature import entropy_matching_temperature, fit_temperature, softmax

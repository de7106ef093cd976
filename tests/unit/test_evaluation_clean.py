"""The measures of clean images: by name, by hand, and against scikit-learn and torch."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from vicinal.evaluation import measures as evaluation
from vicinal.evaluation import metrics
from vicinal.evaluation.measures import clean_metrics, fidelity_metrics, predictions_table, representation_metrics

torch.set_num_threads(1)
CLASSES = 6


def draw(n, seed, scale=2.0):
    return scale * np.random.default_rng(seed).normal(size=(n, CLASSES))


def test_images_of_other_data_are_told_apart_as_scikit_learn_says():
    own, others = draw(501, 5), draw(300, 6, 1.2)
    confidence = [scipy.special.softmax(logits, axis=1).max(axis=1) for logits in (own, others)]
    found = evaluation.ood_metrics(own, others)
    positive = np.repeat([1, 0], [501, 300])
    assert found["auroc"] == pytest.approx(roc_auc_score(positive, np.concatenate(confidence)), abs=1e-12)
    false, true, _ = roc_curve(positive, np.concatenate(confidence), drop_intermediate=False)
    assert found["fpr95"] == false[true >= 0.95][0]
    assert 0.5 < found["auroc"] < 1 and 0 < found["fpr95"] < 1
    # By hand: all others less sure, and all surer.
    sure, unsure = np.eye(3)[[0, 1, 2, 0]] * 9, np.zeros((5, 3))
    assert evaluation.ood_metrics(sure, unsure) == {"auroc": 1.0, "fpr95": 0.0}
    assert evaluation.ood_metrics(unsure, sure) == {"auroc": 0.0, "fpr95": 1.0}


def test_clean_metrics_are_the_metrics_by_name():
    logits, labels = draw(500, 0), np.random.default_rng(1).integers(0, CLASSES, 500)
    found = clean_metrics(logits, labels, temperature=2.5)
    p = scipy.special.softmax(logits, axis=1)
    assert found == pytest.approx(
        {
            "accuracy": np.mean(p.argmax(axis=1) == labels),
            "nll": metrics.negative_log_likelihood(p, labels),
            "brier": metrics.brier_score(p, labels),
            "ece": metrics.expected_calibration_error(p, labels),
            "ace": metrics.adaptive_calibration_error(p, labels),
            "classwise_ece": metrics.classwise_calibration_error(p, labels),
            "oe": metrics.overconfidence_error(p, labels),
            "confidence_gap": p.max(axis=1).mean() - np.mean(p.argmax(axis=1) == labels),
            "mean_confidence": p.max(axis=1).mean(),
            "entropy": scipy.stats.entropy(p, axis=1).mean(),
            "auroc": roc_auc_score(p.argmax(axis=1) == labels, p.max(axis=1)),
            "aurc": metrics.area_under_risk_coverage(p, labels),
            "temperature_posthoc": 2.5,
            "ece_posthoc": metrics.expected_calibration_error(scipy.special.softmax(logits / 2.5, axis=1), labels),
        },
        rel=1e-10,
    )
    assert {type(value) for value in found.values()} == {float}
    right = clean_metrics(logits, logits.argmax(axis=1), temperature=2.5)
    assert found.keys() - right.keys() == {"auroc"}  # without an error
    assert right["aurc"] == 0


def test_representations_are_compared_with_the_teachers_where_there_is_one():
    labels, own, its = np.arange(60) % 3, draw(60, 0), draw(60, 1)
    own[:, 0] += 5 * labels
    nc1 = metrics.within_class_variability(own, labels)
    assert representation_metrics(own, labels) == {"nc1": nc1}
    assert representation_metrics(own, labels, its) == {"nc1": nc1, "cka_teacher": metrics.linear_cka(own, its)}
    # A collapsed network says the same of all images.
    assert representation_metrics(np.ones((60, 4)), labels, its) == {}


def test_posthoc_temperature_repairs_scaled_logits():
    rng = np.random.default_rng(2)
    logits = draw(20_000, 3)
    p = scipy.special.softmax(logits, axis=1)
    labels = (rng.random(len(p))[:, None] > p.cumsum(axis=1)).sum(axis=1)
    overconfident = 4 * logits
    fitted = metrics.fit_temperature(overconfident[:10_000], labels[:10_000])
    assert fitted == pytest.approx(4, rel=0.05)
    found = clean_metrics(overconfident[10_000:], labels[10_000:], fitted)
    assert found["ece"] > 0.1
    assert found["ece_posthoc"] < 0.02


def test_fidelity_compares_teacher_to_student():
    student, teacher = draw(300, 0), draw(300, 1)
    p, q = scipy.special.softmax(teacher, axis=1), scipy.special.softmax(student, axis=1)
    found = fidelity_metrics(student, teacher)
    assert found["kl_teacher"] == pytest.approx(scipy.special.rel_entr(p, q).sum(axis=1).mean(), rel=1e-10)
    assert found["agreement"] == np.mean(student.argmax(axis=1) == teacher.argmax(axis=1))
    assert fidelity_metrics(student, student) == {"agreement": 1.0, "kl_teacher": 0.0}


def test_predictions_table_has_one_row_an_image():
    logits = torch.tensor(draw(50, 0), dtype=torch.float32)
    labels, index = np.arange(50) % CLASSES, np.arange(50)[::-1] + 1000
    table = predictions_table(logits, labels, index)
    assert table.dtypes.astype(str).to_dict() == {
        "index": "int32",
        "label": "int32",
        "prediction": "int32",
        "confidence": "float32",
        "nll": "float32",
        "entropy": "float32",
    }
    assert table["index"].tolist() == index.tolist()
    assert table.label.tolist() == labels.tolist()
    assert table.prediction.tolist() == logits.argmax(dim=1).tolist()
    log_p = torch.log_softmax(logits.double(), dim=1)
    nll = torch.nn.functional.nll_loss(log_p, torch.tensor(labels), reduction="none")
    assert table.nll.to_numpy() == pytest.approx(nll.numpy(), rel=1e-6)
    assert table.confidence.to_numpy() == pytest.approx(log_p.exp().amax(dim=1).numpy(), rel=1e-6)
    entropy = torch.distributions.Categorical(logits=logits.double()).entropy()
    assert table.entropy.to_numpy() == pytest.approx(entropy.numpy(), rel=1e-6)


def test_predictions_are_enough_for_a_reliability_diagram():
    logits, labels = draw(400, 0), np.random.default_rng(1).integers(0, CLASSES, 400)
    table = predictions_table(logits, labels, np.arange(400))
    found = metrics.confidence_bins(table.confidence, table.prediction == table.label)
    expected = metrics.reliability_bins(metrics.softmax(logits), labels)
    assert found.count.tolist() == expected.count.tolist()
    assert found.accuracy == pytest.approx(expected.accuracy, nan_ok=True)
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-7, nan_ok=True)

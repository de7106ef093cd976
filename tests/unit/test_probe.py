"""What a trained network says of all inputs, and the rows of its tables that rest on its features."""

import numpy as np
import pytest
import torch
from torch import nn

from vicinal.evaluation import metrics, probe
from vicinal.evaluation.probe import model_tables, probe_logits

torch.set_num_threads(1)
# Made-up labels fit no answers.
pytestmark = pytest.mark.filterwarnings("ignore:fit_temperature")
SPLITS = {"train": 30, "validation": 20, "test": 25}
CLASSES, FEATURES = 4, 6


class Made:
    """Images of one split, as ``training.inputs.Images`` gives them."""

    side, device = 3, torch.device("cpu")

    def __init__(self, count, seed):
        rng = np.random.default_rng(seed)
        self.inputs = torch.from_numpy(rng.normal(size=(count, 2, 3, 3))).float()
        self.labels = torch.from_numpy(np.arange(count) % CLASSES)

    def clean(self, index):
        return self.inputs[index]

    def clean_batches(self, size):
        return iter(self.inputs.split(size))


class Network(nn.Module):
    """A small network with dropout, which must be off when it is measured."""

    def __init__(self):
        super().__init__()
        self.hidden, self.drop, self.fc = nn.Linear(18, FEATURES), nn.Dropout(0.5), nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.fc(self.drop(torch.relu(self.hidden(x.flatten(1)))))


def network(seed):
    torch.manual_seed(seed)
    model = Network()
    nn.init.normal_(model.hidden.weight)
    nn.init.normal_(model.fc.weight)
    return model.train()


@pytest.fixture
def inputs(monkeypatch):
    monkeypatch.setattr(probe, "BATCH", 8)  # the last batch is smaller
    data = {split: Made(count, seed) for seed, (split, count) in enumerate(SPLITS.items())}
    return probe.make_probe(data, 50, seed=0)


def by_hand(model, x):
    """Features and logits, without the network's forward pass."""
    features = np.maximum(x.flatten(1).numpy() @ model.hidden.weight.T.detach().numpy() + model.hidden.bias.tolist(), 0)
    return features, features @ model.fc.weight.T.detach().numpy() + model.fc.bias.tolist()


def test_logits_of_all_inputs_and_features_of_the_test_split(inputs):
    model = network(0)
    found = probe_logits(model, inputs)
    assert list(found.clean) == list(SPLITS) and list(found.mixed) == ["train", "test"]
    for split, images in inputs.data.items():
        features, logits = by_hand(model, images.inputs)
        np.testing.assert_allclose(found.clean[split], logits, rtol=1e-4, atol=1e-5)
        assert found.clean[split].dtype == np.float32
    np.testing.assert_allclose(found.clean_features, features, rtol=1e-4, atol=1e-5)  # test is the last split
    for split, pairs in inputs.pairs.items():
        x, lam = inputs.data[split].inputs, torch.from_numpy(pairs.lam)[:, None, None, None].float()
        features, logits = by_hand(model, lam * x[pairs.i] + (1 - lam) * x[pairs.j])
        np.testing.assert_allclose(found.mixed[split], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.mixed_features, features, rtol=1e-4, atol=1e-5)


def rows_of(tables, name):
    """{(split, metric): (value, count)} over all pairs and λ."""
    table = tables[name]
    if name == "vicinal":
        table = table[(table["pairs"] == "all") & (table["lam_low"] == 0) & (table["lam_high"] == 1)]
    counts = table.get("count", table["value"])
    rows = zip(table["split"], table["metric"], table["value"], counts, strict=True)
    return {(split, metric): (value, count) for split, metric, value, count in rows}


def test_a_students_features_and_answers_are_compared_with_its_teachers(inputs):
    student, teacher = (probe_logits(network(seed), inputs) for seed in (0, 1))
    tables = model_tables(student, inputs, teacher, None)
    clean, mixed = rows_of(tables, "metrics"), rows_of(tables, "vicinal")
    labels, pairs = inputs.labels["test"], inputs.pairs["test"]
    assert clean["test", "parameters"][0] == (18 + 1) * FEATURES + (FEATURES + 1) * CLASSES
    assert clean["test", "nc1"][0] == metrics.within_class_variability(student.clean_features, labels)
    assert clean["test", "cka_teacher"][0] == metrics.linear_cka(student.clean_features, teacher.clean_features)
    nearer = [labels[i] if lam > 0.5 else labels[j] for i, j, lam in zip(pairs.i, pairs.j, pairs.lam, strict=True)]
    assert mixed["test", "nc1"] == (metrics.within_class_variability(student.mixed_features, nearer), 50)
    assert mixed["test", "cka_teacher"] == (metrics.linear_cka(student.mixed_features, teacher.mixed_features), 50)
    p, own, its = (metrics.softmax(x) for x in (student.clean["test"], student.mixed["test"], teacher.mixed["test"]))
    weight = metrics.imitation_weight(metrics.linear_mixture(p[pairs.i], p[pairs.j], pairs.lam), own, its)
    assert mixed["test", "imitation_weight"] == (pytest.approx(weight, abs=1e-7), 50)
    for key in (("validation", "nc1"), ("train", "nc1"), ("train", "cka_teacher")):
        assert key not in clean | mixed
    copy = rows_of(model_tables(teacher, inputs, teacher, None), "vicinal")
    assert copy["test", "imitation_weight"][0] == pytest.approx(0, abs=1e-6)
    assert copy["test", "cka_teacher"][0] == pytest.approx(1)


def test_without_a_teacher_there_is_nothing_to_compare_with(inputs):
    tables = model_tables(probe_logits(network(0), inputs), inputs, None, None, is_teacher=True)
    for name in ("metrics", "vicinal"):
        found = {metric for _, metric in rows_of(tables, name)}
        assert "nc1" in found
        assert not {"cka_teacher", "imitation_weight"} & found


def test_a_network_that_says_the_same_of_all_images_has_tables(inputs):
    model = network(0)
    nn.init.zeros_(model.hidden.weight)
    tables = model_tables(probe_logits(model, inputs), inputs, None, None)
    assert "nc1" not in {metric for name in ("metrics", "vicinal") for _, metric in rows_of(tables, name)}
    assert tables["vicinal"].dtypes["count"] == np.int64

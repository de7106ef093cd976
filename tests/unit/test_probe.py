"""What a trained network says of all inputs, and the rows of its tables that rest on its features."""

import numpy as np
import pandas as pd
import pytest
import torch
from test_confusion import draw, linear_logits, make
from torch import nn

from vicinal.evaluation import metrics, probe
from vicinal.evaluation.confusion import COLUMNS, confusion_table, similarity_matrices, similarity_table
from vicinal.evaluation.files import MEASURES, split_tables, table_files
from vicinal.evaluation.measures import spread_table
from vicinal.evaluation.probe import Logits, Probe, model_tables, probe_logits

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


def test_a_models_tables_hold_both_splits_and_the_tests_on_the_test_split():
    clean, mixed, pairs, labels = make()
    splits = ("train", "validation", "test")
    features = draw((len(labels), 3), 1), draw((len(pairs), 3), 2)
    answers = {"train": mixed, "test": linear_logits(clean, pairs, 2.0)}
    logits = Logits(dict.fromkeys(splits, clean), answers, *features, parameters=9)
    probe = Probe({}, dict.fromkeys(splits, labels), {"train": pairs, "test": pairs})
    tables = model_tables(logits, probe, None, None, is_teacher=True)
    confusion = tables["confusion"]
    assert confusion.columns.tolist() == ["split", *COLUMNS]
    assert not confusion.duplicated(["split", "temperature", "metric"]).any()
    pd.testing.assert_frame_equal(
        confusion[confusion["split"] == "train"].drop(columns="split"), confusion_table(clean, mixed, pairs, labels)
    )
    test = confusion[(confusion["split"] == "test") & (confusion["temperature"] == 2)].set_index("metric")["value"]
    assert test["explained_share"] == pytest.approx(1)
    assert test["spearman_mixed_linear"] == pytest.approx(1)
    matrices = similarity_matrices(clean, logits.mixed["test"], pairs, labels)
    pd.testing.assert_frame_equal(tables["similarity"], similarity_table(matrices))
    spread = tables["spread"]
    assert spread.columns.tolist() == ["split", "lam_low", "lam_high", "metric", "quantile", "value", "count"]
    for split in ("train", "test"):
        expected = spread_table(clean[pairs.i], clean[pairs.j], logits.mixed[split], pairs, labels)
        own = spread[spread["split"] == split].drop(columns="split").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, expected)
    of_student = model_tables(logits, probe, logits, None)
    assert not {"similarity", "spread"} & set(of_student)
    for measured in (tables, of_student):
        for name, table in split_tables(table_files(measured)[MEASURES]).items():
            pd.testing.assert_frame_equal(table, measured[name], check_exact=True)

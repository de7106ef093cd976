"""What is made of the weights of a given teacher: a model like a trained one, or one line that refuses them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_given_teachers import CONFIG, FILE, artefacts_of, with_teachers
from test_given_teachers import folder as folder  # the fixture that all tests work in

from vicinal.data.store import DataStore
from vicinal.errors import VicinalError
from vicinal.files import sha256
from vicinal.jobs.records import is_finished
from vicinal.models import build_model
from vicinal.models.pretrained import WEIGHTS
from vicinal.models.registry import architecture
from vicinal.results import RECORD
from vicinal.training.given_weights import take_weights
from vicinal.training.history import training_history
from vicinal.training.weights import load_weights


def store(classes: int = 10) -> DataStore:
    """Return what the making of a teacher asks of a data set of grey images."""
    return type("Grey", (), {"num_classes": classes, "mean": [0.5]})


def wanted(entry=None) -> dict:
    [teacher] = artefacts_of(with_teachers(entry) if entry else CONFIG).teachers.values()
    return {"id": teacher.id, "spec": teacher.spec, "code": "c", "data_sha256": "d"}


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_the_weights_become_a_model_like_a_trained_one(folder, ending):
    path = Path(f"own.{ending}")
    state = load_file(FILE)
    torch.save(state, path) if ending == "pt" else save_file(state, path)
    record = wanted({"model": "resnet14", "weights": str(path)})
    take_weights(folder / "model", record, store(), path)
    assert is_finished(folder / "model" / RECORD, record)
    model = build_model(architecture("resnet14"), 10, 1)
    load_weights(folder / "model", model)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert len(training_history(folder / "model")) == 0


def test_another_file_than_was_planned_with(folder):
    record = wanted()
    save_file({"x": torch.zeros(1)}, FILE)
    with pytest.raises(VicinalError, match=r"teacher.safetensors: not the file that this run was planned with \(.*"):
        take_weights(folder / "model", record, store(), Path(FILE))
    assert not (folder / "model").exists()


@pytest.mark.parametrize(
    ("change", "classes", "line"),
    [
        ({}, 7, "teacher.safetensors: weights for 10 classes, the data have 7"),
        ({"fc.weight": torch.zeros(10, 3)}, 10, "another network (shapes differ: fc.weight (10, 3) for (10, 64))"),
        ({"fc.bias": None}, 10, "the weights of another network (missing: fc.bias)"),
        ({"more": torch.zeros(2)}, 10, "the weights of another network (unknown: more)"),
        ({"fc.bias": torch.full((10,), torch.nan)}, 10, "fc.bias has values that are NaN or infinite"),
    ],
    ids=["classes", "features", "no last layer", "more", "NaN"],
)
def test_weights_that_do_not_fit(folder, change, classes, line):
    state = {**build_model(architecture("resnet14"), 10, 1).state_dict(), **change}
    save_file({name: value for name, value in state.items() if value is not None}, FILE)
    with pytest.raises(VicinalError) as error:
        take_weights(folder / "model", wanted(), store(classes), Path(FILE))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_published_weights_keep_their_last_layer(folder, monkeypatch):
    path = Path("data/weights/net.pth")
    torch.save(load_file(FILE), path)
    entry = replace(WEIGHTS["resnet34_imagenet"], url="https://x/net.pth", sha256=sha256(path)[:8])
    monkeypatch.setitem(WEIGHTS, "resnet14", entry)
    record = wanted({"model": "resnet14", "weights": "published"})
    with pytest.raises(VicinalError, match="published weights know the 1,000 classes of ImageNet, the data have 10"):
        take_weights(folder / "model", record, store(), path)
    monkeypatch.setattr("vicinal.training.given_weights.CLASSES", 10)
    take_weights(folder / "model", record, store(), path)
    made = load_file(folder / "model" / "weights.safetensors")
    assert torch.equal(made["fc.weight"], load_file(FILE)["fc.weight"])


def test_the_script_needs_the_file(folder):
    with pytest.raises(VicinalError, match="its weights are given: name their file by --weights"):
        take_weights(folder / "model", wanted(), store(), None)
    with pytest.raises(VicinalError, match=r"gone\.pt: no such file"):
        take_weights(folder / "model", wanted(), store(), Path("gone.pt"))

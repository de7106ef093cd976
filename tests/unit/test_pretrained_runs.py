"""Networks that start from published weights: what is planned, what is fetched, and what they start with."""

import copy

import pytest
import torch

from vicinal.analysis.tables import model_table
from vicinal.config import validate
from vicinal.errors import VicinalError
from vicinal.files import sha256
from vicinal.models import build_model
from vicinal.models.pretrained import WEIGHTS
from vicinal.models.registry import architecture
from vicinal.planning.plans import build_plans, resolve
from vicinal.training.learner import make_learner

CONFIG = {
    "name": "photos",
    "data": {"name": "digits", "root": "somewhere"},
    "recipe": {"epochs": 1, "pretrained": True},
    "teacher_recipe": {"lr": 0.01},
    "seeds": [0, 1],
    "grids": [
        {"teachers": ["convnext_tiny", "resnet34_imagenet"], "students": ["resnet18_imagenet_mlp"],
         "methods": ["ce", "kd_mixup"]}
    ],
}  # fmt: skip


def plans(config, tmp_path):
    artefacts, _ = resolve(validate(config, "test"), "test", tmp_path)
    return artefacts, {plan.ref: plan for plan in build_plans(artefacts)}


def test_each_file_of_weights_is_fetched_once(tmp_path):
    artefacts, made = plans(CONFIG, tmp_path)
    names = {"convnext_tiny", "resnet34_imagenet", "resnet18_imagenet"}
    assert {id_ for stage, id_ in made if stage == "weights"} == names
    assert artefacts.weights == dict.fromkeys(names, "somewhere")
    for id_, teacher in artefacts.teachers.items():
        assert ("weights", teacher.weights) in made["teachers", id_].upstream
        assert teacher.spec["weights"] == {"name": teacher.weights, "sha256": WEIGHTS[teacher.weights].sha256}
    for id_ in artefacts.cohorts:
        assert ("weights", "resnet18_imagenet") in made["cohorts", id_].upstream


def test_without_them_specs_are_as_they_were(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["recipe"]["pretrained"] = False
    artefacts, made = plans(config, tmp_path)
    assert not artefacts.weights
    assert not [ref for ref in made if ref[0] == "weights"]
    for model in (*artefacts.teachers.values(), *artefacts.cohorts.values()):
        assert "weights" not in model.spec
        assert "pretrained" not in model.spec["recipe"]


def test_teachers_may_start_from_published_weights_and_students_not(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["recipe"]["pretrained"] = False
    config["teacher_recipe"]["pretrained"] = True
    artefacts, _ = plans(config, tmp_path)
    assert set(artefacts.weights) == {"convnext_tiny", "resnet34_imagenet"}
    columns = [student.columns for student in artefacts.students.values()]
    assert not any("pretraining_mixup" in column for column in columns)


def test_weights_trained_with_mixup_are_flagged(tmp_path):
    artefacts, _ = plans(CONFIG, tmp_path)
    for teacher in artefacts.teachers.values():
        assert teacher.columns["pretraining_mixup"] == (teacher.columns["model"] == "convnext_tiny")
    for student in artefacts.students.values():
        assert student.columns["pretraining_mixup"] is False
        taught = student.columns.get("teacher_pretraining_mixup")
        assert taught == {"convnext_tiny": True, "resnet34_imagenet": False}.get(student.columns["teacher"])
    table = model_table({id_: model.columns for id_, model in {**artefacts.teachers, **artefacts.students}.items()})
    assert {"pretraining_mixup", "teacher_pretraining_mixup"} <= set(table)


def test_a_network_without_published_weights(tmp_path):
    config = copy.deepcopy(CONFIG)
    config["grids"][0]["students"] = ["resnet20"]
    with pytest.raises(VicinalError, match=r"^recipe.pretrained: there are no published weights of resnet20; set it"):
        plans(config, tmp_path)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights of resnet18 with another head, as if published, and the spec of a student."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(build_model(architecture("resnet18_imagenet"), 1000, 3).state_dict(), path)
    spec = {
        "stage": "student", "model": architecture("resnet18_imagenet_mlp"), "seed": 3, "loss": {"ce_weight": 1},
        "recipe": {"optimizer": "adam", "weight_decay": 0.0, "epochs": 1},
        "weights": {"name": "resnet18_imagenet", "sha256": sha256(path)[:8]},
    }  # fmt: skip
    return path, spec


class Rgb:
    """What a network needs to know of images."""

    num_classes, channels, window, device = 10, 3, None, torch.device("cpu")
    images = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    mean, scale = torch.full((3,), 127.5), torch.full((3,), 1 / 64)


def test_a_learner_starts_from_them_with_a_head_of_its_own(weights):
    path, spec = weights
    published = torch.load(path, weights_only=True)
    first, second = (make_learner("a", {**spec, "seed": seed}, Rgb, path).model.state_dict() for seed in (3, 4))
    trunk = [name for name in published if not name.startswith("fc.")]
    assert len(trunk) > 100
    for name in trunk:
        assert torch.equal(first[name], published[name]), name
        assert torch.equal(second[name], published[name]), name
    head = [name for name in first if name.startswith("fc.") and name.endswith("weight") and first[name].dim() == 2]
    assert all(not torch.equal(first[name], second[name]) for name in head)


def test_a_learner_that_is_to_start_from_weights_must_get_the_right_ones(weights, tmp_path):
    path, spec = weights
    with pytest.raises(VicinalError, match="a: it starts from the published weights resnet18_imagenet: give --weights"):
        make_learner("a", spec, Rgb)
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(VicinalError, match=r"damaged.pth: damaged or replaced"):
        make_learner("a", spec, Rgb, damaged)

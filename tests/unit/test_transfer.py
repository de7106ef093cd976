"""The authors' protocol: their teachers and students take a few steps on enlarged images (fresh weights)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from configs import EXPERIMENTS, load

from vicinal.config import read_config
from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.planning.recipes import resolve_recipe
from vicinal.training.inputs import Images, adapt, window_of
from vicinal.training.learner import make_learner
from vicinal.training.loop import train
from vicinal.training.numerics import Numerics
from vicinal.training.optimizers import learning_rate
from vicinal.training.step import Training

torch.set_num_threads(1)
CPU = torch.device("cpu")
[EXPERIMENT] = load(read_config(EXPERIMENTS / "cifar100-transfer.yaml"))
[GRID] = EXPERIMENT.grids.values()
QUICK = ("convnext_tiny", "resnet18_imagenet", "mobilenet_v2_imagenet")


def networks(names):
    """Return the names as parameters; a large network takes a minute and the code of a small one."""
    marks = [() if name.startswith(QUICK) else pytest.mark.long for name in names]
    return [pytest.param(name, marks=mark) for name, mark in zip(names, marks, strict=True)]


def store(images=6):
    random = np.random.default_rng(0)
    return SimpleNamespace(
        images=random.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8),
        labels=random.integers(0, 100, images),
        splits={"train": np.arange(images - 2), "validation": np.arange(images - 2, images)},
        num_classes=100, mean=np.array([0.507, 0.487, 0.441]), std=np.array([0.267, 0.256, 0.276]),
    )  # fmt: skip


def splits(recipe):
    return {split: Images(store(), split, CPU, window_of(recipe)) for split in ("train", "validation")}


def shortened(recipe, model):
    return {**resolve_recipe(recipe, model), "batch_size": 2, "epochs": 1}


def taught(spec, recipe, data, alpha=None, teacher=None):
    learner = make_learner("a", spec, data["train"])
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    train([learner], Training(data["train"], data["validation"], recipe, 0, alpha, teacher))
    assert learner.diverged is None
    assert all(np.isfinite(row["loss"]) for row in learner.history)
    changed = {name for name, value in learner.model.state_dict().items() if not torch.equal(value, before[name])}
    return learner, changed


@pytest.mark.parametrize("model", networks([entry.model for entry in GRID.teachers]))
def test_teachers(model):
    changes = EXPERIMENT.teacher_recipe.model_dump(exclude_none=True)
    recipe = shortened(EXPERIMENT.recipe.model_copy(update=changes), model)
    assert (recipe["schedule"], recipe["optimizer"], window_of(recipe)) == ("plateau", "sgd", (236, 224))
    data = splits(recipe)
    spec = {"stage": "student", "model": architecture(model), "recipe": recipe, "seed": 0, "loss": {"ce_weight": 1}}
    learner, changed = taught(spec, recipe, data)
    assert learner.history[0]["lr"] == 1e-4
    assert "validation_loss" in learner.history[0]
    assert len(changed) > 100


@pytest.mark.parametrize("model", networks(GRID.students))
def test_students(model):
    recipe = {**shortened(EXPERIMENT.recipe, model), "head_epochs": 1}
    data = splits(recipe)
    torch.manual_seed(1)
    frozen = architecture("resnet18_imagenet")
    teacher = Numerics().freeze(adapt(build_model(frozen, 100, 3), {"model": frozen}, data["train"]))
    spec = {
        "stage": "student", "model": architecture(model), "recipe": recipe, "seed": 0, "temperature": "std",
        "loss": EXPERIMENT.loss.model_dump(),
    }  # fmt: skip
    learner, changed = taught(spec, recipe, data, alpha=1.0, teacher=teacher)
    # the head alone at 1e-3, then all; in the second of two steps
    assert [row["lr"] for row in learner.history] == [1e-3, learning_rate(recipe, 0.5)]
    assert any(name.startswith(learner.model.head_name) for name in changed)
    assert any(not name.startswith(learner.model.head_name) for name in changed)

"""A cohort of small students on digits, for tests of the engine's parts."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from vicinal.data.catalogue import resolve_source
from vicinal.data.prepare import prepare_data
from vicinal.models.registry import architecture
from vicinal.training.inputs import EpochTables, Images
from vicinal.training.learner import make_learner
from vicinal.training.loop import Callbacks, train
from vicinal.training.numerics import Numerics
from vicinal.training.phases import phase_at
from vicinal.training.step import CohortStep, Training

RECIPE = {
    "optimizer": "sgd", "epochs": 3, "batch_size": 16, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4,
    "schedule": "step", "milestones": [0.5], "gamma": 0.1, "crop_padding": 1, "flip": True,
}  # fmt: skip
IMAGES = 104  # six batches of 16 and one of 8
TEMPERATURES = (1.0, "std", 4.0)


@cache
def _splits(device: torch.device, images: int) -> dict[str, Images]:
    spec = {"name": "digits", **resolve_source("digits", "data"), "validation": 30, "limit_train": images}
    with TemporaryDirectory() as folder:
        store = prepare_data(spec, "data", Path(folder))
        return {split: Images(store, split, device) for split in ("train", "validation")}


def splits(device: str = "cpu", images: int = IMAGES) -> dict[str, Images]:
    """Return the training and the validation split on a device, with so many images to train on."""
    return _splits(torch.device(device), images)


def frozen_teacher(device: str = "cpu", numerics: Numerics | None = None) -> torch.nn.Module:
    spec = {"stage": "student", "model": architecture("resnet8"), "recipe": RECIPE, "seed": 11}
    spec["loss"] = {"ce_weight": 1}
    return (numerics or Numerics()).freeze(make_learner("teacher", spec, splits(device)["train"]).model)


def training_on(device: str = "cpu", numerics: Numerics | None = None, recipe=RECIPE) -> Training:
    """Return what the students are trained on."""
    data, numerics = splits(device), numerics or Numerics()
    return Training(data["train"], data["validation"], recipe, 3, 1.0, frozen_teacher(device, numerics), numerics)


def students(device: str = "cpu", temperatures=TEMPERATURES, recipe=RECIPE):
    loss = {"kd_weight": 0.9, "ce_weight": 0.1}
    spec = {"stage": "student", "model": architecture("resnet8_narrow"), "recipe": recipe, "seed": 3, "loss": loss}
    data = splits(device)["train"]
    return [make_learner(f"student_t{t}", {**spec, "temperature": t}, data) for t in temperatures]


def cohort_step(learners, numerics=None, device: str = "cpu") -> tuple[CohortStep, list[int]]:
    """Return a step at the start of the first epoch, and the sizes of its batches."""
    training, phase = training_on(device, numerics), phase_at(RECIPE, 0)
    plan = training.plan(0, phase)
    step = CohortStep(learners, training, EpochTables(plan, training.device), phase)
    step.begin([0.05] * len(plan.bounds))
    for learner in learners:
        learner.model.train()
    return step, [stop - start for start, stop in plan.bounds]


def trained(numerics: Numerics | None = None, device: str = "cpu", temperatures=TEMPERATURES, recipe=RECIPE, **calls):
    """Return students after a short training."""
    learners = students(device, temperatures, recipe)
    train(learners, training_on(device, numerics, recipe), callbacks=Callbacks(**calls))
    return learners


def assert_same(ones, others) -> None:
    """Check that two cohorts are equal bit for bit."""
    for one, other in zip(ones, others, strict=True):
        pairs = zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for (_, a), b in pairs), one.id
        assert all(torch.equal(a, b) for a, b in zip(one.optimizer.buffers, other.optimizer.buffers, strict=True))
        assert [row["loss"] for row in one.history] == [row["loss"] for row in other.history]

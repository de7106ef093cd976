"""The declared dependencies: which field of the config reaches which models and which measurements.

Every leaf of the schema stands in ``FIELDS``, with a change of it and what the change retrains. A leaf that is missing
here fails the contract test.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from vicinal.config import Experiment

Columns = dict[str, Any]


def every(model: Columns) -> bool:
    """Every teacher and student."""
    return True


def none(model: Columns) -> bool:
    """Nothing is trained."""
    return False


def taught(model: Columns) -> bool:
    """Teachers, and the students that learn from them."""
    return model["role"] == "teacher" or model["teacher"] is not None


def distilled(model: Columns) -> bool:
    """Students that learn from a teacher."""
    return model["role"] == "student" and model["teacher"] is not None


def first_block(model: Columns) -> bool:
    """Distilled students of the first block: the loss of the second is its own."""
    return distilled(model) and model["teacher_mixup_alpha"] is None


def mixup_teacher(model: Columns) -> bool:
    """The teacher of the second block."""
    return model["role"] == "teacher" and model["alpha"] is not None


def second_block(model: Columns) -> bool:
    """Students of the second block, whose teacher is trained with mixup."""
    return distilled(model) and model["teacher_mixup_alpha"] is not None


def about(teacher: str) -> Callable[[Columns], bool]:
    """A teacher of this name, and the students that learn from it."""
    return lambda model: teacher in (model["model"], model.get("teacher"))


def where(**wanted: Any) -> Callable[[Columns], bool]:
    """Models whose columns have these values."""
    return lambda model: all(model.get(name) == value for name, value in wanted.items())


@dataclass
class Effect:
    """What a change does.

    Attributes:
        path: of the leaf, e.g. ``recipe.lr``; blocks by their position.
        value: its new value.
        also: what must change with it, path → value.
        trains: which of the models that are then wanted are trained; all others must be there already.
        data: whether the data store is another.
        measures: whether all models are measured anew.
        tables: whether the tables and what follows are made anew, from the same results.
        renames: whether the tables and what follows belong to another experiment.
    """

    path: str
    value: Any
    trains: Callable[[Columns], bool] = none
    data: bool = False
    measures: bool = False
    tables: bool = False
    renames: bool = False
    also: dict[str, Any] = dataclasses.field(default_factory=dict)


def data(path: str, value: Any, **also: Any) -> Effect:
    """Another data store: everything is made anew."""
    return Effect(path, value, every, data=True, also=also)


GIVEN_FILE = "data/weights/teacher.pt"


def normalisation(name: str, **other: Any) -> Effect:
    """A given teacher in a normalisation of its own: it is made, and its students are trained."""
    path = "grids.1.teachers.0."
    more = {f"{path}normalisation.{key}": value for key, value in other.items()}
    also = {**more, f"{path}weights": GIVEN_FILE}
    return Effect(f"{path}normalisation.{name}", [0.5], second_block, also=also)


PHOTOS = {"data.store": "photos", "recipe.crop": 8, "recipe.crop_padding": 0}


FIELDS: dict[str, list[Effect]] = {
    "name": [Effect("name", "other", renames=True)],
    # Only the snapshot of a run with changes has it.
    "variant_of": [],
    "data.name": [data("data.name", "other")],
    "data.root": [Effect("data.root", "moved")],
    "data.source": [Effect("data.source", "parquet")],
    "data.store": [data("data.store", "photos", **PHOTOS)],
    "data.shorter_side": [data("data.shorter_side", 16, **PHOTOS), Effect("data.shorter_side", 16)],
    "data.quality": [data("data.quality", 90, **PHOTOS), Effect("data.quality", 90)],
    "data.bad_share": [data("data.bad_share", 0.01, **PHOTOS), Effect("data.bad_share", 0.01)],
    "data.as_viewed": [data("data.as_viewed", True)],
    "data.image_column": [data("data.image_column", "image")],
    "data.label_column": [data("data.label_column", "label")],
    "data.validation": [data("data.validation", 6)],
    "data.split_seed": [data("data.split_seed", 1)],
    "data.limit_train": [data("data.limit_train", 20)],
    # All images are trained on, so there is no subset.
    "data.subset": [Effect("data.subset", "per_seed")],
    "data.limit_test": [data("data.limit_test", 10)],
    # No network of the base has published weights: see test_pretrained_runs.py.
    "recipe.pretrained": [],
    "recipe.optimizer": [Effect("recipe.optimizer", "adam", every)],
    "recipe.epochs": [Effect("recipe.epochs", 5, every)],
    "recipe.batch_size": [Effect("recipe.batch_size", 4, every)],
    "recipe.lr": [Effect("recipe.lr", 0.05, every)],
    "recipe.lr_by_model": [
        Effect("recipe.lr_by_model", {"resnet8_narrow": 0.02}, where(role="student")),
        Effect("recipe.lr_by_model", {"resnet14": 0.02}, about("resnet14")),
        Effect("recipe.lr_by_model", {"resnet20": 0.02}),
    ],
    "recipe.momentum": [Effect("recipe.momentum", 0.8, every)],
    "recipe.nesterov": [Effect("recipe.nesterov", True, every)],
    "recipe.weight_decay": [Effect("recipe.weight_decay", 1e-4, every)],
    "recipe.schedule": [Effect("recipe.schedule", "cosine", every)],
    "recipe.milestones": [Effect("recipe.milestones", [0.5], every)],
    "recipe.gamma": [Effect("recipe.gamma", 0.2, every)],
    "recipe.head_epochs": [Effect("recipe.head_epochs", 1, every)],
    "recipe.head_lr": [Effect("recipe.head_lr", 0.1, every, also={"recipe.head_epochs": 1})],
    "recipe.schedule_scale": [Effect("recipe.schedule_scale", 3, every)],
    "recipe.patience": [Effect("recipe.patience", 2)],  # of another schedule
    "recipe.lr_min": [Effect("recipe.lr_min", 1e-5)],  # of another schedule
    "recipe.factors": [Effect("recipe.factors", [1, 0.1])],  # of another schedule
    "recipe.crop_padding": [Effect("recipe.crop_padding", 1, every)],
    "recipe.flip": [Effect("recipe.flip", False, every)],
    "recipe.resize": [Effect("recipe.resize", 12, every, also={"recipe.crop": 8, "recipe.crop_padding": 0})],
    "recipe.crop": [Effect("recipe.crop", 10, every, also={"recipe.resize": 12, "recipe.crop_padding": 0})],
    "teacher_recipe.pretrained": [],
    "teacher_recipe.optimizer": [Effect("teacher_recipe.optimizer", "adam", taught)],
    "teacher_recipe.epochs": [Effect("teacher_recipe.epochs", 5, taught), Effect("teacher_recipe.epochs", 4)],
    "teacher_recipe.batch_size": [Effect("teacher_recipe.batch_size", 4, taught)],
    "teacher_recipe.lr": [Effect("teacher_recipe.lr", 0.05, taught)],
    "teacher_recipe.lr_by_model": [
        Effect("teacher_recipe.lr_by_model", {"resnet14": 0.02}, about("resnet14")),
        Effect("teacher_recipe.lr_by_model", {"resnet8_narrow": 0.02}),
    ],
    "teacher_recipe.momentum": [Effect("teacher_recipe.momentum", 0.8, taught)],
    "teacher_recipe.nesterov": [Effect("teacher_recipe.nesterov", True, taught)],
    "teacher_recipe.weight_decay": [Effect("teacher_recipe.weight_decay", 1e-4, taught)],
    "teacher_recipe.schedule": [Effect("teacher_recipe.schedule", "constant", taught)],
    "teacher_recipe.milestones": [Effect("teacher_recipe.milestones", [0.5], taught)],
    "teacher_recipe.gamma": [Effect("teacher_recipe.gamma", 0.2, taught)],
    "teacher_recipe.head_epochs": [Effect("teacher_recipe.head_epochs", 1, taught)],
    "teacher_recipe.head_lr": [
        Effect("teacher_recipe.head_lr", 0.1, taught, also={"teacher_recipe.head_epochs": 1}),
    ],
    "teacher_recipe.schedule_scale": [Effect("teacher_recipe.schedule_scale", 3, taught)],
    "teacher_recipe.patience": [
        Effect("teacher_recipe.patience", 2, taught, also={"teacher_recipe.schedule": "plateau"}),
    ],
    "teacher_recipe.lr_min": [
        Effect("teacher_recipe.lr_min", 1e-5, taught, also={"teacher_recipe.schedule": "plateau"}),
    ],
    "teacher_recipe.factors": [Effect("teacher_recipe.factors", [1, 0.1])],  # of another schedule
    "teacher_recipe.crop_padding": [Effect("teacher_recipe.crop_padding", 1, taught)],
    "teacher_recipe.flip": [Effect("teacher_recipe.flip", False, taught)],
    "loss.kd_weight": [Effect("loss.kd_weight", 0.5, first_block)],
    "loss.ce_weight": [Effect("loss.ce_weight", 0.5, first_block)],
    "seeds": [
        Effect("seeds", [0, 1, 2], where(seed=2)),
        Effect("seeds", [0]),
        Effect("seeds", [1, 0]),
    ],
    "grids.teachers.model": [
        Effect("grids.1.teachers.0.model", "resnet14", lambda m: second_block(m) or mixup_teacher(m)),
        Effect("grids.0.teachers", ["resnet14"]),
        Effect("grids.0.teachers", ["resnet8", "resnet14"]),
        Effect("grids.0.teachers", ["resnet8", "resnet14", "resnet20"], about("resnet20")),
    ],
    "grids.teachers.mixup_alpha": [
        Effect("grids.1.teachers.0.mixup_alpha", 0.25, lambda m: second_block(m) or mixup_teacher(m)),
    ],
    # A teacher that is given is made, not trained.
    "grids.teachers.weights": [Effect("grids.1.teachers.0.weights", GIVEN_FILE, second_block)],
    # Of given files alone.
    "grids.teachers.normalisation.mean": [normalisation("mean", std=[0.25])],
    "grids.teachers.normalisation.std": [normalisation("std", mean=[0.25])],
    "grids.students": [
        Effect("grids.0.students", ["resnet8_narrow", "resnet8"], where(role="student", model="resnet8")),
    ],
    "grids.methods": [
        Effect("grids.0.methods", ["kd_mixup", "ce", "kd", "ce_mixup"]),
        Effect("grids.0.methods", ["ce", "kd"]),
        Effect("grids.1.methods", ["kd_mixup", "kd"], lambda m: second_block(m) and m["method"] == "kd"),
    ],
    "grids.alphas": [
        Effect("grids.0.alphas", [1.0, 0.2], where(role="student", alpha=0.2)),
        Effect("grids.0.alphas", [1]),
    ],
    "grids.temperatures": [
        Effect("grids.0.temperatures", [2, 4, 8], where(temperature="8")),
        Effect("grids.0.temperatures", [4.0, 2.0]),
        Effect("grids.0.temperatures", [4]),
        Effect("grids.0.temperatures", [2, 4, "std"], where(temperature="std")),
    ],
    "grids.logit_scales": [Effect("grids.1.logit_scales", [0.5, 1.0, 2.0], where(logit_scale=0.5))],
    "grids.seeds": [
        Effect("grids.1.seeds", [0, 1], lambda m: m["seed"] == 1 and (second_block(m) or mixup_teacher(m))),
    ],
    "grids.loss.kd_weight": [Effect("grids.1.loss.kd_weight", 0.8, second_block)],
    "grids.loss.ce_weight": [Effect("grids.1.loss.ce_weight", 0.2, second_block)],
    "evaluation.pairs": [Effect("evaluation.pairs", 120, measures=True)],
    "evaluation.pair_seed": [Effect("evaluation.pair_seed", 1, measures=True)],
    "evaluation.ood": [Effect("evaluation.ood", ["other"], measures=True)],
    # Of these data no corrupted images are published: the tables alone say so (test_corruptions.py has the others).
    "evaluation.corruptions": [Effect("evaluation.corruptions", True, tables=True)],
    "execution.device": [Effect("execution.device", "cpu")],
    "execution.threads": [Effect("execution.threads", 2)],
    "execution.precision": [Effect("execution.precision", "bf16")],
    "execution.deterministic": [Effect("execution.deterministic", True)],
    "execution.compile": [Effect("execution.compile", "off")],
    "execution.cohort_size": [Effect("execution.cohort_size", 2)],
    "execution.gpu_slots": [Effect("execution.gpu_slots", 2)],
    "execution.checkpoint_seconds": [Effect("execution.checkpoint_seconds", 30)],
    "execution.track": [Effect("execution.track", "tensorboard")],
    "execution.energy.watts": [Effect("execution.energy.watts", 300)],
    "execution.energy.co2_grams": [Effect("execution.energy.co2_grams", 400, also={"execution.energy.watts": 300})],
    "execution.energy.price": [Effect("execution.energy.price", 0.3, also={"execution.energy.watts": 300})],
    "execution.energy.currency": [Effect("execution.energy.currency", "CHF")],
    "cluster.partition": [Effect("cluster.partition", "gpu")],
    "cluster.account": [Effect("cluster.account", "project")],
    "cluster.qos": [Effect("cluster.qos", "long")],
    "cluster.gpu_type": [Effect("cluster.gpu_type", "h100")],
    "cluster.gres": [Effect("cluster.gres", "gpu:h100:1")],
    "cluster.constraint": [Effect("cluster.constraint", "a100|h100")],
    "cluster.mem_mb": [Effect("cluster.mem_mb", 4_000)],
    "cluster.mem_per_cpu": [Effect("cluster.mem_per_cpu", True)],
    "cluster.max_mem_mb": [Effect("cluster.max_mem_mb", 32_000)],
    "cluster.max_minutes": [Effect("cluster.max_minutes", 60)],
    "cluster.max_jobs": [Effect("cluster.max_jobs", 10)],
    "cluster.retries": [Effect("cluster.retries", 1)],
    "cluster.accounting": [Effect("cluster.accounting", True)],
    "cluster.extra": [Effect("cluster.extra", ["--exclude=node07"])],
}  # fmt: skip


def leaves(model: type[BaseModel] = Experiment, path: str = "") -> Iterator[str]:
    """Yield the path of every leaf of a config, found by walking the schema."""
    for name, field in model.model_fields.items():
        below = list(_models_in(field.annotation))
        if not below:
            yield f"{path}{name}"
        for section in below:
            yield from leaves(section, f"{path}{name}.")


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def changed(config: dict, path: str, value: Any) -> dict:
    """Return a copy of a config with one leaf changed."""
    config = copy.deepcopy(config)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = config
    for part in parents:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    place[last] = value
    return config

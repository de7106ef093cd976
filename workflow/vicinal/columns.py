"""What a model was made of, as columns of the tables that it is measured in."""

from typing import Any

from vicinal.artefacts import Teacher
from vicinal.config import Loss
from vicinal.models.pretrained import WEIGHTS
from vicinal.spec import exact_number


def pretraining_columns(spec: dict[str, Any], teacher: Teacher | None = None) -> dict[str, bool]:
    """Return whether the weights that a model, and its teacher, started from were trained with mixup; else nothing."""
    columns = {}
    if spec.get("weights"):
        columns["pretraining_mixup"] = WEIGHTS[spec["weights"]["name"]].pretraining_mixup
    if teacher and teacher.weights and not teacher.is_given:
        columns["teacher_pretraining_mixup"] = WEIGHTS[teacher.weights].pretraining_mixup
    return columns


def given_columns(teacher: Teacher | None) -> dict[str, str]:
    """Return which weights a student's teacher was given, if it was not trained; else nothing."""
    return {"teacher_weights": teacher.columns["weights"]} if teacher and teacher.is_given else {}


def weight_columns(loss: dict[str, float]) -> dict[str, float]:
    """Return the weight of each term that there is as columns of a table; 0 for those that a model does not have."""
    return {name: loss.get(name, 0.0) for name in Loss.model_fields}


def recipe_columns(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe as columns of a table: one value each, lists as text."""
    return {
        f"recipe_{key}": " ".join(map(exact_number, value)) if isinstance(value, list) else value
        for key, value in recipe.items()
    }


def data_columns(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a data set as columns of a table (its name has one of its own)."""
    own = ("source", "validation", "split_seed", "limit_train", "limit_test")
    return {f"data_{key}": spec.get(key) for key in own}

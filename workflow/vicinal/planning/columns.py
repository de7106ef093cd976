"""What a model was made of, as columns of the tables."""

from typing import Any

from vicinal.config import Loss
from vicinal.models.pretrained import WEIGHTS
from vicinal.planning.artefacts import Teacher
from vicinal.spec import exact_number


def pretraining_columns(spec: dict[str, Any], teacher: Teacher | None = None) -> dict[str, bool]:
    """Return whether the published weights that a model and its teacher started from, if any, were made with mixup."""
    columns = {}
    if spec.get("weights"):
        columns["pretraining_mixup"] = WEIGHTS[spec["weights"]["name"]].pretraining_mixup
    if teacher and teacher.weights and not teacher.is_given:
        columns["teacher_pretraining_mixup"] = WEIGHTS[teacher.weights].pretraining_mixup
    return columns


def weight_columns(loss: dict[str, float]) -> dict[str, float]:
    """Return the weight of each term of the loss as columns; 0 for terms that a model does not have."""
    return {name: loss.get(name, 0.0) for name in Loss.model_fields}


def recipe_columns(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe as columns, a list as text."""
    return {
        f"recipe_{key}": " ".join(map(exact_number, value)) if isinstance(value, list) else value
        for key, value in recipe.items()
    }


def data_columns(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a data set as columns; its name has a column of its own."""
    own = ("source", "validation", "split_seed", "limit_train", "limit_test")
    subset = "per_seed" if "subset_seed" in spec else None
    return {**{f"data_{key}": spec.get(key) for key in own}, "data_subset": subset}

"""How one network is trained: the recipe and the first weights that an experiment gives it."""

from typing import Any

from vicinal.config import Recipe
from vicinal.errors import VicinalError
from vicinal.models.pretrained import WEIGHTS, weights_name
from vicinal.models.registry import architecture

# Fields that only some schedules use.
SCHEDULES = {
    "step": {"milestones", "gamma"},
    "piecewise": {"milestones", "factors"},
    "plateau": {"gamma", "patience", "lr_min"},
}


def resolve_recipe(recipe: Recipe, model: str) -> dict[str, Any]:
    """Return the recipe of one model: its own learning rate, and only the fields that are used."""
    unused = {"lr_by_model", "schedule_scale"}
    if recipe.optimizer != "sgd":
        unused |= {"momentum", "nesterov"}
    unused |= set().union(*SCHEDULES.values()) - SCHEDULES.get(recipe.schedule, set())
    if not recipe.head_epochs:
        unused |= {"head_epochs", "head_lr"}
    resolved = recipe.model_dump(exclude=unused)
    resolved["lr"] = recipe.lr_by_model.get(model, recipe.lr)
    for epochs in resolved.keys() & {"epochs", "head_epochs"}:
        resolved[epochs] = max(1, round(recipe.schedule_scale * resolved[epochs]))
    return resolved


def initial_weights(recipe: Recipe, model: str) -> dict[str, Any] | None:
    """Return the published weights that a network starts from, by name and checksum; None for fresh ones.

    Raises:
        VicinalError: it is to start from such weights, and there are none.
    """
    if not recipe.pretrained:
        return None
    name = weights_name(architecture(model))
    if name is None:
        raise VicinalError(f"recipe.pretrained: there are no published weights of {model}; set it to false")
    return published_weights(name)


def published_weights(name: str) -> dict[str, Any]:
    """Return published weights as they stand in a spec: by name and checksum."""
    return {"name": name, "sha256": WEIGHTS[name].sha256}


def inputs_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the part of a recipe that says how images look to a network that is not trained."""
    return recipe.model_dump(include={"resize", "crop"}, exclude_none=True)

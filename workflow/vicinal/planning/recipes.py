"""The part of a spec that says how a network is trained: its recipe, and the weights that it starts from."""

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
    """Return the recipe of one model: with its own learning rate, without fields that are not used."""
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
    """Return the published weights that a network starts from, or None. Raises VicinalError: there are none of it."""
    if not recipe.pretrained:
        return None
    name = weights_name(architecture(model))
    if name is None:
        raise VicinalError(f"recipe.pretrained: there are no published weights of {model}; set it to false")
    return published_weights(name)


def published_weights(name: str) -> dict[str, Any]:
    """Return published weights as they stand in a spec."""
    return {"name": name, "sha256": WEIGHTS[name].sha256}


def inputs_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the part of a recipe that applies to a network that is not trained: the size of its images."""
    return recipe.model_dump(include={"resize", "crop"}, exclude_none=True)

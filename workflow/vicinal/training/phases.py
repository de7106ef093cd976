"""The phases of a training: first the head alone, where the recipe says so, then the whole network."""

from dataclasses import dataclass
from typing import Any

# The authors' first phase.
HEAD_RECIPE = {"optimizer": "adam", "weight_decay": 0.0, "schedule": "constant"}


@dataclass(frozen=True)
class Phase:
    """A part of a training.

    Attributes:
        start, stop: its epochs, from 0; ``stop`` is the first that is not in it.
        recipe: resolved, with its own number of epochs.
        head: only the last layer is trained, by cross-entropy with the labels of inputs that are not mixed.
    """

    start: int
    stop: int
    recipe: dict[str, Any]
    head: bool = False


def phases(recipe: dict[str, Any]) -> list[Phase]:
    """Return the phases of a resolved recipe."""
    first = recipe.get("head_epochs", 0)
    main = Phase(first, first + recipe["epochs"], recipe)
    if not first:
        return [main]
    return [Phase(0, first, {**recipe, **HEAD_RECIPE, "lr": recipe["head_lr"], "epochs": first}, head=True), main]


def phase_at(recipe: dict[str, Any], epoch: int) -> Phase:
    """Return the phase that an epoch belongs to; after the last epoch, the last phase."""
    return next((phase for phase in phases(recipe) if epoch < phase.stop), phases(recipe)[-1])


def all_epochs(recipe: dict[str, Any]) -> int:
    """Return the number of epochs of all phases."""
    return phases(recipe)[-1].stop

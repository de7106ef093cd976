"""Optimisers and learning-rate schedules, by the names that recipes use."""

import math
from collections.abc import Callable, Iterable

import torch
from torch.optim.sgd import sgd


class SGD:
    """Stochastic gradient descent with momentum and weight decay, as ``torch.optim.SGD``.

    It calls the same update function; the class of torch.optim would import the compiler at its first step, a second
    for every job, and keep its learning rate on the host.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], recipe: dict) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.momentum = [None] * len(self.parameters)
        self.recipe = recipe

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def load_momentum(self, momentum: Iterable[torch.Tensor | None]) -> None:
        """Go on with the momentum of another optimiser of the same network."""
        self.momentum = [
            # Laid out in memory as the parameter: another order of the same sums would round otherwise.
            None if value is None else torch.empty_like(parameter, requires_grad=False).copy_(value)
            for parameter, value in zip(self.parameters, momentum, strict=True)
        ]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update the parameters in place with the learning rate ``lr``."""
        sgd(
            self.parameters,
            [parameter.grad for parameter in self.parameters],
            self.momentum,
            foreach=True,
            weight_decay=self.recipe["weight_decay"],
            momentum=self.recipe["momentum"],
            lr=lr,
            dampening=0.0,
            nesterov=self.recipe.get("nesterov", False),
            maximize=False,
        )


def make_optimizer(parameters: Iterable[torch.nn.Parameter], recipe: dict) -> SGD:
    """Return the recipe's optimiser."""
    return _OPTIMIZERS[recipe["optimizer"]](parameters, recipe)


def learning_rate(recipe: dict, progress: float) -> float:
    """Return the learning rate after the share ``progress`` of the training, in [0, 1)."""
    return recipe["lr"] * _SCHEDULES[recipe["schedule"]](recipe, progress)


def _step(recipe: dict, progress: float) -> float:
    """Drop by gamma at the start of the epoch nearest to each milestone."""
    epoch = math.floor(progress * recipe["epochs"] + 1e-9)
    drops = sum(epoch >= max(1, round(milestone * recipe["epochs"])) for milestone in recipe["milestones"])
    return recipe["gamma"] ** drops


def _cosine(recipe: dict, progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _constant(recipe: dict, progress: float) -> float:
    return 1.0


_OPTIMIZERS: dict[str, Callable[..., SGD]] = {"sgd": SGD}
_SCHEDULES: dict[str, Callable[[dict, float], float]] = {"step": _step, "cosine": _cosine, "constant": _constant}

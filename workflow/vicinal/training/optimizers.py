"""Optimisers and learning-rate schedules, by the names that recipes use."""

import bisect
import math
from collections.abc import Callable, Iterable

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd


class Optimizer:
    """What the optimisers share. They call torch.optim's fused update functions.

    The classes of torch.optim would import the compiler at their first step, a second for every job, and update one
    network at a time.

    Attributes:
        parameters: those that are trained.
        buffers: all tensors that it keeps from step to step, zeros at first.
        recipe: the resolved recipe.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], recipe: dict) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.buffers: list[torch.Tensor] = []
        self.recipe = recipe

    def like_parameters(self) -> list[torch.Tensor]:
        """Return zeros for each parameter, which are kept as buffers."""
        zeros = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        self.buffers += zeros
        return zeros

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def load(self, buffers: Iterable[torch.Tensor]) -> None:
        """Take over the buffers of another optimiser of the same network."""
        for own, value in zip(self.buffers, buffers, strict=True):
            own.copy_(value)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and weight decay, as ``torch.optim.SGD(fused=True)``."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], recipe: dict) -> None:
        super().__init__(parameters, recipe)
        # torch.optim takes its first step without momentum; zeros give the same: 0 · momentum + gradient.
        self.momentum = self.like_parameters()

    @staticmethod
    def update(optimizers: list["SGD"], lr: torch.Tensor) -> None:
        """See ``update``."""
        recipe = optimizers[0].recipe
        sgd(
            *_parameters_and_gradients(optimizers),
            [value for optimizer in optimizers for value in optimizer.momentum],
            fused=True,
            weight_decay=recipe["weight_decay"],
            momentum=recipe["momentum"],
            lr=lr,
            dampening=0.0,
            nesterov=recipe.get("nesterov", False),
            maximize=False,
        )


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) with β = (0.9, 0.999) and ε = 1e-8, as ``torch.optim.Adam(fused=True)``."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], recipe: dict) -> None:
        super().__init__(parameters, recipe)
        self.averages, self.squares = self.like_parameters(), self.like_parameters()
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]
        self.buffers += self.steps

    @staticmethod
    def update(optimizers: list["Adam"], lr: torch.Tensor) -> None:
        """See ``update``."""
        adam(
            *_parameters_and_gradients(optimizers),
            [value for optimizer in optimizers for value in optimizer.averages],
            [value for optimizer in optimizers for value in optimizer.squares],
            [],
            [value for optimizer in optimizers for value in optimizer.steps],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=lr,
            weight_decay=optimizers[0].recipe["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def _parameters_and_gradients(optimizers: list[Optimizer]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    parameters = [parameter for optimizer in optimizers for parameter in optimizer.parameters]
    return parameters, [parameter.grad for parameter in parameters]


def make_optimizer(parameters: Iterable[torch.nn.Parameter], recipe: dict) -> Optimizer:
    """Return the recipe's optimiser."""
    return _OPTIMIZERS[recipe["optimizer"]](parameters, recipe)


@torch.no_grad()
def update(optimizers: list[Optimizer], lr: torch.Tensor) -> None:
    """Take a step with optimisers of one recipe, in place, all in one call.

    Args:
        optimizers: with gradients.
        lr: learning rate, 0-d, on the device of the parameters.
    """
    type(optimizers[0]).update(optimizers, lr)  # type: ignore[attr-defined]


def learning_rate(recipe: dict, progress: float) -> float:
    """Return the learning rate after the share ``progress`` of the training, in [0, 1)."""
    return _SCHEDULES[recipe["schedule"]](recipe, progress)


def plateau_rate(recipe: dict, losses: list[float]) -> float:
    """Return the learning rate after epochs with these validation losses, as torch's ``ReduceLROnPlateau`` would.

    It is multiplied by ``gamma``, down to ``lr_min``, when for more than ``patience`` epochs in a row the loss has not
    fallen at least 0.01 % below its lowest value.
    """
    rate, best, bad = recipe["lr"], math.inf, 0
    for loss in losses:
        if loss < best * (1 - 1e-4):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > recipe["patience"]:
            rate, bad = max(rate * recipe["gamma"], recipe["lr_min"]), 0
    return rate


def _step(recipe: dict, progress: float) -> float:
    """Drop by gamma at the start of the epoch nearest to each milestone."""
    epoch = math.floor(progress * recipe["epochs"] + 1e-9)
    drops = sum(epoch >= max(1, round(milestone * recipe["epochs"])) for milestone in recipe["milestones"])
    return recipe["lr"] * recipe["gamma"] ** drops


def _cosine(recipe: dict, progress: float) -> float:
    return recipe["lr"] * 0.5 * (1 + math.cos(math.pi * progress))


def _constant(recipe: dict, progress: float) -> float:
    return recipe["lr"]


def _piecewise(recipe: dict, progress: float) -> float:
    """Go from factor to factor, at the start, the milestones and the end: up in a line, down as half a cosine."""
    shares, factors = [0.0, *recipe["milestones"], 1.0], recipe["factors"]
    k = bisect.bisect_right(shares, progress, hi=len(shares) - 1) - 1
    within = (progress - shares[k]) / (shares[k + 1] - shares[k])
    if factors[k + 1] < factors[k]:
        within = 0.5 * (1 - math.cos(math.pi * within))
    return recipe["lr"] * (factors[k] + within * (factors[k + 1] - factors[k]))


_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": SGD, "adam": Adam}
_SCHEDULES: dict[str, Callable[[dict, float], float]] = {
    "step": _step,
    "cosine": _cosine,
    "constant": _constant,
    "piecewise": _piecewise,
}

"""The terms of a student's loss: one module a term, named as its weight in the config (``kd_weight`` → ``kd``)."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import torch


class Answers(NamedTuple):
    """What a loss term may use, for a batch of N images and K classes.

    ``labels`` and ``partner_labels`` are (N,) int64, ``lam`` is (N,) in [0, 1]: the target is
    λ·labels + (1 − λ)·partner_labels. ``temperature`` is a number > 0, or ``"std"``; without a teacher it is None, as
    are the teacher's logits. ``teacher_logits`` are already scaled by the logit scale.
    """

    logits: torch.Tensor
    labels: torch.Tensor
    partner_labels: torch.Tensor
    lam: torch.Tensor
    teacher_logits: torch.Tensor | None
    temperature: float | str | None


Term = Callable[[Answers], torch.Tensor]


def loss_terms(weights: dict[str, float]) -> list[tuple[float, Term]]:
    """Return the terms with a weight, e.g. ``{"kd_weight": 0.9, "ce_weight": 0.1}``, in the order of their names."""
    names = sorted(name for name, weight in weights.items() if weight)
    return [(float(weights[name]), import_module(f"{__name__}.{name.removesuffix('_weight')}").loss) for name in names]


def total_loss(terms: list[tuple[float, Term]], answers: Answers) -> torch.Tensor:
    """Return the weighted sum of the terms, a 0-d tensor."""
    return torch.stack([weight * term(answers) for weight, term in terms]).sum()

"""A network in training."""

from dataclasses import dataclass, field

import torch

from vicinal.inputs import Images, to_device
from vicinal.losses import Term, loss_terms
from vicinal.models import build_model
from vicinal.optim import Optimizer, make_optimizer


@dataclass(eq=False)
class Learner:
    """One network in training, with what sets it apart from the others of its cohort.

    Attributes:
        id: of the model, for messages and files.
        model: on the device where it is trained.
        optimizer: of its parameters.
        terms: of its loss, with their weights.
        temperature: of the distillation, a number > 0 or ``"std"``; None without a teacher.
        logit_scale: factor on the teacher's logits.
        history: one row an epoch.
        good_state: its state dict at the start of the epoch.
        diverged: (epoch, step), both from 1, of its first loss that was NaN or infinite.
    """

    id: str
    model: torch.nn.Module
    optimizer: Optimizer
    terms: list[tuple[float, Term]]
    temperature: float | str | None
    logit_scale: float
    history: list[dict] = field(default_factory=list)
    good_state: dict[str, torch.Tensor] | None = None
    diverged: tuple[int, int] | None = None


def make_learner(id_: str, spec: dict, data: Images) -> Learner:
    """Return a fresh network for a student's or teacher's spec; its initial weights depend on the seed alone.

    Args:
        id_: the id, for messages and files.
        spec: ``model`` (architecture), ``recipe``, ``seed``, ``loss`` (weights) and, with a teacher, ``temperature``
            and ``logit_scale``.
        data: the training split, on the device that the network goes to.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec["seed"])
        model = build_model(spec["model"], data.num_classes, data.channels)
    to_device(model, data.images.device)
    return Learner(
        id=id_,
        model=model,
        optimizer=make_optimizer(model.parameters(), spec["recipe"]),
        terms=loss_terms(spec["loss"]),
        temperature=spec.get("temperature"),
        logit_scale=float(spec.get("logit_scale", 1)),
    )

"""A network in training: its weights, its optimiser, its loss, its history."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch

from vicinal.errors import VicinalError
from vicinal.models import build_model
from vicinal.models.loading import load_pretrained
from vicinal.training.inputs import Images, adapt, to_device
from vicinal.training.losses import Term, loss_terms
from vicinal.training.optimizers import Optimizer, make_optimizer
from vicinal.training.phases import Phase, phases


@dataclass(eq=False)
class Learner:
    """One network in training, with what sets it apart from the others of its cohort.

    Attributes:
        id: of the model, for messages and files.
        model: on the device where it is trained.
        recipe: resolved.
        own_terms: of its own loss, with their weights.
        phase: of the training, see ``enter``.
        optimizer: of the parameters that are trained in this phase.
        terms: of the loss in this phase, with their weights.
        temperature: of the distillation, a number > 0 or ``"std"``; None without a teacher.
        logit_scale: factor on the teacher's logits.
        history: one row an epoch.
        good_state: its state dict at the start of the epoch.
        diverged: (epoch, step), both from 1, of its first loss that was NaN or infinite.
    """

    id: str
    model: torch.nn.Module
    recipe: dict
    own_terms: list[tuple[float, Term]]
    temperature: float | str | None = None
    logit_scale: float = 1.0
    history: list[dict] = field(default_factory=list)
    good_state: dict[str, torch.Tensor] | None = None
    diverged: tuple[int, int] | None = None
    phase: Phase = field(init=False, default=None)
    optimizer: Optimizer = field(init=False)
    terms: list[tuple[float, Term]] = field(init=False)

    def __post_init__(self) -> None:
        self.enter(phases(self.recipe)[0])

    @property
    def head(self) -> torch.nn.Module:
        """Return the last layer."""
        return self.model.get_submodule(getattr(self.model, "head_name", "fc"))

    def enter(self, phase: Phase) -> None:
        """Begin a phase, with a fresh optimiser, unless it has begun already."""
        if phase == self.phase:
            return
        self.phase = phase
        self.model.requires_grad_(not phase.head)
        self.head.requires_grad_(True)
        self.optimizer = make_optimizer(self.model.parameters(), phase.recipe)
        self.terms = loss_terms({"ce_weight": 1.0}) if phase.head else self.own_terms

    def train(self) -> None:
        """Go into training mode; where the head is trained alone, the rest stays in evaluation mode."""
        self.model.train(not self.phase.head)
        self.head.train()


def role_seed(spec: dict) -> int:
    """Return the seed of a network's initial weights and batches: of its spec's seed and role.

    All students of a seed share it, so that methods are compared in pairs. Teachers have another one: else a teacher
    would equal the student of its architecture that learns from labels, and would be closer to all students of its
    architecture than a teacher that was trained apart from them.
    """
    return int.from_bytes(hashlib.sha256(f"{spec['stage']} {spec['seed']}".encode()).digest()[:7])


def make_learner(id_: str, spec: dict, data: Images, weights: Path | None = None) -> Learner:
    """Return a fresh network for a student's or teacher's spec; its initial weights depend on seed and role alone.

    If it starts from published weights, its last layer is still fresh.

    Args:
        id_: the id, for messages and files.
        spec: ``stage``, ``model`` (architecture), ``recipe``, ``seed``, ``loss`` (weights) and, with a teacher,
            ``temperature`` and ``logit_scale``.
        data: the training split, on the device that the network goes to.
        weights: file of the published weights that the spec names under ``weights``.

    Raises:
        VicinalError: the spec names weights, and ``weights`` is None, damaged or of another network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(role_seed(spec))
        model = build_model(spec["model"], data.num_classes, data.channels)
    if initial := spec.get("weights"):
        if weights is None:
            raise VicinalError(f"{id_}: it starts from the published weights {initial['name']}: give --weights")
        load_pretrained(model, weights, sha256=initial["sha256"])
    to_device(adapt(model, spec, data), data.device)
    return Learner(
        id=id_,
        model=model,
        recipe=spec["recipe"],
        own_terms=loss_terms(spec["loss"]),
        temperature=spec.get("temperature"),
        logit_scale=float(spec.get("logit_scale", 1)),
    )

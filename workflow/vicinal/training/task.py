"""What a training is, apart from the networks; where it is; and who is told how it goes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from vicinal.training.batch_plan import BatchPlan, batch_plan
from vicinal.training.inputs import Images
from vicinal.training.learner import Learner
from vicinal.training.numerics import Numerics
from vicinal.training.phases import Phase


@dataclass(frozen=True)
class Training:
    """What is trained on what, and how: the same for all networks of a cohort.

    Attributes:
        data: the training split, on the device where it is trained.
        validation: the validation split, looked at for the history and by the schedule ``plateau``; may be empty.
        recipe: resolved, see ``vicinal.config.Recipe``.
        seed: of the replicate; with the epoch it determines the batches.
        alpha: of the mixup; None: inputs are not mixed.
        teacher: frozen and in evaluation mode, asked once a batch for all networks; None: there is none.
        numerics: how to compute.
    """

    data: Images
    validation: Images
    recipe: dict[str, Any]
    seed: int
    alpha: float | None = None
    teacher: torch.nn.Module | None = None
    numerics: Numerics = field(default_factory=Numerics)

    @property
    def device(self) -> torch.device:
        """Return where it is computed."""
        return self.data.device

    def mixes(self, phase: Phase) -> bool:
        """Return whether inputs are mixed in a phase."""
        return self.alpha is not None and not phase.head

    def plan(self, epoch: int, phase: Phase) -> BatchPlan:
        """Return the batch plan of an epoch, from 0, which is in ``phase``."""
        return batch_plan(
            len(self.data),
            self.recipe["batch_size"],
            seed=self.seed,
            epoch=epoch,
            alpha=self.alpha if self.mixes(phase) else None,
            crop_padding=self.data.window.room if self.data.window else self.recipe["crop_padding"],
            flip=self.recipe["flip"],
        )


@dataclass
class Moment:
    """Where a training is. With the learners, this is all it needs to continue.

    Attributes:
        epoch: how many epochs are finished.
        step: how many steps were done since.
        losses: of an epoch's steps, (steps, K), for the learners still in training; 0 for steps not done yet.
        seconds: wall time of all steps.
    """

    epoch: int = 0
    step: int = 0
    losses: torch.Tensor | None = None
    seconds: float = 0.0

    @property
    def epochs(self) -> float:
        """Return the epochs done, a fraction within an epoch."""
        return self.epoch if self.losses is None else self.epoch + self.step / len(self.losses)


@dataclass(frozen=True)
class Callbacks:
    """Who is told how a training goes.

    Attributes:
        on_epoch: called after each epoch with its number (from 1) and the learners still in training.
        on_step: called after each step. The device may lag behind: a listener must not wait for it, unless it saves.
        say: called with a line of text where something is slower than it could be, or was found to be faster.
    """

    on_epoch: Callable[[int, list[Learner]], None] = lambda epoch, learners: None
    on_step: Callable[[Moment], None] = lambda moment: None
    say: Callable[[str], None] = print

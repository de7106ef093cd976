"""The training engine: one loop for teachers and students, for one network or a whole cohort.

The students of a cohort see the same batches and the same teacher answers; apart from that each is trained as if it
were alone, so a student of a cohort equals the same student trained alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from vicinal.batches import batch_plan
from vicinal.compilation import Compilation
from vicinal.graphs import ReplayedStep
from vicinal.inputs import EpochTables, Images
from vicinal.learner import Learner
from vicinal.numerics import Numerics
from vicinal.optim import learning_rate, plateau_rate
from vicinal.parallel import Group
from vicinal.phases import Phase, all_epochs, phase_at
from vicinal.step import CohortStep, copy_state
from vicinal.synchronised import synchronise

# How often the validation split is looked at during training, for the curves; nothing is chosen by it.
VALIDATIONS = 10
VALIDATION_BATCH = 256


@dataclass
class Moment:
    """Where a training is; with the learners it is all that a training needs to go on.

    Attributes:
        epoch: how many epochs are finished.
        step: how many steps were done since.
        losses: of an epoch's steps, (steps, K), for the learners still in training; what is not done is 0.
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


def train(
    learners: list[Learner],
    data: Images,
    validation: Images,
    *,
    recipe: dict,
    seed: int,
    alpha: float | None,
    teacher: torch.nn.Module | None = None,
    moment: Moment | None = None,
    numerics: Numerics | None = None,
    group: Group | None = None,
    on_epoch: Callable[[int, list[Learner]], None] = lambda epoch, learners: None,
    on_step: Callable[[Moment], None] = lambda moment: None,
    say: Callable[[str], None] = print,
) -> None:
    """Train the learners together, in place, and fill their histories (one row an epoch).

    A learner whose loss becomes NaN or infinite is stopped: its ``diverged`` is (epoch, step), both from 1, and its
    ``good_state`` the weights after the last epoch that was finite. The others go on.

    Args:
        learners: networks on the device of ``data``.
        data: the training split.
        validation: looked at about ten times, for the history only; may be empty.
        recipe: resolved recipe, see ``vicinal.config.Recipe``.
        seed: of the replicate; with the epoch it determines the batches.
        alpha: of the mixup, None for none.
        teacher: frozen and in evaluation mode, asked once a batch for all learners.
        moment: where to go on, with learners that are as they were then; it is kept up to date. None: at the start.
        numerics: how to compute; None: in fp32.
        group: the processes that train together, each with the same arguments and equal learners, which stay equal;
            every batch is shared by them. None: this one alone.
        on_epoch: called after each epoch with its number (from 1) and the learners still in training.
        on_step: called after each step. The device may lag behind: whoever listens must not wait for it, unless it
            saves.
        say: called with a line of text where something is slower than it could be, or was found to be faster.

    Raises:
        VicinalError: several processes cannot train such a network.
    """
    moment, group = moment or Moment(), group or Group()
    epochs = all_epochs(recipe)
    every = 1 if recipe["schedule"] == "plateau" else max(1, epochs // VALIDATIONS)
    active = [learner for learner in learners if learner.diverged is None]
    if not group.is_one:
        for learner in learners:
            synchronise(learner.model, group, learner.id)
    loop = _Loop(data, recipe, seed, alpha, teacher, numerics or Numerics(), say, group)
    while active and moment.epoch < epochs:
        rate = loop.train_epoch(active, moment, on_step)
        losses, epoch = moment.losses.cpu().numpy(), moment.epoch + 1
        for k, learner in enumerate(active):
            if bad := np.flatnonzero(~np.isfinite(losses[:, k])).tolist():
                learner.diverged = (epoch, bad[0] + 1)
                continue
            row = {"epoch": epoch, "lr": rate, "loss": float(losses[:, k].mean())}
            if len(validation) and (epoch % every == 0 or epoch == epochs):
                row |= group.share(validate(learner.model, validation) if group.leads else None)
            learner.history.append(row)
        active = [learner for learner in active if learner.diverged is None]
        moment.epoch, moment.step, moment.losses = epoch, 0, None
        on_epoch(epoch, active)


class _Loop:
    """Runs epochs, and keeps from one to the next what they have in common."""

    def __init__(
        self,
        data: Images,
        recipe: dict,
        seed: int,
        alpha: float | None,
        teacher: torch.nn.Module | None,
        numerics: Numerics,
        say: Callable[[str], None],
        group: Group,
    ) -> None:
        self._data, self._recipe, self._teacher, self._numerics, self._say = data, recipe, teacher, numerics, say
        self._seed, self._alpha, self._group = seed, alpha, group
        self._plan = partial(
            batch_plan,
            len(data),
            recipe["batch_size"],
            seed=seed,
            crop_padding=data.window.room if data.window else recipe["crop_padding"],
            flip=recipe["flip"],
        )
        self._tables: EpochTables | None = None
        # Whether to compile is decided by times, and whether to replay by what a GPU did: processes might disagree.
        self._compilation = Compilation(numerics.compile if group.is_one else "off", say)
        # The step, how it is run, and whether it is compiled (None: not yet).
        self._step: CohortStep | None = None
        self._run: Callable[[int], None] | None = None
        self._phase: Phase | None = None
        self._compiled: bool | None = False

    def train_epoch(self, learners: list[Learner], moment: Moment, on_step: Callable[[Moment], None]) -> float:
        """Train what is left of an epoch, keeping the moment up to date; return the learning rate of its last step."""
        began, seconds_before = time.perf_counter(), moment.seconds
        phase, whole = phase_at(self._recipe, moment.epoch), moment.step == 0
        plan = self._plan(epoch=moment.epoch, alpha=None if phase.head else self._alpha)
        if self._tables is None:
            self._tables = EpochTables(plan, self._data.device)
        else:
            self._tables.load(plan)
        steps = len(plan.bounds)
        rates = _rates(phase, moment.epoch, steps, learners)
        if moment.losses is None:
            for learner in learners:
                learner.good_state = _copy_of_state(learner.model)
        for learner in learners:
            learner.enter(phase)
            learner.train()
        self._make_step(learners, phase)
        self._step.begin(rates, moment.step, moment.losses)
        moment.losses = self._step.losses
        photos = self._data.pixels(
            plan,
            seed=self._seed,
            epoch=moment.epoch,
            first=moment.step,
            rows=None if self._group.is_one else self._group.rows,
            mixed=self._is_mixed(phase),
        )
        for step, pixels in zip(range(moment.step, steps), photos, strict=False):
            start, stop = plan.bounds[step]
            self._step.feed(pixels)
            if self._compiled is None and not self._compile(stop - start):
                self._make_step(learners, phase)
                self._step.begin(rates, step, moment.losses)
                self._step.feed(pixels)
                moment.losses = self._step.losses
            self._run(stop - start)
            moment.step, moment.seconds = step + 1, seconds_before + time.perf_counter() - began
            on_step(moment)
        if self._data.device.type == "cuda":
            torch.cuda.synchronize(self._data.device)
        seconds = time.perf_counter() - began
        moment.seconds = seconds_before + seconds
        if whole:
            self._compilation.after_epoch(seconds, phase.stop - moment.epoch - 1)
        return rates[-1]

    def _make_step(self, learners: list[Learner], phase: Phase) -> None:
        """Make the step for these learners and this phase, unless it is there."""
        compiled = self._compilation.active and not phase.head
        if self._step and (self._step.learners, self._phase) == (learners, phase) and bool(self._compiled) == compiled:
            return
        self._phase = phase
        # None: it is to be, at the first call.
        self._compiled = None if compiled else False
        # The old one's memory is free for the new one.
        self._step = self._run = None
        self._step = CohortStep(
            learners,
            self._data,
            self._tables,
            self._recipe,
            self._numerics,
            mixed=self._is_mixed(phase),
            teacher=None if phase.head else self._teacher,
            transform=partial(torch.compile, dynamic=False) if compiled else lambda model: model,
            group=self._group,
        )
        replayed = self._data.device.type == "cuda" and self._numerics.graph and self._group.is_one
        self._run = ReplayedStep(self._step, self._say) if replayed else self._step

    def _is_mixed(self, phase: Phase) -> bool:
        return self._alpha is not None and not phase.head

    def _compile(self, size: int) -> bool:
        """Compile the networks, by a step that does not count; return whether that worked."""
        began = time.perf_counter()
        state = list(self._step.state())
        before = [value.clone() for value in state]
        try:
            self._step(size)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever the compiler's parts may raise; an error of ours comes again without it
            self._compilation.failed(error)
            self._step = None
        copy_state(before, state)
        self._compiled = self._compilation.active
        self._compilation.seconds = time.perf_counter() - began
        return self._compiled


def _rates(phase: Phase, epoch: int, steps: int, learners: list[Learner]) -> list[float]:
    """Return the learning rate of each step of an epoch."""
    if phase.recipe["schedule"] == "plateau":
        [learner] = learners
        losses = [row["validation_loss"] for row in learner.history[phase.start :]]
        return [plateau_rate(phase.recipe, losses)] * steps
    total, before = (phase.stop - phase.start) * steps, (epoch - phase.start) * steps
    return [learning_rate(phase.recipe, (before + step) / total) for step in range(steps)]


def _copy_of_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def logits_on(model: torch.nn.Module, data: Images, batch_size: int = VALIDATION_BATCH) -> torch.Tensor:
    """Return the logits (N, K) of a network, in evaluation mode, on the clean images of a split."""
    model.eval()
    return torch.cat([model(inputs) for inputs in data.clean_batches(batch_size)])


def validate(model: torch.nn.Module, data: Images) -> dict[str, float]:
    """Return the mean cross-entropy, in nats, and the accuracy, a fraction, on the clean images of a split."""
    logits = logits_on(model, data)
    return {
        "validation_accuracy": (logits.argmax(1) == data.labels).float().mean().item(),
        "validation_loss": F.cross_entropy(logits.float(), data.labels).item(),
    }

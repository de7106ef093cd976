"""The training loop: one for teachers and students, for one network or a whole cohort.

The students of a cohort see the same batches and the same teacher answers. Nothing else connects them: a student of a
cohort equals the same student trained alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from vicinal.training.acceleration import FastSteps
from vicinal.training.inputs import Images
from vicinal.training.learner import Learner
from vicinal.training.optimizers import learning_rate, plateau_rate
from vicinal.training.phases import Phase, all_epochs, phase_at
from vicinal.training.step import Training

# How many times a training measures the validation split, for the curves; nothing is chosen by it.
VALIDATIONS = 10
VALIDATION_BATCH = 256


@dataclass
class Moment:
    """Where a training is. With the learners, this is all it needs to continue.

    Attributes:
        epoch: number of finished epochs.
        step: number of steps done since.
        losses: of the steps of this epoch, (steps, K), for the K learners still in training; 0 for steps to come.
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
    """What a training calls as it goes.

    Attributes:
        on_epoch: after each epoch, with its number (from 1) and the learners still in training.
        on_step: after each step. The device may lag behind: wait for it only to save.
        say: with a line of text where something is slower than it could be, or was found to be faster.
    """

    on_epoch: Callable[[int, list[Learner]], None] = lambda epoch, learners: None
    on_step: Callable[[Moment], None] = lambda moment: None
    say: Callable[[str], None] = print


def train(
    learners: list[Learner], training: Training, moment: Moment | None = None, callbacks: Callbacks | None = None
) -> None:
    """Train the learners together, in place, and fill their histories (one row an epoch).

    A learner whose loss becomes NaN or infinite is stopped: its ``diverged`` is (epoch, step), both from 1, and its
    ``good_state`` the weights after the last epoch that was finite. The others continue.

    Args:
        learners: networks on the device of the data.
        training: what to train them on, and how.
        moment: where to continue, with learners as they were then; updated after every step. None: the start.
        callbacks: what to call; None: nothing.
    """
    moment, callbacks = moment or Moment(), callbacks or Callbacks()
    steps = FastSteps(training, callbacks.say)
    active = [learner for learner in learners if learner.diverged is None]
    while active and moment.epoch < all_epochs(training.recipe):
        rate = _train_epoch(active, training, steps, moment, callbacks)
        active = _finish_epoch(active, training, moment, rate)
        callbacks.on_epoch(moment.epoch, active)


def _train_epoch(
    learners: list[Learner], training: Training, steps: FastSteps, moment: Moment, callbacks: Callbacks
) -> float:
    """Train what is left of an epoch, keeping the moment up to date; return the learning rate of its last step."""
    began, seconds_before, is_whole = time.perf_counter(), moment.seconds, moment.step == 0
    phase = phase_at(training.recipe, moment.epoch)
    plan = training.plan(moment.epoch, phase)
    rates = _rates(phase, moment.epoch, len(plan.bounds), learners)
    for learner in learners:
        if moment.losses is None:
            learner.good_state = {name: value.clone() for name, value in learner.model.state_dict().items()}
        learner.enter(phase)
        learner.train()
    step = steps.begin_epoch(learners, phase, plan)
    step.begin(rates, moment.step, moment.losses)
    moment.losses = step.losses

    photos = training.data.pixels(plan, seed=training.seed, epoch=moment.epoch, first=moment.step)
    for (start, stop), pixels in zip(plan.bounds[moment.step :], photos, strict=False):
        step.feed(pixels)
        steps.run(stop - start)
        moment.step += 1
        moment.seconds = seconds_before + time.perf_counter() - began
        callbacks.on_step(moment)

    if training.device.type == "cuda":
        torch.cuda.synchronize(training.device)
    seconds = time.perf_counter() - began
    moment.seconds = seconds_before + seconds
    if is_whole:
        steps.after_epoch(seconds, phase.stop - moment.epoch - 1)
    return rates[-1]


def _rates(phase: Phase, epoch: int, steps: int, learners: list[Learner]) -> list[float]:
    """Return the learning rate of each step of an epoch."""
    if phase.recipe["schedule"] == "plateau":
        [learner] = learners
        losses = [row["validation_loss"] for row in learner.history[phase.start :]]
        return [plateau_rate(phase.recipe, losses)] * steps
    total, before = (phase.stop - phase.start) * steps, (epoch - phase.start) * steps
    return [learning_rate(phase.recipe, (before + step) / total) for step in range(steps)]


def _finish_epoch(learners: list[Learner], training: Training, moment: Moment, rate: float) -> list[Learner]:
    """Write the epoch into the histories, and begin the next one; return the learners that did not diverge."""
    losses, epoch = moment.losses.cpu().numpy(), moment.epoch + 1
    epochs = all_epochs(training.recipe)
    every = 1 if training.recipe["schedule"] == "plateau" else max(1, epochs // VALIDATIONS)
    for k, learner in enumerate(learners):
        if bad := np.flatnonzero(~np.isfinite(losses[:, k])).tolist():
            learner.diverged = (epoch, bad[0] + 1)
            continue
        row = {"epoch": epoch, "lr": rate, "loss": float(losses[:, k].mean())}
        if len(training.validation) and (epoch % every == 0 or epoch == epochs):
            row |= _validation_scores(learner.model, training.validation)
        learner.history.append(row)
    moment.epoch, moment.step, moment.losses = epoch, 0, None
    return [learner for learner in learners if learner.diverged is None]


@torch.no_grad()
def logits_on(model: torch.nn.Module, data: Images, batch_size: int = VALIDATION_BATCH) -> torch.Tensor:
    """Return the logits (N, K) of a network, in evaluation mode, on the clean images of a split."""
    model.eval()
    return torch.cat([model(inputs) for inputs in data.clean_batches(batch_size)])


def _validation_scores(model: torch.nn.Module, data: Images) -> dict[str, float]:
    """Return the accuracy, a fraction, and the mean cross-entropy, in nats, on the clean images of a split."""
    logits = logits_on(model, data)
    return {
        "validation_accuracy": (logits.argmax(1) == data.labels).float().mean().item(),
        "validation_loss": F.cross_entropy(logits.float(), data.labels).item(),
    }

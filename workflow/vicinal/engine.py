"""The training engine: one loop for teachers and students, for one network or a whole cohort.

The students of a cohort see the same batches and the same teacher answers; apart from that each is trained as if it
were alone, so a student of a cohort equals the same student trained alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from vicinal.batches import batch_plan
from vicinal.inputs import Batch, EpochTables, Images, make_batch, to_device
from vicinal.losses import Answers, Term, loss_terms, total_loss
from vicinal.models import build_model
from vicinal.optim import SGD, learning_rate, make_optimizer

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


@dataclass
class Learner:
    """One network in training, with what sets it apart from the others of its cohort."""

    id: str
    model: torch.nn.Module
    optimizer: SGD
    terms: list[tuple[float, Term]]
    temperature: float | str | None
    logit_scale: float
    history: list[dict] = field(default_factory=list)
    good_state: dict[str, torch.Tensor] | None = None
    diverged: tuple[int, int] | None = None

    def answers(self, batch: Batch, teacher_logits: torch.Tensor | None) -> Answers:
        """Run the network on a batch and return what its loss is made of."""
        if teacher_logits is not None:
            teacher_logits = teacher_logits * self.logit_scale
        return Answers(
            self.model(batch.inputs), batch.labels, batch.partner_labels, batch.lam, teacher_logits, self.temperature
        )


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


def cohort_step(
    learners: list[Learner], teacher: torch.nn.Module | None, batch: Batch, lr: float, losses: torch.Tensor
) -> None:
    """Take one step with every learner on one batch; write their losses to ``losses`` (K,). No host synchronisation."""
    with torch.no_grad():
        teacher_logits = teacher(batch.inputs) if teacher is not None else None
    for k, learner in enumerate(learners):
        learner.optimizer.zero_grad()
        loss = total_loss(learner.terms, learner.answers(batch, teacher_logits))
        loss.backward()
        learner.optimizer.step(lr)
        losses[k] = loss.detach()


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
    on_epoch: Callable[[int, list[Learner]], None] = lambda epoch, learners: None,
    on_step: Callable[[Moment], None] = lambda moment: None,
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
        on_epoch: called after each epoch with its number (from 1) and the learners still in training.
        on_step: called after each step. The device may lag behind: whoever listens must not wait for it, unless it
            saves.
    """
    moment = moment or Moment()
    every = max(1, recipe["epochs"] // VALIDATIONS)
    active = [learner for learner in learners if learner.diverged is None]
    while active and moment.epoch < recipe["epochs"]:
        rate = _train_epoch(active, data, moment, recipe, seed, alpha, teacher, on_step)
        losses, epoch = moment.losses.cpu().numpy(), moment.epoch + 1
        for k, learner in enumerate(active):
            if bad := np.flatnonzero(~np.isfinite(losses[:, k])).tolist():
                learner.diverged = (epoch, bad[0] + 1)
                continue
            row = {"epoch": epoch, "lr": rate, "loss": float(losses[:, k].mean())}
            if len(validation) and (epoch % every == 0 or epoch == recipe["epochs"]):
                row["validation_accuracy"] = accuracy_on(learner.model, validation)
            learner.history.append(row)
        active = [learner for learner in active if learner.diverged is None]
        moment.epoch, moment.step, moment.losses = epoch, 0, None
        on_epoch(epoch, active)


def _train_epoch(
    learners: list[Learner],
    data: Images,
    moment: Moment,
    recipe: dict,
    seed: int,
    alpha: float | None,
    teacher: torch.nn.Module | None,
    on_step: Callable[[Moment], None],
) -> float:
    """Train what is left of an epoch, keeping the moment up to date; return the learning rate of its last step."""
    began = time.perf_counter() - moment.seconds
    plan = batch_plan(
        len(data),
        recipe["batch_size"],
        seed=seed,
        epoch=moment.epoch,
        alpha=alpha,
        crop_padding=recipe["crop_padding"],
        flip=recipe["flip"],
    )
    device = data.images.device
    tables = EpochTables(plan, device)
    steps = len(plan.bounds)
    rates = [learning_rate(recipe, (moment.epoch * steps + step) / (recipe["epochs"] * steps)) for step in range(steps)]
    if moment.losses is None:
        moment.losses = torch.zeros(steps, len(learners), device=device)
        for learner in learners:
            learner.good_state = _copy_of_state(learner.model)
    for learner in learners:
        learner.model.train()
    for step in range(moment.step, steps):
        batch = make_batch(data, tables, plan.bounds[step], recipe, mixed=alpha is not None)
        cohort_step(learners, teacher, batch, rates[step], moment.losses[step])
        moment.step, moment.seconds = step + 1, time.perf_counter() - began
        on_step(moment)
    return rates[-1]


def _copy_of_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}


@torch.no_grad()
def logits_on(model: torch.nn.Module, data: Images, batch_size: int = VALIDATION_BATCH) -> torch.Tensor:
    """Return the logits (N, K) of a network, in evaluation mode, on the clean images of a split."""
    model.eval()
    return torch.cat([model(data.clean(slice(i, i + batch_size))) for i in range(0, len(data), batch_size)])


def accuracy_on(model: torch.nn.Module, data: Images) -> float:
    """Return the accuracy, a fraction, on the clean images of a split."""
    return (logits_on(model, data).argmax(1) == data.labels).float().mean().item()

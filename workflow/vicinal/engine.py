"""The training engine: one loop for teachers and students, for one network or a whole cohort.

The students of a cohort see the same batches and the same teacher answers; apart from that each is trained as if it
were alone, so a student of a cohort equals the same student trained alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from vicinal.batches import batch_bounds, batch_plan
from vicinal.inputs import Batch, EpochTables, Images, make_batch, to_device
from vicinal.losses import Answers, Term, loss_terms, total_loss
from vicinal.models import build_model
from vicinal.optim import SGD, learning_rate, make_optimizer

# How often the validation split is looked at during training, for the curves; nothing is chosen by it.
VALIDATIONS = 10
VALIDATION_BATCH = 256


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
    on_epoch: Callable[[int, list[Learner]], None] = lambda epoch, learners: None,
    on_step: Callable[[float], None] = lambda epochs: None,
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
        on_epoch: called after each epoch with its number (from 1) and the learners still in training.
        on_step: called after each step with the epochs done so far, a fraction. The device may lag behind: whoever
            listens must not wait for it.
    """
    steps = len(batch_bounds(len(data), recipe["batch_size"]))
    every = max(1, recipe["epochs"] // VALIDATIONS)
    active = list(learners)
    for epoch in range(recipe["epochs"]):
        began = time.perf_counter()
        for learner in active:
            learner.good_state = _copy_of_state(learner.model)
        losses, rate = _train_epoch(active, data, epoch, recipe, seed, alpha, teacher, steps, on_step)
        seconds = time.perf_counter() - began
        last = epoch + 1 == recipe["epochs"]
        for k, learner in enumerate(active):
            if bad := np.flatnonzero(~np.isfinite(losses[:, k])).tolist():
                learner.diverged = (epoch + 1, bad[0] + 1)
                continue
            row = {"epoch": epoch + 1, "lr": rate, "loss": float(losses[:, k].mean()), "seconds": seconds}
            if len(validation) and ((epoch + 1) % every == 0 or last):
                row["validation_accuracy"] = accuracy_on(learner.model, validation)
            learner.history.append(row)
        active = [learner for learner in active if learner.diverged is None]
        on_epoch(epoch + 1, active)
        if not active:
            return


def _train_epoch(
    learners: list[Learner],
    data: Images,
    epoch: int,
    recipe: dict,
    seed: int,
    alpha: float | None,
    teacher: torch.nn.Module | None,
    steps: int,
    on_step: Callable[[float], None],
) -> tuple[np.ndarray, float]:
    """Train one epoch; return the losses (steps, K) and the learning rate of its last step."""
    plan = batch_plan(
        len(data),
        recipe["batch_size"],
        seed=seed,
        epoch=epoch,
        alpha=alpha,
        crop_padding=recipe["crop_padding"],
        flip=recipe["flip"],
    )
    device = data.images.device
    tables = EpochTables(plan, device)
    losses = torch.zeros(steps, len(learners), device=device)
    rate = 0.0
    for learner in learners:
        learner.model.train()
    for step, bounds in enumerate(plan.bounds):
        rate = learning_rate(recipe, (epoch * steps + step) / (recipe["epochs"] * steps))
        batch = make_batch(data, tables, bounds, recipe, mixed=alpha is not None)
        cohort_step(learners, teacher, batch, rate, losses[step])
        on_step(epoch + (step + 1) / steps)
    return losses.cpu().numpy(), rate


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

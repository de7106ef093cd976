"""From wanted models to finished ones on disk: what the jobs of teachers and of cohorts share."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vicinal.data.store import DataStore
from vicinal.errors import VicinalError
from vicinal.jobs.interruption import RESERVE_SECONDS, Interruption
from vicinal.jobs.progress import Progress
from vicinal.jobs.provenance import Stopwatch, provenance
from vicinal.jobs.records import remove_checkpoints
from vicinal.results import checkpoint_folder
from vicinal.training.checkpoint import Checkpoint, Checkpoints, describe_machine, find_checkpoint, resumption
from vicinal.training.learner import Learner, make_learner, role_seed
from vicinal.training.loop import Callbacks, Moment, train
from vicinal.training.memory import is_out_of_memory, release_memory
from vicinal.training.numerics import Numerics
from vicinal.training.open import open_images
from vicinal.training.phases import all_epochs
from vicinal.training.step import Training
from vicinal.training.weights import save_model, save_state, trained_network


@dataclass(frozen=True)
class TrainingJob:
    """Where and how a job trains its models.

    Attributes:
        unit: id of the cohort or teacher.
        results: the results folder, for checkpoints.
        store: the data.
        device: where to compute.
        numerics: how to compute.
        interruption: says when to stop before the end.
        checkpoint_seconds: from one checkpoint to the next.
        diverged: folder for the last good weights of a diverged model.
        teacher: directory of the teacher, and its spec; None: there is none.
        cohort_size: models trained at once, at most; None: all.
        weights: file of the published weights that the models start from; None: there are none.
    """

    unit: str
    results: Path
    store: DataStore
    device: torch.device
    numerics: Numerics
    interruption: Interruption
    checkpoint_seconds: float
    diverged: Path
    teacher: tuple[Path, dict] | None = None
    cohort_size: int | None = None
    weights: Path | None = None

    def say(self, text: str) -> None:
        """Print a line about this job."""
        print(f"{self.unit}: {text}", flush=True)


def train_models(job: TrainingJob, wanted: dict[Path, dict[str, Any]]) -> None:
    """Train models that share everything but α, temperature, logit scale and loss, and write each into its directory.

    Those of one mixup strength α see the same inputs, and are trained at once; the others one after another.
    The training continues from the checkpoint that got furthest, whichever process made it. Models that it does not
    hold, e.g. of a temperature that was added since, are trained after the others.

    Args:
        job: where and how.
        wanted: directory of each model → what its record must say: ``id``, ``spec``, ``code`` and checksums.

    Raises:
        VicinalError: a loss became NaN or infinite; the models that did not diverge are trained and written first.
        SystemExit: a deadline or a signal stopped it before its end; it can be resumed.
    """
    checkpoint = find_checkpoint(checkpoint_folder(job.results, job.unit), list(wanted.values()))
    if checkpoint:
        numerics = job.numerics.resumed(checkpoint.info["made"].get("precision"), job.device)
        job = replace(job, numerics=numerics)
    job.say(f"computing in {job.numerics.precision}{' (auto)' if job.numerics.auto else ''}")
    held = {path: record for path, record in wanted.items() if checkpoint and checkpoint.holds(record)}
    others = {path: record for path, record in wanted.items() if path not in held}
    if held and others:
        job.say(f"{len(others)} of {len(wanted)} are not in its checkpoint; they start afterwards")
    problems = _train_in_parts(job, held, checkpoint)
    for alpha in dict.fromkeys(record["spec"].get("alpha") for record in others.values()):
        same = {path: record for path, record in others.items() if record["spec"].get("alpha") == alpha}
        problems += _train_in_parts(job, same, None)
    remove_checkpoints(job.results, job.unit)
    if problems:
        raise VicinalError("\n".join(problems))


def _train_in_parts(job: TrainingJob, wanted: dict[Path, dict[str, Any]], checkpoint: Checkpoint | None) -> list[str]:
    """Train models, as many at once as the job and the memory allow; return a line for each that diverged."""
    waiting, problems = list(wanted.items()), []
    size = job.cohort_size or len(waiting)
    while waiting:
        part = dict(waiting[:size])
        try:
            problems += _train_together(job, part, checkpoint)
            waiting = waiting[size:]
        except RuntimeError as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
            size = (len(part) + 1) // 2
            job.say(f"out of memory; from now on {size} models are trained at once")
        # Here, since until its handler ends the error holds the tensors of the attempt.
        release_memory()
    return problems


def _train_together(job: TrainingJob, wanted: dict[Path, dict[str, Any]], checkpoint: Checkpoint | None) -> list[str]:
    """Train models together, all from one checkpoint or all anew; return a line for each that diverged."""
    watch = Stopwatch()
    records = {record["id"]: record for record in wanted.values()}
    spec = next(iter(records.values()))["spec"]
    data, validation = (open_images(job.store, split, job.device, spec["recipe"]) for split in ("train", "validation"))
    teacher = job.numerics.freeze(trained_network(*job.teacher, data)) if job.teacher else None
    training = Training(data, validation, spec["recipe"], role_seed(spec), spec.get("alpha"), teacher, job.numerics)
    learners = [make_learner(id_, record["spec"], data, job.weights) for id_, record in records.items()]
    machine = describe_machine(job.device, job.numerics)
    moment, before, resumed = Moment(), 0.0, []
    if checkpoint:
        moment, before = checkpoint.restore(learners), checkpoint.info["wall_seconds"]
        resumed = [*checkpoint.info["resumed"], resumption(checkpoint, machine)]
        _say_resumed(job, resumed[-1])

    info = {"unit": job.unit, "made": machine, "resumed": resumed}
    checkpoints = Checkpoints(checkpoint_folder(job.results, job.unit), info, records, job.checkpoint_seconds)
    saver = _Saver(job, learners, checkpoints, lambda: before + watch.seconds())
    progress = Progress(job.unit, all_epochs(training.recipe), "epochs", images=len(data), before=moment.epochs)

    def after_step(moment: Moment) -> None:
        progress.within(moment.epochs)
        saver.after_step(moment)

    def after_epoch(epoch: int, active: list[Learner]) -> None:
        note = ", ".join(_status(learner) for learner in active)
        progress.update(epoch, note, {learner.id: _curves(learner) for learner in active})

    job.interruption.check(job.unit)
    job.interruption.defer()
    train(learners, training, moment, Callbacks(after_epoch, after_step, job.say))

    made = {
        **provenance(watch, job.device),
        "wall_seconds": round(before + watch.seconds(), 3),
        "resumed": resumed,
        "precision": job.numerics.precision,
        "deterministic": job.numerics.deterministic,
        "epoch_seconds": {"mean": round(moment.seconds / max(1, moment.epoch), 4), "number": moment.epoch},
    }
    for directory, learner in zip(wanted, learners, strict=True):
        if learner.diverged is None:
            save_model(directory, learner.model.state_dict(), learner.history, wanted[directory], made)
    return [_keep_last_good(job, learner) for learner in learners if learner.diverged]


class _Saver:
    """Writes a checkpoint when one is due, and stops the process when it must end."""

    def __init__(
        self, job: TrainingJob, learners: list[Learner], checkpoints: Checkpoints, wall_seconds: Callable[[], float]
    ) -> None:
        self._job, self._learners, self._checkpoints, self._wall_seconds = job, learners, checkpoints, wall_seconds
        self._longest = 0.0
        self._looked: float | None = None

    def after_step(self, moment: Moment) -> None:
        """Save if a checkpoint is due; save and stop if the process must end."""
        now = time.monotonic()
        if self._looked is not None:
            self._longest = max(self._longest, now - self._looked)
        # The next step, a validation after it and the last checkpoint must end before the deadline.
        reserve = max(RESERVE_SECONDS, 3 * self._checkpoints.seconds) + self._longest
        reason = self._job.interruption.reason(reserve)
        if reason or self._checkpoints.is_due():
            saved = self._checkpoints.save(self._learners, moment, self._wall_seconds())
        if reason:
            lost = "" if saved else ", without a checkpoint of this step"
            self._job.interruption.stop(
                f"{self._job.unit}: stopped at epoch {moment.epoch + 1}, step {moment.step}, {reason}{lost}; "
                "run again to go on"
            )
        self._looked = time.monotonic()


def _say_resumed(job: TrainingJob, resumed: dict[str, Any]) -> None:
    where = f"epoch {resumed['epoch'] + 1}, step {resumed['step']}"
    job.say(f"going on after {where} ({resumed['host']}, {resumed['date']})")
    if resumed["changed"]:
        changes = ", ".join(f"{name} {old}, now {new}" for name, (old, new) in resumed["changed"].items())
        job.say(f"made elsewhere ({changes}): the last bits may differ from those of one run")


def _curves(learner: Learner) -> dict[str, float | None]:
    """Return the last loss and the last validation accuracy, a fraction; each None where there is none."""
    loss = learner.history[-1]["loss"]
    accuracies = (row["validation_accuracy"] for row in reversed(learner.history) if "validation_accuracy" in row)
    return {"loss": loss if math.isfinite(loss) else None, "accuracy": next(accuracies, None)}


def _status(learner: Learner) -> str:
    accuracy = _curves(learner)["accuracy"]
    shown = "" if accuracy is None else f" val {accuracy:.1%}"
    temperature = "" if learner.temperature is None else f"T={learner.temperature} "
    return f"{temperature}loss {learner.history[-1]['loss']:.4f}{shown}"


def _keep_last_good(job: TrainingJob, learner: Learner) -> str:
    """Write the weights of a diverged learner's last good epoch; return what to tell the user."""
    epoch, step = learner.diverged
    path = job.diverged / f"{learner.id}.safetensors"
    save_state(path, learner.good_state, {"epoch": json.dumps(epoch - 1), "id": learner.id})
    return (
        f"{job.unit}: the loss of {learner.id} became NaN or infinite in epoch {epoch}, step {step}; its weights after "
        f"epoch {epoch - 1} are in {path}; try a lower recipe.lr"
    )

"""What the training jobs share: from wanted models to finished ones on disk."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vicinal.checkpoint import Checkpoint, Checkpoints, describe_machine, find_checkpoint, resumption
from vicinal.data.store import Store
from vicinal.engine import Moment, train
from vicinal.errors import VicinalError
from vicinal.inputs import Images, adapt, to_device
from vicinal.interruption import RESERVE_SECONDS, TO_BE_CONTINUED, Interruption
from vicinal.learner import Learner, make_learner
from vicinal.models import build_model
from vicinal.numerics import Numerics
from vicinal.opening import open_images
from vicinal.parallel import Group
from vicinal.phases import all_epochs
from vicinal.progress import Progress
from vicinal.provenance import Stopwatch, provenance
from vicinal.records import remove_checkpoints
from vicinal.rehearsal import has_room, release_memory
from vicinal.results import checkpoint_folder
from vicinal.weights import load_weights, save_model, save_state


@dataclass
class Job:
    """A training job.

    Attributes:
        unit: id of the cohort or teacher.
        results: the results folder, for checkpoints.
        store: the data.
        device: where to compute.
        numerics: how.
        bad_folder: where the last good weights of a diverged model go.
        interruption: knows when to stop before the end.
        checkpoint_seconds: from one checkpoint to the next.
        teacher: directory of the teacher, and its spec.
        cohort_size: models trained at once, at most; None: all.
        weights: the file of the published weights that the specs start from.
        group: the processes that train together. The first one writes and decides; the others need no more than what
            they compute with.
    """

    unit: str
    results: Path
    store: Store
    device: torch.device
    numerics: Numerics
    bad_folder: Path
    interruption: Interruption
    checkpoint_seconds: float
    teacher: tuple[Path, dict] | None = None
    cohort_size: int | None = None
    weights: Path | None = None
    group: Group = field(default_factory=Group)


def train_models(job: Job, wanted: dict[Path, dict[str, Any]]) -> None:
    """Train models that share everything but temperature, logit scale and loss, and write each into its directory.

    The training goes on from the furthest whole checkpoint, of whatever process. Models that it does not hold, e.g. of
    a temperature that was added since, are trained after the others.

    Args:
        job: see there.
        wanted: for each model's directory what its record must say: ``id``, ``spec``, ``code`` and checksums.

    Raises:
        VicinalError: a loss became NaN or infinite. All models that did not diverge are trained to the end and
            written before.
        SystemExit: it stopped before its end, by a deadline or a signal, and can go on.
    """
    checkpoint = _common_checkpoint(job, wanted)
    held = {path: record for path, record in wanted.items() if checkpoint and checkpoint.holds(record)}
    others = {path: record for path, record in wanted.items() if path not in held}
    if held and others:
        print(
            f"{job.unit}: {len(others)} of {len(wanted)} are not in its checkpoint; they start afterwards", flush=True
        )
    problems = _train_in_parts(job, held, checkpoint) + _train_in_parts(job, others, None)
    if job.group.leads:
        remove_checkpoints(job.results, job.unit)
    if problems:
        raise VicinalError("\n".join(problems))


def _common_checkpoint(job: Job, wanted: dict[Path, dict[str, Any]]) -> Checkpoint | None:
    """Return the checkpoint to go on from, which must be the same for all processes."""
    found = find_checkpoint(checkpoint_folder(job.results, job.unit), list(wanted.values()))
    known = None if found is None else [found.path.name, found.info["epoch"], found.info["step"]]
    if known != job.group.share(known):
        raise VicinalError(f"{job.unit}: its checkpoints changed while they were read; run again to go on")
    return found


def _train_in_parts(job: Job, wanted: dict[Path, dict[str, Any]], checkpoint: Checkpoint | None) -> list[str]:
    """Train models, all at once if they may and the memory suffices; return what is to be said of diverged ones."""
    waiting, problems = list(wanted.items()), []
    size = min(job.cohort_size or len(waiting), len(waiting))
    while waiting:
        models = dict(waiting[:size])
        try:
            epochs = all_epochs(waiting[0][1]["spec"]["recipe"])
            if has_room(job.group, job.device, epochs, lambda models=models: _set_up(job, models)[-1]):
                problems += _train_group(job, models, checkpoint)
                waiting = waiting[size:]
                continue
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            if not job.group.is_one:  # later than in the first step: the others do not know, and wait
                raise VicinalError(
                    f"{job.unit}: out of memory with {len(models)} models at once in {job.group.size} "
                    f"processes: set execution.cohort_size to {size // 2}, which changes no result"
                ) from None
        if size == 1:
            raise torch.OutOfMemoryError(f"one of {job.group.size} processes has no room for one model")
        # Here, where the error does not hold on to what the models took.
        size = (len(models) + 1) // 2
        print(f"{job.unit}: out of memory; from now on {size} models are trained at once", flush=True)
        release_memory()
    return problems


def _set_up(job: Job, wanted: dict[Path, dict[str, Any]]) -> tuple[dict[Path, Learner], Images, Callable[..., None]]:
    """Return fresh learners by directory, the training split, and ``train`` with all but moment, group and calls."""
    spec = next(iter(wanted.values()))["spec"]
    data, validation = (open_images(job.store, split, job.device, spec["recipe"]) for split in ("train", "validation"))
    learners = {
        directory: make_learner(record["id"], record["spec"], data, job.weights) for directory, record in wanted.items()
    }
    run = partial(
        train,
        list(learners.values()),
        data,
        validation,
        recipe=spec["recipe"],
        seed=spec["seed"],
        alpha=spec.get("alpha"),
        teacher=_frozen(*job.teacher, data, job.numerics) if job.teacher else None,
        numerics=job.numerics,
    )
    return learners, data, run


def _train_group(job: Job, wanted: dict[Path, dict[str, Any]], checkpoint: Checkpoint | None) -> list[str]:
    """Train models together, all from one checkpoint or all anew; return what is to be said of diverged ones."""
    watch = Stopwatch()
    machine = {**describe_machine(job.device, job.numerics), "processes": job.group.size}
    learners, data, run = _set_up(job, wanted)
    moment, before, resumed = Moment(), 0.0, []
    if checkpoint:
        moment, before = checkpoint.restore(list(learners.values())), checkpoint.info["wall_seconds"]
    run = partial(run, moment=moment, group=job.group)
    if not job.group.leads:
        run(on_step=lambda moment: _stop_when_told(job.group))
        return []

    if checkpoint:
        resumed = [*checkpoint.info["resumed"], resumption(checkpoint, machine)]
        _say_resumed(job.unit, resumed[-1])
    progress = Progress(job.unit, all_epochs(run.keywords["recipe"]), "epochs", images=len(data), before=moment.epochs)
    saver = _Saver(
        job,
        list(learners.values()),
        Checkpoints(
            checkpoint_folder(job.results, job.unit),
            {"unit": job.unit, "made": machine, "resumed": resumed},
            {record["id"]: record for record in wanted.values()},
            job.checkpoint_seconds,
        ),
        lambda: before + watch.seconds(),
    )

    def after_epoch(epoch: int, active: list[Learner]) -> None:
        note = ", ".join(_status(learner) for learner in active)
        progress.update(epoch, note, {learner.id: _curves(learner) for learner in active})

    def after_step(moment: Moment) -> None:
        progress.within(moment.epochs)
        saver.after_step(moment)

    job.interruption.check(job.unit)
    job.interruption.defer()
    run(on_epoch=after_epoch, on_step=after_step, say=lambda text: print(f"{job.unit}: {text}", flush=True))
    made = provenance(watch, job.device)
    made |= {"wall_seconds": round(before + watch.seconds(), 3), "resumed": resumed}
    made |= {"precision": job.numerics.precision, "deterministic": job.numerics.deterministic}
    made["processes"] = job.group.size
    made["epoch_seconds"] = {"mean": round(moment.seconds / max(1, moment.epoch), 4), "number": moment.epoch}
    problems = []
    for directory, learner in learners.items():
        if learner.diverged is None:
            save_model(directory, learner.model.state_dict(), learner.history, wanted[directory], made)
        else:
            problems.append(_keep_last_good(job.unit, learner, job.bad_folder))
    return problems


class _Saver:
    """Makes checkpoints in time, and stops the process when it must end."""

    def __init__(
        self, job: Job, learners: list[Learner], checkpoints: Checkpoints, wall_seconds: Callable[[], float]
    ) -> None:
        self._job, self._learners, self._checkpoints, self._wall_seconds = job, learners, checkpoints, wall_seconds
        self._longest = 0.0
        self._looked: float | None = None

    def after_step(self, moment: Moment) -> None:
        """Save and stop, if it is time."""
        now = time.monotonic()
        if self._looked is not None:
            self._longest = max(self._longest, now - self._looked)
        # The next step, and a validation after it, must end before the deadline as well as the last checkpoint.
        reserve = max(RESERVE_SECONDS, 3 * self._checkpoints.seconds) + self._longest
        reason = self._job.interruption.reason(reserve)
        self._job.group.agree(reason is not None)
        if reason or self._checkpoints.is_due():
            saved = self._checkpoints.save(self._learners, moment, self._wall_seconds())
        if reason:
            lost = "" if saved else ", without a checkpoint of this step"
            self._job.interruption.stop(
                f"{self._job.unit}: stopped at epoch {moment.epoch + 1}, step {moment.step}, {reason}{lost}; "
                "run again to go on"
            )
        self._looked = time.monotonic()


def _stop_when_told(group: Group) -> None:
    """End a process that helps where the first one has said so, which leaves a checkpoint."""
    if group.agree(False):
        raise SystemExit(TO_BE_CONTINUED)


def _say_resumed(unit: str, resumed: dict[str, Any]) -> None:
    where = f"epoch {resumed['epoch'] + 1}, step {resumed['step']}"
    print(f"{unit}: going on after {where} ({resumed['host']}, {resumed['date']})", flush=True)
    if resumed["changed"]:
        changes = ", ".join(f"{name} {old}, now {new}" for name, (old, new) in resumed["changed"].items())
        print(f"{unit}: made elsewhere ({changes}): the last bits may differ from those of one run", flush=True)


def _curves(learner: Learner) -> dict[str, float | None]:
    """Return the last loss and, as far as there is one, the last validation accuracy, a fraction."""
    loss = learner.history[-1]["loss"]
    accuracies = (row["validation_accuracy"] for row in reversed(learner.history) if "validation_accuracy" in row)
    return {"loss": loss if math.isfinite(loss) else None, "accuracy": next(accuracies, None)}


def _status(learner: Learner) -> str:
    accuracy = _curves(learner)["accuracy"]
    shown = "" if accuracy is None else f" val {accuracy:.1%}"
    temperature = "" if learner.temperature is None else f"T={learner.temperature} "
    return f"{temperature}loss {learner.history[-1]['loss']:.4f}{shown}"


def _frozen(directory: Path, spec: dict, data: Images, numerics: Numerics) -> torch.nn.Module:
    """Return a finished teacher, frozen, in evaluation mode, on the device of the data."""
    model = build_model(spec["model"], data.num_classes, data.channels)
    load_weights(directory, model)
    return to_device(numerics.freeze(adapt(model, spec, data)), data.device)


def _keep_last_good(unit: str, learner: Learner, folder: Path) -> str:
    epoch, step = learner.diverged
    path = folder / f"{learner.id}.safetensors"
    save_state(path, learner.good_state, {"epoch": json.dumps(epoch - 1), "id": learner.id})
    return (
        f"{unit}: the loss of {learner.id} became NaN or infinite in epoch {epoch}, step {step}; its weights after "
        f"epoch {epoch - 1} are in {path}; try a lower recipe.lr"
    )

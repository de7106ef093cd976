"""The disk that the results of a run would take."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from vicinal.data.corruptions.catalogue import ARCHIVES
from vicinal.models.pretrained import WEIGHTS
from vicinal.planning.artefacts import Teacher
from vicinal.planning.changes import Change
from vicinal.planning.plans import Ref
from vicinal.running.estimate.jobs import Jobs
from vicinal.running.estimate.work import seen_shape
from vicinal.spec import PHOTOS, is_given

# Bytes, measured: the record and the history of a model, at all and an epoch; the tables of a model, at all, for each
# test image and, of teachers, for each pair of classes; an experiment's tables, figures and report, at all and a model.
MODEL = (3_500, 60)
TABLES = (28_000, 22, 17)
EXPERIMENT = (8_000_000, 50_000)
# The record of a model on corrupted images.
ROBUSTNESS = 13_000
# Each image's label, and its row in the table of splits, beside its pixels.
LABEL = 16
# About those of a photo of ImageNet.
PHOTO_BYTES = 120_000
# Published sizes of what is downloaded.
DOWNLOADS = {"cifar10": 170_498_071, "cifar100": 169_001_437, "fashion_mnist": 30_878_645}


@dataclass(frozen=True)
class Disk:
    """Bytes that a run writes, by what they are, and those that are free where the results lie."""

    parts: dict[str, int]
    free: int

    @property
    def needed(self) -> int:
        """Return the bytes of all parts."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Return whether there is room."""
        return self.needed <= self.free


def estimate_disk(jobs: Jobs, changes: Mapping[Ref, Change]) -> Disk:
    """Return the disk that a run would take; what it would overwrite is not deducted.

    Raises:
        VicinalError: a data set cannot be read, or a network cannot be counted (``Costs.of``).
    """
    parts: dict[str, int] = defaultdict(int)
    for (stage, _), change in changes.items():
        if stage in BYTES:
            part, bytes_of = BYTES[stage]
            parts[part] += bytes_of(jobs, change)
    return Disk(dict(parts), shutil.disk_usage(_existing(jobs.results)).free)


def _data_set(jobs: Jobs, change: Change) -> int:
    return DOWNLOADS.get(jobs.artefacts.stores[change.plan.id].spec["name"], 0)


def _weights(jobs: Jobs, change: Change) -> int:
    return WEIGHTS[change.plan.id].size


def _corruptions(jobs: Jobs, change: Change) -> int:
    source = jobs.artefacts.corruptions[change.plan.id]
    return ARCHIVES[source.store.spec["name"]].size if source.archive_state is None else 0


def _store(jobs: Jobs, change: Change) -> int:
    store = jobs.artefacts.stores[change.plan.id]
    shape = jobs.shape(store)
    return shape.stored * (LABEL + (PHOTO_BYTES if store.spec.get("store") == PHOTOS else prod(shape.image[1:])))


def _models(jobs: Jobs, change: Change) -> int:
    unit, (once, an_epoch) = jobs.units[change.plan.ref], MODEL
    cost = jobs.costs.of(unit.spec["model"], *seen_shape(unit.spec, jobs.shape(unit.store)).image)
    models = 1 if is_given(unit.spec) else len(change.train)
    return models * (cost.weights_bytes + once + an_epoch * unit.spec["recipe"].get("epochs", 0))


def _measures(jobs: Jobs, change: Change) -> int:
    unit, (once, an_image, a_pair_of_classes) = jobs.units[change.plan.ref], TABLES
    shape = jobs.shape(unit.store)
    of_teacher = shape.classes**2 * a_pair_of_classes if isinstance(unit, Teacher) else 0
    return len(jobs.models(change)) * (once + an_image * shape.test + of_teacher)


def _robustness(jobs: Jobs, change: Change) -> int:
    return len(jobs.models(change)) * ROBUSTNESS


def _tables(jobs: Jobs, change: Change) -> int:
    once, a_model = EXPERIMENT
    return once + a_model * len(jobs.artefacts.studies[change.plan.id].models)


# The stage of a job → what its bytes are, and how many.
BYTES: dict[str, tuple[str, Callable[[Jobs, Change], int]]] = {
    "downloads": ("downloads", _data_set),
    "weights": ("downloads", _weights),
    "corruptions": ("downloads", _corruptions),
    "data": ("data", _store),
    "teachers": ("models", _models),
    "cohorts": ("models", _models),
    "evaluations": ("evaluations", _measures),
    "robustness": ("evaluations", _robustness),
    "experiments": ("tables, figures and reports", _tables),
}


def _existing(path: Path) -> Path:
    """Return the nearest folder that exists, from ``path`` upwards."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())

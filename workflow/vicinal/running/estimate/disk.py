"""The disk that the results of a run would take."""

from collections import defaultdict
from contextlib import suppress
from math import prod
from pathlib import Path

from vicinal.data.catalogue import DATA_SETS
from vicinal.data.corruptions.catalogue import ARCHIVES
from vicinal.errors import VicinalError
from vicinal.models.pretrained import WEIGHTS
from vicinal.planning.artefacts import Teacher
from vicinal.planning.changes import Change
from vicinal.running.estimate.jobs import Jobs
from vicinal.running.estimate.work import seen_shape
from vicinal.spec import PHOTOS, is_given

# Bytes, as measured. Of a model: its record and history, and more for each epoch.
MODEL, EPOCH = 3_500, 60
# Of a measured model: its tables, and more for each test image and, of a teacher, for each pair of classes.
TABLES, TEST_IMAGE, CLASS_PAIR = 28_000, 22, 17
# Of a model on corrupted images: its record.
ROBUSTNESS = 13_000
# Of an experiment: its tables, figures and report, and more for each model.
EXPERIMENT, EXPERIMENT_MODEL = 8_000_000, 50_000
# Of an image: its label and its row in the table of splits; about the size of a photo of ImageNet.
LABEL, PHOTO_BYTES = 16, 120_000


def estimate_disk(jobs: Jobs) -> dict[str, int]:
    """Return name → bytes of what a run writes, without what it overwrites. Raises VicinalError: see ``Costs.of``."""
    parts: dict[str, int] = defaultdict(int)
    for change in jobs.changes.values():
        part, bytes_ = _written(jobs, change)
        parts[part] += bytes_
    return dict(parts)


def _written(jobs: Jobs, change: Change) -> tuple[str, int]:
    """Return what a job writes, and its bytes."""
    ref, artefacts, models = change.plan.ref, jobs.artefacts, len(jobs.models(change))
    stage, id_ = ref
    if stage == "downloads":
        archives = DATA_SETS[artefacts.stores[id_].spec["name"]].archives
        return "downloads", sum(archive.size for archive in archives.values())
    if stage == "weights":
        return "downloads", WEIGHTS[id_].size
    if stage == "corruptions":
        is_there = artefacts.corruptions[id_] is not None
        return "downloads", 0 if is_there else ARCHIVES[artefacts.stores[id_].spec["name"]].size
    if stage == "data":
        store = artefacts.stores[id_]
        shape = jobs.shape(store)
        image = PHOTO_BYTES if store.spec.get("store") == PHOTOS else prod(shape.image[1:])
        return "data", shape.stored * (LABEL + image)
    if stage == "robustness":
        return "evaluations", models * ROBUSTNESS
    if stage in ("teachers", "cohorts", "evaluations"):
        units = jobs.units[ref]
        unit, shape = units[0], jobs.shape(units[0].store)
        if stage == "evaluations":
            of_teacher = shape.classes**2 * CLASS_PAIR if any(isinstance(unit, Teacher) for unit in units) else 0
            return "evaluations", models * (TABLES + TEST_IMAGE * shape.test) + of_teacher
        cost = jobs.costs.of(unit.spec["model"], *seen_shape(unit.spec, shape).image)
        a_model = cost.weights_bytes + MODEL + EPOCH * unit.spec["recipe"].get("epochs", 0)
        return "models", a_model * (1 if is_given(unit.spec) else models)
    tables = EXPERIMENT + EXPERIMENT_MODEL * len(artefacts.studies[id_].models) if stage == "experiments" else 0
    return "tables, figures and reports", tables


def nearest_existing(path: Path) -> Path:
    """Return the nearest path upwards that can be reached. Raises VicinalError: there is none."""
    path = path.absolute()
    for place in (path, *path.parents):
        with suppress(OSError):
            place.stat()
            return place
    raise VicinalError(f"{path}: no folder of it can be reached; is its disk mounted?")

"""The disk that the results of a run would take."""

import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import mean

from vicinal.artefacts import Evaluation, Teacher
from vicinal.changes import Change
from vicinal.data.corruptions import ARCHIVES
from vicinal.estimate.jobs import Jobs
from vicinal.estimate.shape import Shape
from vicinal.estimate.work import seen_shape
from vicinal.models.cost import model_cost
from vicinal.models.pretrained import WEIGHTS
from vicinal.planning import Ref
from vicinal.spec import PHOTOS, canonical, is_given

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
        """Tell whether there is room."""
        return self.needed <= self.free


def estimate_disk(jobs: Jobs, changes: Mapping[Ref, Change]) -> Disk:
    """Return the disk that a run would take; what it would overwrite is not deducted."""
    parts: dict[str, int] = defaultdict(int)
    artefacts, measured = jobs.artefacts, _Measured(jobs)
    for (stage, id_), change in changes.items():
        if stage == "downloads":
            parts["downloads"] += DOWNLOADS.get(artefacts.stores[id_].spec["name"], 0)
        elif stage == "weights":
            parts["downloads"] += WEIGHTS[id_].size
        elif stage == "corruptions":
            archive = ARCHIVES[artefacts.stores[id_].spec["name"]]
            if artefacts.corruptions[id_].archive_state is None:
                parts["downloads"] += archive.size
        elif stage == "robustness":
            parts["evaluations"] += len(jobs.to_measure(change)) * ROBUSTNESS
        elif stage == "data":
            shape = jobs.shape(artefacts.stores[id_])
            size = PHOTO_BYTES if artefacts.stores[id_].spec.get("store") == PHOTOS else prod(shape.image[1:])
            parts["data"] += shape.stored * (size + LABEL)
        elif stage in ("teachers", "cohorts"):
            unit = (artefacts.teachers if stage == "teachers" else artefacts.cohorts)[id_]
            cost = model_cost(unit.spec["model"], *seen_shape(unit.spec, jobs.shape(unit.store)).image)
            once, an_epoch = MODEL
            a_model = cost.weights_bytes + once + an_epoch * unit.spec["recipe"].get("epochs", 0)
            models = 1 if is_given(unit.spec) else len(change.train)
            parts["models"] += models * a_model
        elif stage == "evaluations":
            parts["evaluations"] += len(jobs.to_measure(change)) * measured.bytes_of(artefacts.evaluations[id_])
        elif stage == "experiments":
            once, a_model = EXPERIMENT
            parts["tables, figures and reports"] += once + a_model * len(artefacts.studies[id_].models)
    return Disk(dict(parts), shutil.disk_usage(_existing(jobs.results)).free)


class _Measured:
    """The mean size of the tables of one model: of those that are there with the same pairs and data, else stated."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self._sizes: dict[tuple, int] = {}

    def bytes_of(self, evaluation: Evaluation) -> int:
        key = canonical([evaluation.settings, evaluation.unit.store.id]), isinstance(evaluation.unit, Teacher)
        if key not in self._sizes:
            like = (
                other
                for other in self.jobs.artefacts.evaluations.values()
                if other.settings == evaluation.settings
                and other.unit.store.id == evaluation.unit.store.id
                and isinstance(other.unit, Teacher) == key[1]
            )
            found = [size for other in like for size in self._folders(other)]
            self._sizes[key] = round(mean(found)) if found else self._stated(evaluation)
        return self._sizes[key]

    def _folders(self, evaluation: Evaluation) -> list[int]:
        folder = self.jobs.results / "evaluations" / evaluation.id
        models = [path for path in folder.glob("*") if path.is_dir()]
        return [sum(file.stat().st_size for file in model.iterdir()) for model in models]

    def _stated(self, evaluation: Evaluation) -> int:
        shape: Shape = self.jobs.shape(evaluation.unit.store)
        once, an_image, a_pair_of_classes = TABLES
        of_teacher = shape.classes**2 * a_pair_of_classes if isinstance(evaluation.unit, Teacher) else 0
        return once + an_image * shape.test + of_teacher


def _existing(path: Path) -> Path:
    """Return the nearest folder that exists, from ``path`` upwards."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())

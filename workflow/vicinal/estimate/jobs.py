"""The time of every job that would run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vicinal.artefacts import Artefacts, Cohort, Evaluation, Store, Teacher
from vicinal.changes import Change
from vicinal.estimate.shape import Shape, shape_of
from vicinal.estimate.timing import Estimate, Timing
from vicinal.estimate.work import answers_work, evaluation_work, robustness_work, seen_shape, training_work
from vicinal.files import read_object
from vicinal.gpus import visible_devices
from vicinal.planning import Ref
from vicinal.results import EVALUATION, STAGES

# The stages whose jobs compute with networks: on the device, and on a cluster as jobs of their own.
DEVICE_STAGES = ("teachers", "cohorts", "evaluations", "robustness")
# Of these, those whose jobs may have several processes.
TRAINERS = ("teachers", "cohorts")


class Jobs:
    """Estimates of the jobs of a run."""

    def __init__(self, artefacts: Artefacts, changes: Mapping[Ref, Change], results: Path, timing: Timing) -> None:
        self.artefacts, self.changes, self.results, self.timing = artefacts, changes, results, timing
        self._shapes: dict[str, Shape] = {}

    def shape(self, store: Store) -> Shape:
        """Return the shape of a data set."""
        if store.id not in self._shapes:
            self._shapes[store.id] = shape_of(store, self.results)
        return self._shapes[store.id]

    def estimate(self, change: Change) -> Estimate:
        """Return the time of a job that would run."""
        stage, id_ = change.plan.ref
        if stage == "teachers":
            return self.teacher(self.artefacts.teachers[id_], len(change.train))
        if stage == "cohorts":
            return self.cohort(self.artefacts.cohorts[id_], len(change.train))
        if stage == "evaluations":
            return self.evaluation(self.artefacts.evaluations[id_], len(self.to_measure(change)))
        if stage == "robustness":
            return self.robustness(self.artefacts.corrupted[id_], len(self.to_measure(change)))
        return self.timing.rule(STAGES[stage].rule)

    def teacher(self, teacher: Teacher, models: int) -> Estimate:
        """Return the time of a teacher's job; ``models`` is 0 where it is finished and only recorded anew, or given."""
        if not models:
            return self._startup("teachers")
        return self.timing.job("teachers", training_work(teacher.spec, 1, self.shape(teacher.store)))

    def cohort(self, cohort: Cohort, students: int) -> Estimate:
        """Return the time of a cohort's job that trains so many students."""
        if not students:
            return self._startup("cohorts")
        return self.timing.job("cohorts", training_work(cohort.spec, students, self.shape(cohort.store)))

    def evaluation(self, evaluation: Evaluation, models: int) -> Estimate:
        """Return the time of an evaluation's job that measures so many models."""
        if not models:
            return self._startup("evaluations")
        unit, pairs = evaluation.unit, evaluation.settings["pairs"]
        shape = seen_shape(unit.spec, self.shape(unit.store))
        estimate = self.timing.job("evaluations", evaluation_work(unit.spec, models, pairs, shape))
        if "teacher" not in unit.spec:
            return estimate
        asked = self.timing.work(answers_work(unit.spec["teacher"]["model"], pairs, shape))
        return estimate._replace(seconds=estimate.seconds + asked.seconds)

    def robustness(self, unit: Teacher | Cohort, models: int) -> Estimate:
        """Return the time of a job that measures so many models of a unit on corrupted images."""
        if not models:
            return self._startup("robustness")
        shape = seen_shape(unit.spec, self.shape(unit.store))
        return self.timing.job("robustness", robustness_work(unit.spec, models, shape))

    def _startup(self, stage: str) -> Estimate:
        return Estimate(self.timing.startup(stage), "start-up alone, nothing is computed anew")

    def to_measure(self, change: Change) -> list[str]:
        """Return the models that a job of measurement would measure; the others were measured as they are wanted."""
        plan = change.plan
        trained = {id_ for ref in plan.upstream if ref in self.changes for id_ in self.changes[ref].train}
        folder = self.results / plan.stage / plan.id
        anew = any(ref in self.changes for ref in plan.upstream if ref[0] in ("data", "corruptions"))
        return [
            id_
            for id_ in plan.content["models"]
            if anew or id_ in trained or not _is_measured(folder / id_ / EVALUATION, plan.content)
        ]


def _is_measured(record: Path, content: dict) -> bool:
    """Tell whether a model's record is of this spec and code; the job compares the checksums too."""
    found = read_object(record)
    return all(found.get(key) == content[key] for key in ("spec", "code"))


@dataclass(frozen=True)
class Times:
    """Times of jobs together, in s: on the device (each job counted as often as it has threads on a CPU), and wall.

    Attributes:
        device: kind of the device.
        device_seconds: of the jobs that compute with networks: seconds of the GPU, or of cores.
        core_seconds: of all other jobs.
        wall_seconds: of all, jobs side by side on ``slots`` places.
        slots: jobs at a time.
    """

    device: str
    device_seconds: float
    core_seconds: float
    wall_seconds: float
    slots: int

    @property
    def hours(self) -> float:
        """Return what a budget is compared with: hours of the GPU, or of cores."""
        return (self.device_seconds + (self.core_seconds if self.device == "cpu" else 0.0)) / 3600


def total(seconds: Iterable[tuple[str, float]], timing: Timing, cores: int) -> Times:
    """Return the times of jobs, given by stage and seconds, on ``cores`` CPU cores and the visible GPUs."""
    machine = timing.machine
    # A training takes as many GPUs, or times its threads, as it has processes.
    pairs = [(stage, value * (machine.processes if stage in TRAINERS else 1)) for stage, value in seconds]
    device = sum(value for stage, value in pairs if stage in DEVICE_STAGES)
    other = sum(value for stage, value in pairs if stage not in DEVICE_STAGES)
    slots = max(1, len(visible_devices()) if machine.kind == "cuda" else cores // machine.threads)
    wall = device / slots + other / max(1, cores)
    return Times(machine.kind, device * (machine.threads if machine.kind == "cpu" else 1), other, wall, slots)

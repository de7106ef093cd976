"""The time of every job that would run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vicinal.files import read_object
from vicinal.jobs.gpus import visible_devices
from vicinal.models.cost import Costs
from vicinal.planning.artefacts import Artefacts, Cohort, DataSet, Teacher
from vicinal.planning.changes import Change
from vicinal.planning.plans import Ref
from vicinal.results import EVALUATION
from vicinal.running.estimate.shape import Shape, shape_of
from vicinal.running.estimate.timing import Estimate, Timing
from vicinal.running.estimate.work import Work, answers_work, evaluation_work, robustness_work, training_work

# What the jobs of the stages compute that work with networks: on the device, and on a cluster as jobs of their own.
WORK: dict[str, tuple[Callable[..., Work], ...]] = {
    "teachers": (training_work,),
    "cohorts": (training_work,),
    "evaluations": (evaluation_work, answers_work),
    "robustness": (robustness_work,),
}
DEVICE_STAGES = tuple(WORK)


def kept_costs(results: Path) -> Costs:
    """Return the costs of networks that a results folder keeps."""
    return Costs(results / "plan" / "costs.json")


class Jobs:
    """Estimates of the jobs of a run."""

    def __init__(self, artefacts: Artefacts, changes: Mapping[Ref, Change], results: Path, timing: Timing) -> None:
        self.artefacts, self.changes, self.results, self.timing = artefacts, changes, results, timing
        self.costs = timing.costs
        evaluated = {id_: evaluation.unit for id_, evaluation in artefacts.evaluations.items()}
        by_stage = {
            "teachers": artefacts.teachers, "cohorts": artefacts.cohorts, "evaluations": evaluated,
            "robustness": artefacts.corrupted,
        }  # fmt: skip
        # What the jobs that compute with networks train or measure.
        self.units: dict[Ref, Teacher | Cohort] = {
            (stage, id_): unit for stage, units in by_stage.items() for id_, unit in units.items()
        }
        self._shapes: dict[str, Shape] = {}

    def shape(self, store: DataSet) -> Shape:
        """Return the shape of a data set.

        Raises:
            VicinalError: its source cannot be read.
        """
        if store.id not in self._shapes:
            self._shapes[store.id] = shape_of(store, self.results)
        return self._shapes[store.id]

    def estimate(self, change: Change) -> Estimate:
        """Return the time of a job that would run."""
        ref = change.plan.ref
        return self.device_job(ref, len(self.models(change))) if ref in self.units else self.timing.rule(change.rule)

    def device_job(self, ref: Ref, models: int) -> Estimate:
        """Return the time of a job that trains or measures so many models; with none it looks what is there."""
        startup = self.timing.startup
        if not models:
            return Estimate(startup, "start-up alone, nothing is computed anew")
        unit, evaluation = self.units[ref], self.artefacts.evaluations.get(ref[1])
        pairs, shape = evaluation.settings["pairs"] if evaluation else 0, self.shape(unit.store)
        estimates = [self.timing.work(work(unit.spec, models, shape, pairs)) for work in WORK[ref[0]]]
        return estimates[0]._replace(seconds=startup + sum(estimate.seconds for estimate in estimates))

    def models(self, change: Change) -> list[str]:
        """Return the models that a job would train, or measure."""
        return change.train if "models" not in change.plan.content else self._to_measure(change)

    def _to_measure(self, change: Change) -> list[str]:
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
    """Return whether a model's record is of this spec and code; the job compares the checksums too."""
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
        """Return the hours of the GPU, or of cores."""
        return (self.device_seconds + (self.core_seconds if self.device == "cpu" else 0.0)) / 3600


def total(seconds: Iterable[tuple[str, float]], timing: Timing, cores: int) -> Times:
    """Return the times of jobs, given by stage and seconds, on ``cores`` CPU cores and the visible GPUs."""
    machine, pairs = timing.machine, list(seconds)
    device = sum(value for stage, value in pairs if stage in DEVICE_STAGES)
    other = sum(value for stage, value in pairs if stage not in DEVICE_STAGES)
    slots = max(1, len(visible_devices()) if machine.kind == "cuda" else cores // machine.threads)
    wall = device / slots + other / max(1, cores)
    return Times(machine.kind, device * (machine.threads if machine.kind == "cpu" else 1), other, wall, slots)

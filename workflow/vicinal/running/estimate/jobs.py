"""The time of every job that would run."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vicinal.config import Energy
from vicinal.files import read_object
from vicinal.jobs.gpus import visible_devices
from vicinal.jobs.records import measurement_spec
from vicinal.models.cost import Costs, shipped_costs
from vicinal.planning.artefacts import Artefacts, Cohort, DataSet, Teacher
from vicinal.planning.changes import Change
from vicinal.planning.plans import Ref
from vicinal.results import EVALUATION, MEASURED, ON_DEVICE, PLAN, TRAINED
from vicinal.running.estimate.recorded import Recorded
from vicinal.running.estimate.shape import Shape, shape_of
from vicinal.running.estimate.timing import Estimate, Timing
from vicinal.running.estimate.work import (
    Machine,
    Work,
    answers_work,
    evaluation_work,
    robustness_work,
    tables_work,
    training_work,
)


class Jobs:
    """Estimates of the jobs of a run, upstream ones first; the results folder also keeps the costs of networks."""

    def __init__(
        self,
        artefacts: Artefacts,
        changes: Mapping[Ref, Change],
        results: Path,
        machine: Machine,
        recorded: Recorded | None = None,
    ) -> None:
        self.artefacts, self.changes, self.results = artefacts, changes, results
        self.costs = Costs(results / PLAN / "costs.json", shipped_costs())
        self.timing = Timing(machine, recorded or Recorded(), self.costs)
        # The teachers and cohorts that a job on the device trains or measures.
        self.units: dict[Ref, list[Teacher | Cohort]] = {ref: [unit] for ref, unit in artefacts.units.items()}
        for measurements in (artefacts.evaluations, artefacts.robustness):
            self.units |= {each.ref: list(each.units.values()) for each in measurements.values()}
        self._shapes: dict[str, Shape] = {}

    def shape(self, store: DataSet) -> Shape:
        """Return the shape of a data set. Raises VicinalError: its source cannot be read."""
        if store.id not in self._shapes:
            self._shapes[store.id] = shape_of(store, self.results)
        return self._shapes[store.id]

    def estimate(self, change: Change) -> Estimate:
        """Return the time of a job that would run."""
        ref = change.plan.ref
        return self.device_job(ref, self.models(change)) if ref in self.units else self.timing.rule(change.rule)

    def device_job(self, ref: Ref, models: Collection[str]) -> Estimate:
        """Return the time of a job that trains or measures some models; with none it only looks what is there."""
        startup = self.timing.startup
        if not models:
            return Estimate(startup, "start-up only, nothing is computed again")
        estimates = [self.timing.work(work) for work in self._work(ref, models)]
        return estimates[0]._replace(seconds=startup + sum(estimate.seconds for estimate in estimates))

    def _work(self, ref: Ref, models: Collection[str]) -> Iterator[Work]:
        """Yield what a job computes to train or measure some models, the most of it first."""
        stage, id_ = ref
        parts = [(unit, sum(model.id in models for model in unit.models)) for unit in self.units[ref]]
        parts = [(unit, number) for unit, number in parts if number]
        if stage in TRAINED:
            for unit, _ in parts:  # the models of one mixup strength are trained at once
                alphas = Counter(model.spec.get("alpha") for model in unit.models if model.id in models)
                for number in alphas.values():
                    yield training_work(unit.spec, number, self.shape(unit.store))
        elif stage == "robustness":
            yield from (robustness_work(unit.spec, number, self.shape(unit.store)) for unit, number in parts)
        else:
            evaluation = self.artefacts.evaluations[id_]
            shape, pairs, teacher = self.shape(evaluation.store), evaluation.settings["pairs"], evaluation.teacher
            for unit, number in parts:
                work = tables_work if isinstance(unit, Teacher) else evaluation_work
                yield work(unit.spec, number, shape, pairs)
            if teacher:
                yield answers_work(teacher.spec, shape, pairs)

    def models(self, change: Change) -> list[str]:
        """Return the models that a job would train or measure."""
        plan = change.plan
        if plan.stage not in MEASURED:
            return change.train
        trained = {id_ for ref in plan.upstream if ref in self.changes for id_ in self.changes[ref].train}
        folder = self.results / plan.stage / plan.id
        everything = any(ref in self.changes for ref in plan.upstream if ref[0] in ("data", "corruptions"))
        return [
            id_
            for unit in plan.content["units"].values()
            for id_ in unit["models"]
            if everything or id_ in trained or not _is_measured(folder / id_ / EVALUATION, plan.content, unit)
        ]


def _is_measured(record: Path, content: dict, unit: dict) -> bool:
    """Return whether a model's record is of this spec and code; the job compares the checksums too."""
    found = read_object(record)
    return found.get("code") == unit["code"] and found.get("spec") == measurement_spec(content, unit)


def energy_use(hours: float, energy: Energy) -> dict[str, Any] | None:
    """Return ``kwh`` of hours of the device at the configured power, ``co2_kg`` and ``cost``.

    The last two, and all of it, are None where the config does not say what a kWh makes and costs, and the power.
    """
    if energy.watts is None:
        return None
    kwh = hours * energy.watts / 1000
    co2 = None if energy.co2_grams is None else kwh * energy.co2_grams / 1000
    cost = None if energy.price is None else kwh * energy.price
    return {"kwh": kwh, "co2_kg": co2, "cost": cost, "currency": energy.currency}


def total(seconds: Iterable[tuple[str, float]], machine: Machine, cores: int) -> dict[str, Any]:
    """Return the times of jobs, given by stage and seconds, on ``cores`` CPU cores and the visible GPUs.

    The fields are those of ``time`` in ``./reproduce plan --json``.
    """
    found = list(seconds)
    device = sum(value for stage, value in found if stage in ON_DEVICE)
    other = sum(value for stage, value in found if stage not in ON_DEVICE)
    slots = max(1, len(visible_devices()) if machine.kind == "cuda" else cores // machine.threads)
    return {
        "device": machine.kind,
        "hardware": machine.hardware,
        "device_hours": device * (machine.threads if machine.kind == "cpu" else 1) / 3600,
        "other_core_hours": other / 3600,
        "wall_seconds": device / slots + other / max(1, cores),
        "slots": slots,
        "cores": cores,
        "threads": machine.threads,
    }

"""Wall time of jobs: stated rates, corrected by how long like jobs took on this machine."""

from collections import defaultdict
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple

from vicinal.jobs.gpus import list_gpus, visible_devices
from vicinal.jobs.provenance import cpu_model
from vicinal.models.cost import Costs
from vicinal.running.estimate.recorded import Recorded
from vicinal.running.estimate.work import STATED, Machine, Work
from vicinal.spec import canonical

# Seconds until the work of a job that computes with networks begins: Python, torch, the data.
STARTUP = 3.0
# Seconds of the jobs that train and measure nothing: downloads and preparation by their rule, and all others.
RULE_SECONDS = {"fetch_data": 60.0, "fetch_weights": 60.0, "prepare_data": 20.0, "fetch_corruptions": 300.0}
OTHER_SECONDS = 4.0


class Estimate(NamedTuple):
    """Seconds, where they come from (part of a sentence), and on how many recorded runs they rest."""

    seconds: float
    source: str
    runs: int = 0


class Timing:
    """Estimates the time of jobs on one machine."""

    def __init__(self, machine: Machine, recorded: Recorded, costs: Costs) -> None:
        self.machine, self.recorded, self.costs = machine, recorded, costs
        # By how runs are compared: what each took of its stated time.
        self._ratios: dict[tuple, list[float]] = defaultdict(list)
        for job in recorded.jobs:
            if job.machine.kind == machine.kind and machine.hardware in (None, job.machine.hardware):
                ratio = job.seconds / job.work.stated_seconds(job.machine, costs)
                for key in _likeness(job.work, job.machine):
                    self._ratios[key].append(ratio)

    def work(self, work: Work) -> Estimate:
        """Return the time of the work alone: the stated time, times the median of what like runs took of theirs."""
        stated = work.stated_seconds(self.machine, self.costs)
        for key in _likeness(work, self.machine):
            if found := self._ratios.get(key):
                return Estimate(stated * median(found), key[0], len(found))
        return Estimate(stated, STATED[self.machine.kind])

    @property
    def startup(self) -> float:
        """Return the seconds before the work of a job begins: the fewest recorded, as a busy machine takes longer."""
        return min(self.recorded.startups or [STARTUP])

    def rule(self, rule: str) -> Estimate:
        """Return the time of a job that trains and measures nothing, by its rule."""
        if found := self.recorded.rules.get(rule):
            return Estimate(median(found), "like runs", len(found))
        return Estimate(RULE_SECONDS.get(rule, OTHER_SECONDS), "a stated time")


def _likeness(work: Work, machine: Machine) -> list[tuple[Any, ...]]:
    """Return what runs on one device are compared by, the closest likeness first; each begins with its name."""
    families = work.teacher and work.teacher["family"], work.model["family"]
    return [
        ("like runs", work.stage, canonical([work.teacher, work.model]), work.image, machine.threads),
        ("runs of the same family on this device", work.stage, families, machine.threads),
        ("runs of other models on this device", work.stage),
    ]


def present_machine(device: str, threads: int, cores: int) -> Machine:
    """Return what jobs would run on here, by the fields of ``execution`` and the run's cores, without asking torch."""
    machine = Machine("cpu", cpu_model(), min(threads, cores))
    if device.startswith("cuda") or (device == "auto" and visible_devices()):
        gpus = list_gpus()
        return replace(machine, kind="cuda", hardware=gpus[0].model or None if gpus else None)
    return machine

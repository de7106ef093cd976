"""Wall time of jobs: stated rates, corrected by how long like jobs took on this machine."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, NamedTuple

from vicinal.estimate.recorded import History, Job
from vicinal.estimate.work import STATED_CPU, STATED_GPU, STATED_SHARED, Machine, Work
from vicinal.gpus import list_gpus, visible_devices
from vicinal.provenance import cpu_model
from vicinal.spec import canonical

# Seconds until the work of a job begins: Python, torch, the data. And of the jobs that train and measure nothing.
STARTUP = {"teachers": 3.0, "cohorts": 3.0, "evaluations": 4.0, "robustness": 4.0}
RULE_SECONDS = {
    "fetch_data": 60.0,
    "fetch_weights": 60.0,
    "prepare_data": 20.0,
    "fetch_corruptions": 300.0,
    "aggregate": 5.0,
    "judge_claims": 3.0,
    "plot_figure": 4.0,
    "make_report": 3.0,
    "combine_reports": 3.0,
}
ASSUMED = "a stated time"


class Estimate(NamedTuple):
    """Seconds, where they come from (a sentence's part), and on how many recorded runs they rest."""

    seconds: float
    source: str
    runs: int = 0


@dataclass(frozen=True)
class Level:
    """How alike recorded runs must be: what is compared, and what to call them."""

    key: Callable[[Work, Machine], tuple]
    words: str


def _families(work: Work) -> tuple:
    return tuple(model and model["family"] for model in work.models)


# The most alike first. All are of the machine's device.
LEVELS = (
    Level(lambda work, machine: (canonical(work.models), work.image, machine.threads), "like runs"),
    Level(lambda work, machine: (_families(work), machine.threads), "runs of the same family on this device"),
    Level(lambda work, machine: (), "runs of other models on this device"),
)


class Timing:
    """Estimates the time of jobs on one machine."""

    def __init__(self, machine: Machine, history: History) -> None:
        self.machine, self.history = machine, history
        # For each level, by what it compares: processes → ratios.
        self._ratios: list[dict[tuple, dict[int, list[float]]]] = [defaultdict(dict) for _ in LEVELS]
        self._known: dict[Any, Estimate] = {}
        for job in history.jobs:
            if _same_device(job.machine, machine):
                for level, ratios in zip(LEVELS, self._ratios, strict=True):
                    like = ratios[job.work.stage, *level.key(job.work, job.machine)]
                    like.setdefault(job.work.processes(job.machine), []).append(_ratio(job))

    def work(self, work: Work) -> Estimate:
        """Return the time of the work alone: the stated time, times the median of what like runs took of theirs."""
        stated, processes = work.stated_seconds(self.machine), work.processes(self.machine)
        for level, ratios in zip(LEVELS, self._ratios, strict=True):
            if like := ratios.get((work.stage, *level.key(work, self.machine))):
                found = like.get(processes)
                words = level.words if found else f"{level.words}, {STATED_SHARED}"
                found = found or [ratio for others in like.values() for ratio in others]
                return Estimate(stated * median(found), words, len(found))
        words = STATED_GPU if self.machine.kind == "cuda" else STATED_CPU
        return Estimate(stated, words if processes == 1 else f"{words}, {STATED_SHARED}")

    def job(self, stage: str, work: Work) -> Estimate:
        """Return the time of a job: its work and its start-up."""
        estimate = self.work(work)
        return estimate._replace(seconds=estimate.seconds + self.startup(stage))

    def startup(self, stage: str) -> float:
        """Return the seconds before the work of a job of ``stage`` begins."""
        found = self.history.startups.get(stage)
        return median(found) if found else STARTUP[stage]

    def rule(self, rule: str) -> Estimate:
        """Return the time of a job that trains and measures nothing, by its rule."""
        found = self.history.rules.get(rule)
        return Estimate(median(found), "like runs", len(found)) if found else Estimate(RULE_SECONDS[rule], ASSUMED)


def _ratio(job: Job) -> float:
    return job.seconds / job.work.stated_seconds(job.machine)


def _same_device(recorded: Machine, wanted: Machine) -> bool:
    return recorded.kind == wanted.kind and wanted.hardware in (None, recorded.hardware)


def present_machine(device: str, threads: int, cores: int, processes: int = 1) -> Machine:
    """Return what jobs would run on here, without asking torch.

    Args:
        device: ``execution.device`` of the config.
        threads: ``execution.threads`` of the config.
        cores: that the run may use; a job gets no more threads than that.
        processes: ``execution.gpus_per_job`` of the config.
    """
    machine = Machine("cpu", cpu_model(), min(threads, cores), processes)
    if device.startswith("cuda") or (device == "auto" and visible_devices()):
        gpus = list_gpus()
        return replace(machine, kind="cuda", hardware=gpus[0].model or None if gpus else None)
    return machine

"""Wall time of jobs: stated rates, corrected by how long like jobs took on this machine."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

from vicinal.jobs.gpus import list_gpus, visible_devices
from vicinal.jobs.provenance import cpu_model
from vicinal.models.cost import Costs
from vicinal.running.estimate.recorded import History
from vicinal.running.estimate.work import STATED, Machine, Work
from vicinal.spec import canonical

# Seconds until the work of a job that computes with networks begins: Python, torch, the data.
STARTUP = 3.0
# Seconds of the jobs that train and measure nothing.
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
    return work.teacher and work.teacher["family"], work.model["family"]


# The most alike first. All are of the machine's device.
LEVELS = (
    Level(lambda work, machine: (canonical([work.teacher, work.model]), work.image, machine.threads), "like runs"),
    Level(lambda work, machine: (_families(work), machine.threads), "runs of the same family on this device"),
    Level(lambda work, machine: (), "runs of other models on this device"),
)


class Timing:
    """Estimates the time of jobs on one machine."""

    def __init__(self, machine: Machine, history: History, costs: Costs) -> None:
        self.machine, self.history, self.costs = machine, history, costs
        # For each level, by what it compares: what runs took of their stated times.
        self._ratios: list[dict[tuple, list[float]]] = [defaultdict(list) for _ in LEVELS]
        for job in history.jobs:
            if _same_device(job.machine, machine):
                ratio = job.seconds / job.work.stated_seconds(job.machine, costs)
                for level, ratios in zip(LEVELS, self._ratios, strict=True):
                    ratios[job.work.stage, *level.key(job.work, job.machine)].append(ratio)

    def work(self, work: Work) -> Estimate:
        """Return the time of the work alone: the stated time, times the median of what like runs took of theirs."""
        stated = work.stated_seconds(self.machine, self.costs)
        for level, ratios in zip(LEVELS, self._ratios, strict=True):
            if found := ratios.get((work.stage, *level.key(work, self.machine))):
                return Estimate(stated * median(found), level.words, len(found))
        return Estimate(stated, STATED[self.machine.kind])

    @property
    def startup(self) -> float:
        """Return the seconds before the work of a job begins."""
        return median(self.history.startups) if self.history.startups else STARTUP

    def rule(self, rule: str) -> Estimate:
        """Return the time of a job that trains and measures nothing, by its rule."""
        found = self.history.rules.get(rule)
        return Estimate(median(found), "like runs", len(found)) if found else Estimate(RULE_SECONDS[rule], ASSUMED)


def _same_device(recorded: Machine, wanted: Machine) -> bool:
    return recorded.kind == wanted.kind and wanted.hardware in (None, recorded.hardware)


def present_machine(device: str, threads: int, cores: int) -> Machine:
    """Return what jobs would run on here, without asking torch.

    Args:
        device: ``execution.device`` of the config.
        threads: ``execution.threads`` of the config.
        cores: that the run may use; a job gets no more threads than that.
    """
    machine = Machine("cpu", cpu_model(), min(threads, cores))
    if device.startswith("cuda") or (device == "auto" and visible_devices()):
        gpus = list_gpus()
        return replace(machine, kind="cuda", hardware=gpus[0].model or None if gpus else None)
    return machine

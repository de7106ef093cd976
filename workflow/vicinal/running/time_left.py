"""How much work is left of a run."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from vicinal.config import Execution
from vicinal.errors import VicinalError
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.changes import find_changes
from vicinal.planning.plans import build_plans
from vicinal.results import STAGES
from vicinal.running.estimate.jobs import Jobs
from vicinal.running.estimate.recorded import read_recorded
from vicinal.running.estimate.timing import present_machine

# The time of a job is estimated by the mean of so many last jobs of its kind.
RECENT = 20


class Running(NamedTuple):
    """A running job: its kind, for how long it runs, and how long it will, s; None where that is not known."""

    kind: str
    seconds: float
    left: float | None


def work_left(
    waiting: Mapping[str, int],
    running: Sequence[Running],
    took: Mapping[str, Sequence[float]],
    planned: Mapping[str, float] | None = None,
) -> tuple[float, bool]:
    """Return the seconds of all jobs that run or wait, one after another, and whether it will be more.

    It will where nothing is known of a kind (a stage or rule), and where a job takes longer than those before. ``took``
    are seconds of finished jobs, the newest first; ``planned`` those by the plan, until a job has finished or says when
    it will.
    """
    typical = dict(planned or {})
    typical |= {job.kind: job.seconds + job.left for job in running if job.left is not None}
    typical |= {kind: fmean(seconds[:RECENT]) for kind, seconds in took.items() if seconds}
    work = sum(number * typical.get(kind, 0.0) for kind, number in waiting.items())
    more = not typical.keys() >= {kind for kind, number in waiting.items() if number}
    for job in running:
        left = typical.get(job.kind, 0.0) - job.seconds if job.left is None else job.left
        work += max(0.0, left)
        more |= left < 0
    return work, more


def planned_seconds(artefacts: Artefacts, execution: Execution, cores: int, results: Path) -> dict[str, float]:
    """Return rule → mean seconds of its jobs that would run on this machine; empty where they cannot be estimated."""
    changes = find_changes(build_plans(artefacts), results)
    machine = present_machine(execution.device, execution.threads, cores)
    seconds: dict[str, list[float]] = defaultdict(list)
    try:
        jobs = Jobs(artefacts, changes, results, machine, read_recorded(results))
        for (stage, _), change in changes.items():
            seconds[STAGES[stage].rule].append(jobs.estimate(change).seconds)
    except VicinalError:  # a network that cannot be counted must not stop a run
        return {}
    return {rule: fmean(found) for rule, found in seconds.items()}

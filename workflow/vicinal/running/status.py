"""What runs, what is finished and what failed in a results folder; reads files only, so any shell may ask."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicinal.files import is_locked, modified
from vicinal.jobs.heartbeat import lives, read_beats
from vicinal.planning.changes import Change, find_changes
from vicinal.planning.plans import Plan, Ref
from vicinal.results import STAGES
from vicinal.running.estimate.recorded import benchmark_seconds
from vicinal.running.log_reader import find_cause, find_errors, tail
from vicinal.running.time_left import RECENT, Running, work_left
from vicinal.running.verdicts import read_verdicts

# As profiles/slurm/config.yaml says.
SLURM_LOGS = "logs/slurm"
# What a run would still do is found out every so many seconds, more rarely where that takes long.
REFRESH_SECONDS = 10.0
REFRESH_SHARE = 20
SHOWN_FINISHED = 5
LOG_LINES = 5


@dataclass
class Head:
    """Whether a run is working, None where the file system does not tell; ``holder`` names its process."""

    running: bool | None
    holder: str = ""


@dataclass
class Status:
    """All that ``./reproduce status`` shows; ``--json`` prints it as it is."""

    name: str | None = None  # of the experiment or collection; None where nothing has run
    source: str | None = None  # file of its config
    head: Head = field(default_factory=lambda: Head(False))  # the run that is working, if any
    stages: dict[str, dict[str, int]] = field(default_factory=dict)  # stage → ``done`` and ``wanted``, numbers of jobs
    done: int = 0  # done, wanted: the same for all stages together
    wanted: int = 0
    seconds_left: float | None = None  # until everything is done, s; None where no run is working or nothing is known
    at_least: bool = False  # whether it will be more than ``seconds_left`` (``work_left``)
    # Heartbeats (see ``Heartbeat``) with ``age``, s since the last sign of life, and ``silent`` where that is long ago.
    running: list[dict[str, Any]] = field(default_factory=list)
    # The last finished jobs, newest first: ``stage``, ``id``, ``seconds`` they took (None where not known) and ``age``,
    # s since they ended.
    finished: list[dict[str, Any]] = field(default_factory=list)
    # Jobs that are still wanted: ``stage``, ``id``, ``error``, ``log`` (its path), ``lines`` (its last ones) and
    # ``age``.
    failed: list[dict[str, Any]] = field(default_factory=list)
    # Experiment → a line for each claim: ``claim``, ``verdict``, ``effect``, ``needed`` and ``seeds``, as text. Only of
    # experiments whose claims are up to date and readable (``verify`` names damaged files).
    verdicts: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Return whether nothing runs and nothing is left to do."""
        return not self.head.running and not self.running and self.done == self.wanted


class Monitor:
    """Looks again and again at the jobs of an experiment."""

    def __init__(self, name: str, source: str, plans: list[Plan], results: Path) -> None:
        self.name, self.source, self.plans, self.results = name, source, plans, results
        self._changes: dict[Ref, Change] = {}
        # When each finished job ended, s since 1970, the newest first; and what it took, by its end too.
        self._ended: dict[Ref, float] = {}
        self._took: dict[tuple[Ref, float], float | None] = {}
        self._verdicts: dict[str, list[dict[str, str]]] = {}
        self._next_look = 0.0

    def look(self) -> Status:
        """Return the present status."""
        if time.monotonic() >= self._next_look:
            self._find_changes()
        now = time.time()
        status = Status(self.name, self.source, find_head(self.results), wanted=len(self.plans))
        status.verdicts = self._verdicts
        beats = {(beat["stage"], beat["id"]): beat for beat in read_beats(self.results, now)}
        # A living job of another experiment is shown too.
        status.running = [
            beat for ref, beat in beats.items() if lives(beat) or (beat["silent"] and ref in self._changes)
        ]
        for plan in self.plans:
            count = status.stages.setdefault(plan.stage, {"done": 0, "wanted": 0})
            count["wanted"] += 1
            count["done"] += plan.ref not in self._changes
        status.done = sum(count["done"] for count in status.stages.values())
        at_work = {(beat["stage"], beat["id"]) for beat in status.running}
        waiting = {ref: change.plan for ref, change in self._changes.items() if ref not in at_work}
        failures = (find_failure(plan, self.results, beats.get(ref), now) for ref, plan in waiting.items())
        status.failed = [failure for failure in failures if failure]
        status.finished = [
            {"stage": ref[0], "id": ref[1], "seconds": self._seconds(ref), "age": max(0.0, now - ended)}
            for ref, ended in list(self._ended.items())[:SHOWN_FINISHED]
        ]
        if status.head.running or any(map(lives, status.running)):
            self._estimate(status, [stage for stage, _ in waiting], now)
        return status

    def _find_changes(self) -> None:
        began = time.monotonic()
        self._changes = find_changes(self.plans, self.results)
        ended = {plan.ref: modified(self.results / plan.output) for plan in self.plans}
        finished = [(time_, ref) for ref, time_ in ended.items() if ref not in self._changes and time_ is not None]
        self._ended = {ref: time_ for time_, ref in sorted(finished, reverse=True)}
        self._verdicts = {}
        for plan in self.plans:
            judged = plan.stage == "claims" and plan.ref not in self._changes
            if judged and (lines := read_verdicts((self.results / plan.output).parent)):
                self._verdicts[plan.id] = lines
        took = time.monotonic() - began
        self._next_look = began + took + max(REFRESH_SECONDS, REFRESH_SHARE * took)

    def _seconds(self, ref: Ref) -> float | None:
        """Return what a finished job took. Snakemake writes it a moment after the output."""
        key = ref, self._ended[ref]
        if self._took.get(key) is None:
            self._took[key] = benchmark_seconds(self.results / STAGES[ref[0]].benchmark_of(ref[1]))
        return self._took[key]

    def _estimate(self, status: Status, waiting: list[str], now: float) -> None:
        """Set the time left: the work left, by what jobs of each stage took, over the work that this run does a second.

        Args:
            waiting: the stages of the jobs that wait, one entry a job.
            now: in s since 1970.
        """
        # The head writes its lock when it begins.
        began = modified(self.results / ".lock") if status.head.running else None
        took: dict[str, list[float]] = defaultdict(list)
        done = 0.0
        for ref, ended in self._ended.items():
            in_this_run = began is not None and ended >= began
            if (in_this_run or len(took[ref[0]]) < RECENT) and (seconds := self._seconds(ref)) is not None:
                took[ref[0]].append(seconds)
                done += seconds if in_this_run else 0.0
        running = [Running(beat["stage"], beat["seconds"], beat["seconds_left"]) for beat in status.running]
        work, status.at_least = work_left(Counter(waiting), running, took)
        rate = float(max(1, len(status.running)))
        if done and began is not None and now > began:  # until a job has finished, each running job counts as a worker
            rate = (done + sum(beat["seconds"] for beat in status.running)) / (now - began)
        status.seconds_left = work / rate if work or not status.at_least else None


def find_head(results: Path) -> Head:
    """Return whether a run holds the lock of this results folder (``head_lock``), without disturbing it."""
    try:
        return Head(*is_locked(results / ".lock"))
    except OSError:
        return Head(False)


def find_failure(plan: Plan, results: Path, beat: dict[str, Any] | None, now: float) -> dict[str, Any] | None:
    """Return how a job that does not run failed the last time; None if it did not."""
    stage = STAGES[plan.stage]
    path = results / stage.log_of(plan.id)
    lines, logged = tail(path), modified(path)
    errors = find_errors(lines)
    # Where there is no log, Snakemake makes an empty one.
    since = logged if lines else None
    if beat is None and (before := slurm_log(results / SLURM_LOGS / f"rule_{stage.rule}" / plan.id, since)):
        path, lines, logged = before, tail(before), modified(before)
        errors = [cause] if (cause := find_cause(lines)) else []
    failure = {"stage": plan.stage, "id": plan.id, "log": str(path), "lines": lines[-LOG_LINES:]}
    if beat is not None:
        words = "stopped without a word: killed, or out of memory?" if beat["gone"] else beat.get("error", "failed")
        return {**failure, "error": errors[0] if errors else words, "age": beat["age"]}
    made = modified(results / plan.output)
    if logged is None or (made is not None and made > logged):
        return None
    if not errors and not any(line.startswith("Traceback (most recent call last)") for line in lines):
        return None
    return {**failure, "error": errors[0] if errors else lines[-1], "age": max(0.0, now - logged)}


def slurm_log(folder: Path, since: float | None) -> Path | None:
    """Return Slurm's newest log of a job; None where the script has written since, or there is none."""
    times = {path: modified(path) or 0.0 for path in folder.glob("*.log")}
    newest = max(times, key=lambda path: times[path], default=None)
    return newest if newest and times[newest] > (since or 0.0) else None

"""What runs, what is finished and what failed in a results folder: read from files alone, so any shell may ask."""

import fcntl
import os
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from vicinal.jobs.heartbeat import lives, read_beats
from vicinal.planning.changes import Change, find_changes
from vicinal.planning.plans import Plan, Ref
from vicinal.results import STAGES
from vicinal.running.log_reader import find_errors, tail

# What a run would still do is found out anew after so many seconds, or more where finding out takes long.
REFRESH_SECONDS = 10.0
REFRESH_SHARE = 20
SHOWN_FINISHED = 5
LOG_LINES = 5
# The time that a job of a stage takes is the mean of so many of the last ones.
RECENT = 20
# Snakemake writes a job's benchmark a moment after its output.
REREAD_SECONDS = 60


@dataclass
class Head:
    """Whether a run is working: ``running`` is None where the file system does not tell; ``holder`` names it."""

    running: bool | None
    holder: str = ""


@dataclass
class Status:
    """All that ``./reproduce status`` shows; ``--json`` prints it as it is.

    Attributes:
        name: of the experiment or collection; None where nothing has run.
        source: file of its config.
        head: the run that is working, if any.
        stages: stage → ``done`` and ``wanted``, numbers of jobs.
        done, wanted: the same for all stages together.
        seconds_left: of the whole, s; None where no run is working or nothing is known.
        at_least: whether jobs of a stage are left that never ran here, so that ``seconds_left`` leaves them out.
        running: heartbeats (see ``Heartbeat``) with ``age``, s since the last sign of life, and ``silent``
            where that is long ago.
        finished: the last finished jobs, newest first: ``stage``, ``id``, ``seconds`` they took (None where not known)
            and ``age``, s since they ended.
        failed: jobs that are still wanted: ``stage``, ``id``, ``error``, ``log`` (its path), ``lines`` (its last ones)
            and ``age``.
    """

    name: str | None = None
    source: str | None = None
    head: Head = field(default_factory=lambda: Head(False))
    stages: dict[str, dict[str, int]] = field(default_factory=dict)
    done: int = 0
    wanted: int = 0
    seconds_left: float | None = None
    at_least: bool = False
    running: list[dict[str, Any]] = field(default_factory=list)
    finished: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Tell whether nothing runs and nothing is left to do."""
        return not self.head.running and not self.running and self.done == self.wanted


class Monitor:
    """Looks again and again at the jobs of an experiment.

    Args:
        name: of the experiment or collection.
        source: file of its config, to be shown.
        plans: of all its artefacts, upstream ones first.
        results: the results folder.
    """

    def __init__(self, name: str, source: str, plans: list[Plan], results: Path) -> None:
        self.name, self.source, self.plans, self.results = name, source, plans, results
        self._changes: dict[Ref, Change] = {}
        self._newest: list[Ref] = []
        self._ended: dict[Ref, float] = {}
        self._took: dict[tuple[Ref, float], float | None] = {}
        self._next_look = 0.0

    def look(self) -> Status:
        """Return how things stand now."""
        if time.monotonic() >= self._next_look:
            self._find_changes()
        now = time.time()
        head = find_head(self.results)
        beats = {(beat["stage"], beat["id"]): beat for beat in read_beats(self.results, now)}
        status = Status(self.name, self.source, head)
        # A job of another experiment that lives is shown too, a dead one is none of this experiment's business.
        status.running = [
            beat for ref, beat in beats.items() if lives(beat) or (beat["silent"] and ref in self._changes)
        ]
        for plan in self.plans:
            count = status.stages.setdefault(plan.stage, {"done": 0, "wanted": 0})
            count["wanted"] += 1
            count["done"] += plan.ref not in self._changes
        status.done = sum(count["done"] for count in status.stages.values())
        status.wanted = len(self.plans)
        at_work = {(beat["stage"], beat["id"]) for beat in status.running}
        for ref, change in self._changes.items():
            if ref not in at_work and (failure := find_failure(change.plan, self.results, beats.get(ref), now)):
                status.failed.append(failure)
        status.finished = [self._finished(ref, now) for ref in self._newest[:SHOWN_FINISHED]]
        if head.running or any(map(lives, status.running)):
            left = [change.plan.stage for ref, change in self._changes.items() if ref not in at_work]
            # The head writes its lock when it begins.
            began = _modified(self.results / ".lock") if head.running else None
            status.seconds_left, status.at_least = self._estimate(left, status.running, began, now)
        return status

    def _find_changes(self) -> None:
        began = time.monotonic()
        self._changes = find_changes(self.plans, self.results)
        self._ended = {}
        for plan in self.plans:
            if plan.ref not in self._changes and (ended := _modified(self.results / plan.output)) is not None:
                self._ended[plan.ref] = ended
        self._newest = sorted(self._ended, key=self._ended.__getitem__, reverse=True)
        took = time.monotonic() - began
        self._next_look = began + took + max(REFRESH_SECONDS, REFRESH_SHARE * took)

    def _finished(self, ref: Ref, now: float) -> dict[str, Any]:
        return {"stage": ref[0], "id": ref[1], "seconds": self._seconds(ref), "age": max(0.0, now - self._ended[ref])}

    def _seconds(self, ref: Ref) -> float | None:
        """Return what a finished job took; read once, but for a job whose benchmark may still be written."""
        ended = self._ended[ref]
        if (ref, ended) not in self._took or (self._took[ref, ended] is None and time.time() - ended < REREAD_SECONDS):
            self._took[ref, ended] = job_seconds(self.results, *ref)
        return self._took[ref, ended]

    def _estimate(
        self, left: list[str], running: list[dict[str, Any]], began: float | None, now: float
    ) -> tuple[float | None, bool]:
        """Return the seconds that the whole still takes, and whether a stage is left out of it.

        The work left, by what the last jobs of each stage took, over the work that this run has done a second.

        Args:
            left: the stages of the jobs that wait, one entry a job.
            running: the heartbeats of those that run.
            began: when this run began, None where that is not known; ``now``: both in s since 1970.
        """
        took: dict[str, list[float]] = defaultdict(list)
        done = 0.0
        for ref in self._newest:
            in_this_run = began is not None and self._ended[ref] >= began
            if in_this_run or len(took[ref[0]]) < RECENT:
                seconds = self._seconds(ref)
                took[ref[0]] += [] if seconds is None else [seconds]
                done += seconds or 0.0 if in_this_run else 0.0
        for beat in running:
            if not took[beat["stage"]] and beat["seconds_left"] is not None:
                took[beat["stage"]].append(beat["seconds"] + beat["seconds_left"])
        typical = {stage: fmean(seconds[:RECENT]) for stage, seconds in took.items() if seconds}
        at_least = not typical.keys() >= set(left)
        work = sum(typical.get(stage, 0.0) for stage in left)
        for beat in running:
            by_others = max(0.0, typical.get(beat["stage"], 0.0) - beat["seconds"])
            work += by_others if beat["seconds_left"] is None else beat["seconds_left"]
        if at_least and not work:
            return None, True
        rate = float(max(1, len(running)))
        if done and now > began:  # until a job has finished, each job that runs counts as a worker
            rate = (done + sum(beat["seconds"] for beat in running)) / (now - began)
        return work / rate, at_least


def find_head(results: Path) -> Head:
    """Tell whether a run holds the lock of this results folder (``head_lock``), without keeping it from one."""
    try:
        descriptor = os.open(results / ".lock", os.O_RDONLY)
    except OSError:
        return Head(False)
    try:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        try:
            # Shared, so that two who look do not see each other; closing gives it back.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Head(True, holder)
        except OSError:
            return Head(None, holder)
        return Head(False, holder)
    finally:
        os.close(descriptor)


def find_failure(plan: Plan, results: Path, beat: dict[str, Any] | None, now: float) -> dict[str, Any] | None:
    """Return how a job that is wanted and does not run failed, the last time that it ran; None if it did not."""
    path = results / STAGES[plan.stage].log_of(plan.id)
    lines, logged = tail(path), _modified(path)
    failure = {"stage": plan.stage, "id": plan.id, "log": str(path), "lines": lines[-LOG_LINES:]}
    errors = find_errors(lines)
    if beat is not None:
        words = "stopped without a word: killed, or out of memory?" if beat["gone"] else beat.get("error", "failed")
        return {**failure, "error": errors[0] if errors else words, "age": beat["age"]}
    made = _modified(results / plan.output)
    if logged is None or (made is not None and made > logged):
        return None
    if not errors and not any(line.startswith("Traceback (most recent call last)") for line in lines):
        return None
    return {**failure, "error": errors[0] if errors else lines[-1], "age": max(0.0, now - logged)}


def job_seconds(results: Path, stage: str, id_: str) -> float | None:
    """Return the seconds that a finished job took, None where that is not recorded."""
    with suppress(OSError, ValueError, IndexError):
        benchmark = results / STAGES[stage].benchmark_of(id_)
        return float(benchmark.read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
    return None


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None

"""Follows the jobs of a run by Snakemake's events, and finds in their logs what went wrong."""

import errno
import os
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicinal.files import modified
from vicinal.words import size

# With fewer bytes free a disk may be what kept a job from writing.
LEAST_ROOM = 1 << 20
# Lines of a job's log that its user should see even if all went well.
WARNING = "warning: "
SHOWN_WARNINGS = 3
# An executor ends its message with this advice, which does not help here.
ADVICE = "For further error details"
# In a log of Slurm's: a line that names an error, and one that only says that something ended by it.
CAUSE = re.compile(r"error|exception|not found|no such|denied|cannot|killed|exceeded", re.IGNORECASE)
CONSEQUENCE = re.compile(r"^(srun: error: .*(Exited|Terminated)|Error in rule |.*returned non-zero|Exiting because)")
# The rule that asks for everything and makes nothing itself.
TARGET = "all"


def tail(path: Path, size: int = 65_536) -> list[str]:
    """Return the lines in the last ``size`` bytes of a log, without empty ones; none where there is no log."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines()[length > size :] if line.strip()]


def find_errors(lines: Iterable[str]) -> list[str]:
    """Return the errors in the lines of a job's log."""
    return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


def find_cause(lines: Iterable[str]) -> str | None:
    """Return the line of a log of Slurm's or Snakemake's that names an error best; None if there is none."""
    named = [line.strip() for line in lines if CAUSE.search(line)]
    return next((line for line in reversed(named) if not CONSEQUENCE.search(line)), named[-1] if named else None)


@dataclass
class Job:
    """A job that Snakemake has started or submitted."""

    rule: str  # rule, wildcards: what it makes
    wildcards: str
    log: Path  # of its script
    width: int = field(default=0, compare=False)  # letters of the longest rule of the run
    message: str = ""  # if it failed, what the executor says of it
    slurm_log: Path | None = None  # if it failed on a cluster, what came before its script or around it
    began: float = field(default_factory=lambda: time.monotonic(), compare=False)  # by the monotonic clock, s

    def __post_init__(self) -> None:
        # Until the script begins, the log is that of an earlier attempt, or there is none.
        self._former = modified(self.log)

    @property
    def label(self) -> str:
        """Return the rule and what it works on, in columns."""
        return f"{self.rule:<{self.width}}  {self.wildcards}"

    @property
    def seconds(self) -> float:
        """Return how long ago the job began, s."""
        return time.monotonic() - self.began

    def last_line(self) -> str:
        """Return the last line of the job's log; empty where the log is."""
        return (tail(self.log) or [""])[-1]

    def problems(self) -> list[str]:
        """Return what went wrong, a line each: the errors in the job's log, else the executor's message.

        A job that Slurm ended, or never took, writes no error; of one that died before its script began, Slurm's log
        tells why.
        """
        lines, log = tail(self.log), self.log
        # Where there is no log, Snakemake makes an empty one.
        has_begun = lines and modified(log) != self._former
        if self.slurm_log and not has_begun and (found := tail(self.slurm_log)):
            lines, log = [find_cause(found) or found[-1]], self.slurm_log
        if errors := find_errors(lines):
            return [f"{error} (log: {log})" for error in errors]
        last = lines[-1] if lines else f"failed, and left no message{_full_disk(log)}"
        return [f"{self.message} ({last}) (log: {log})" if self.message else f"{last} (log: {log})"]

    def warnings(self) -> list[str]:
        """Return the warnings in the job's log, all in one line; none if there are none."""
        lines = tail(self.log, sys.maxsize)
        found = list(dict.fromkeys(line.removeprefix(WARNING) for line in lines if line.startswith(WARNING)))
        if len(found) > SHOWN_WARNINGS:
            found[SHOWN_WARNINGS:] = [f"and {len(found) - SHOWN_WARNINGS} more"]
        return [f"warning: {self.label}: {'; '.join(found)} (log: {self.log})"] if found else []


@dataclass
class Run:
    """The state of a run."""

    running: dict[int, Job] = field(default_factory=dict)  # running, failed: id → job
    failed: dict[int, Job] = field(default_factory=dict)
    done: int = 0  # done, total: numbers of jobs; ``total`` is 0 where there is nothing to do
    total: int = 0
    waiting: Counter[str] = field(default_factory=Counter)  # rule → number of jobs that have not begun
    # Rule → seconds of the jobs that ended well.
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    news: list[str] = field(default_factory=list)  # lines that the user has not seen yet
    errors: list[str] = field(default_factory=list)  # lines of Snakemake's own errors

    def take(self, event: Mapping[str, Any]) -> Job | None:
        """Take in one event (``snakemake_logger_plugin_vicinal``); return the job that has finished by it, if any."""
        match event:
            case {"event": "run_info", "stats": stats}:
                self.waiting = Counter({rule: n for rule, n in stats.items() if rule not in (TARGET, "total")})
                self.total = self.waiting.total()
            case {"event": "job_info", "jobid": id_, "rule_name": rule} if rule != TARGET:
                if failed := self.failed.pop(id_, None):
                    self.news += [f"{failed.label}: {words}; trying again" for words in failed.problems()]
                elif id_ not in self.running:
                    self.waiting[rule] -= 1
                wildcards, width = ", ".join(event["wildcards"].values()), max(map(len, self.waiting))
                self.running[id_] = Job(rule, wildcards, Path(event["log"][0]), width)
            case {"event": "job_finished", "job_id": id_} if id_ in self.running:
                self.done += 1
                job = self._end(id_)
                self.took[job.rule].append(job.seconds)
                return job
            case {"event": "job_error", "jobid": id_, "rule_msg": message} if id_ in self.running:
                self.failed[id_] = job = self._end(id_)
                # The indented lines are the call of sbatch.
                lines = (message or "").partition(ADVICE)[0].splitlines()
                job.message = " ".join(line for line in lines if line and not line.startswith(" "))
                job.slurm_log = Path(logs[1]) if len(logs := event.get("log") or []) > 1 else None
            case {"event": "slurm", "msg": message}:
                self.news.append(message)
            case {"event": "error", "msg": message}:
                self.errors += [line.strip() for line in message.splitlines() if line.strip()]
        return None

    def _end(self, id_: int) -> Job:
        """Take a job from those that run, and its warnings from its log: another attempt would overwrite it."""
        job = self.running.pop(id_)
        self.news += job.warnings()
        return job

    def failures(self) -> list[str]:
        """Return what went wrong in the failed jobs, a line each."""
        return [f"{job.rule}: {words}" for job in self.failed.values() for words in job.problems()]


def _full_disk(log: Path) -> str:
    """Return what may explain a log without a line: its disk has no room; else nothing."""
    with suppress(OSError):
        found = os.statvfs(log.parent)
        if (free := found.f_bavail * found.f_frsize) < LEAST_ROOM:
            return f" (perhaps {os.strerror(errno.ENOSPC).lower()}: {size(free)} are free)"
    return ""

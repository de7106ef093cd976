"""What is known of a run: its jobs from Snakemake's events, and what went wrong from the logs of the jobs."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What a job says in its log that its user should know even if all went well.
WARNING = re.compile(r"warning: |.*: (?:a damaged checkpoint, left out|no checkpoint is whole;|going on without )")
SHOWN_WARNINGS = 3
# An executor ends its message with this advice, which helps nobody here.
ADVICE = "For further error details"
# The rule that asks for everything and makes nothing itself.
TARGET = "all"


def tail(path: Path, size: int = 65_536) -> list[str]:
    """Return the lines in the last ``size`` bytes of a log that are not empty; none where there is no log."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines()[length > size :] if line.strip()]


def find_errors(lines: Iterable[str]) -> list[str]:
    """Return what a job says in its log that went wrong, a line a problem."""
    return [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]


@dataclass
class Job:
    """A job that Snakemake has started or submitted; ``message`` is the executor's, where the job failed."""

    rule: str
    wildcards: str
    log: Path
    message: str = ""

    @property
    def label(self) -> str:
        """Return the rule and what it works on."""
        return f"{self.rule:<14}{self.wildcards}"

    def last_line(self) -> str:
        """Return the last line of the job's log, or what the job is where it has written none."""
        return (tail(self.log) or [self.label])[-1]

    def problems(self) -> list[str]:
        """Return what went wrong, a line a problem: in the job's own words, else in the executor's."""
        lines = tail(self.log)
        if errors := find_errors(lines):
            return errors
        # Of a job that Slurm ended or never took, its own log knows nothing.
        last = lines[-1] if lines else "failed, and left no message"
        return [f"{self.message} ({last})" if self.message else last]

    def warnings(self) -> list[str]:
        """Return what the job warns of in its log, all in one line; none if it does not."""
        lines = tail(self.log, sys.maxsize)
        found = list(dict.fromkeys(line.removeprefix("warning: ") for line in lines if WARNING.match(line)))
        words = found[:SHOWN_WARNINGS]
        words += [f"and {len(found) - SHOWN_WARNINGS} more"] if len(found) > SHOWN_WARNINGS else []
        return [f"warning: {self.label}: {'; '.join(words)} (log: {self.log})"] if words else []


@dataclass
class Run:
    """What is known of a run so far.

    Attributes:
        running, failed: id → job.
        done, total: numbers of jobs; ``total`` is 0 where there is nothing to do.
        news: lines for the user that were not shown yet.
        errors: lines of Snakemake's own errors.
    """

    running: dict[int, Job] = field(default_factory=dict)
    failed: dict[int, Job] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    news: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def take(self, event: Mapping[str, Any]) -> Job | None:
        """Take in one event (``snakemake_logger_plugin_vicinal``); return the job that it says has finished."""
        match event:
            case {"event": "run_info", "stats": stats}:
                self.total = stats["total"] - stats.get(TARGET, 0)
            case {"event": "job_info", "jobid": id_, "rule_name": rule} if rule != TARGET:
                if failed := self.failed.pop(id_, None):
                    self.news += [f"{failed.label}: {words}; trying again" for words in failed.problems()]
                wildcards = ", ".join(event["wildcards"].values())
                self.running[id_] = Job(rule, wildcards, Path(event["log"][0]))
            case {"event": "job_finished", "job_id": id_} if id_ in self.running:
                self.done += 1
                return self._end(id_)
            case {"event": "job_error", "jobid": id_, "rule_msg": message} if id_ in self.running:
                self.failed[id_] = job = self._end(id_)
                # What is indented is the call of sbatch.
                lines = (message or "").partition(ADVICE)[0].splitlines()
                job.message = " ".join(line for line in lines if line and not line.startswith(" "))
            case {"event": "error", "msg": message}:
                self.errors += [line.strip() for line in message.splitlines() if line.strip()]
        return None

    def _end(self, id_: int) -> Job:
        """Take a job from those that run; pass on what it warned of, as the next attempt at it begins a new log."""
        job = self.running.pop(id_)
        self.news += job.warnings()
        return job

    def failures(self) -> list[str]:
        """Return what went wrong in the jobs that failed, a line a problem."""
        return [f"{job.rule}: {words} (log: {job.log})" for job in self.failed.values() for words in job.problems()]

"""Snakemake's output, read as it comes: which jobs run, finished or failed."""

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Job:
    """A job as Snakemake announces it."""

    rule: str
    wildcards: str = ""
    log: str = ""

    @property
    def label(self) -> str:
        """Return the rule and what it works on."""
        return f"{self.rule:<14}{self.wildcards}"

    def log_lines(self) -> list[str]:
        """Return the lines of the job's log that are not empty; none if there is no log."""
        try:
            text = Path(self.log).read_text(encoding="utf-8", errors="replace") if self.log else ""
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()]

    def last_line(self) -> str:
        """Return the last line of the job's log, or what the job is where it has written none."""
        return (self.log_lines() or [self.label])[-1]

    def failure(self) -> list[str]:
        """Return what the job says went wrong, a line a problem."""
        lines = self.log_lines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        words = errors or lines[-1:] or ["failed, and left no message"]
        return [f"{self.rule}: {word}" + (f" (log: {self.log})" if self.log else "") for word in words]


@dataclass
class Watcher:
    """What is known of a run so far.

    Attributes:
        running: job id → job.
        failed: job id → job.
        done: finished jobs.
        total: jobs of the run; 0 as long as Snakemake has not named a number.
    """

    running: dict[str, Job] = field(default_factory=dict)
    failed: dict[str, Job] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    _jobs: dict[str, Job] = field(default_factory=dict)
    _announced: Job | None = None
    _other: list[str] = field(default_factory=list)
    _in_error: bool = False

    def read(self, line: str) -> Job | None:
        """Take in one line of output; return the job that it says has finished."""
        text = line.rstrip("\n")
        if match := re.fullmatch(r"(?:local)?rule (\w+):", text):
            self._announced, self._in_error = Job(match[1]), False
        elif match := re.fullmatch(r"Error in rule (\w+):", text):
            self._announced, self._in_error = Job(match[1]), True
        elif match := re.match(r"Finished jobid: (\d+)", text):
            return self.running.pop(match[1], None)
        elif match := re.match(r"(\d+) of (\d+) steps", text):
            self.done, self.total = int(match[1]), int(match[2])
        elif match := re.fullmatch(r"total\s+(\d+)", text):
            self.total = int(match[1])
        elif self._announced and (match := re.match(r"\s+(jobid|wildcards|log): (.*)", text)):
            self._take(match[1], match[2])
        elif not (self._announced and text.startswith((" ", "Shell command: "))):
            self._announced = None
            self._other += [text.strip()] if text.strip() else []
        return None

    def _take(self, name: str, value: str) -> None:
        """Take in one field of the announcement of a job or of its failure."""
        if name == "jobid" and self._in_error:
            self.running.pop(value, None)
            self.failed[value] = self._jobs.get(value, self._announced)
        elif name == "jobid":
            self._jobs[value] = self.running[value] = self._announced
        elif name == "wildcards":
            self._announced.wildcards = ", ".join(part.partition("=")[2] for part in value.split(", "))
        elif name == "log":
            self._announced.log = value.partition(" (check log")[0]

    def failures(self) -> list[str]:
        """Return what went wrong, job by job; without a failed job the end of Snakemake's own words."""
        lines = [line for job in self.failed.values() for line in job.failure()]
        return lines or self._other[-15:]

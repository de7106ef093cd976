"""Snakemake's output, read as it comes: which jobs run, finished or failed."""

import re
from dataclasses import dataclass, field
from pathlib import Path

# What a job says in its log that its user should know even if all went well.
WARNING = re.compile(r"warning: |.*: (?:a damaged checkpoint, left out|no checkpoint is whole;|going on without )")
SHOWN_WARNINGS = 3


@dataclass
class Job:
    """A job as Snakemake announces it."""

    rule: str
    wildcards: str = ""
    log: str = ""
    slurm_id: str = ""
    message: str = ""

    @property
    def label(self) -> str:
        """Return the rule and what it works on."""
        return f"{self.rule:<14}{self.wildcards}" + (f" (SLURM job {self.slurm_id})" if self.slurm_id else "")

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

    def problems(self) -> list[str]:
        """Return what went wrong, a line a problem: in the job's own words, else in Slurm's."""
        lines = self.log_lines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if errors:
            return errors
        last = lines[-1] if lines else "failed, and left no message"
        if match := re.search(r"SLURM status is: '(\w+)'", self.message):
            # Of a job that Slurm ended (TIMEOUT, OUT_OF_MEMORY, …) its own log knows nothing.
            return [last if match[1] == "FAILED" else f"ended by SLURM: {match[1]} ({last})"]
        # Of a job that was never submitted there is the executor's message alone.
        return [last if self.message in ("", "None") else self.message]

    def warnings(self) -> list[str]:
        """Return what the job warns of in its log, all in one line; none if it does not."""
        found = dict.fromkeys(line.removeprefix("warning: ") for line in self.log_lines() if WARNING.match(line))
        words = list(found)[:SHOWN_WARNINGS]
        words += [f"and {len(found) - SHOWN_WARNINGS} more"] if len(found) > SHOWN_WARNINGS else []
        return [f"warning: {self.label}: {'; '.join(words)} (log: {self.log})"] if words else []

    def failure(self) -> list[str]:
        """Return a line a problem, with the rule and the log."""
        return [f"{self.rule}: {words}" + (f" (log: {self.log})" if self.log else "") for words in self.problems()]


@dataclass
class Watcher:
    """What is known of a run so far.

    Attributes:
        running: job id → job.
        failed: job id → job.
        done: finished jobs.
        total: jobs of the run; 0 as long as Snakemake has not named a number.
        news: lines for the user that were not shown yet.
    """

    running: dict[str, Job] = field(default_factory=dict)
    failed: dict[str, Job] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    news: list[str] = field(default_factory=list)
    _jobs: dict[str, Job] = field(default_factory=dict)
    _announced: Job | None = None
    _other: list[str] = field(default_factory=list)
    _in_error: bool = False
    _in_message: bool = False
    _ruler: str | None = None

    def read(self, line: str) -> Job | None:
        """Take in one line of output; return the job that it says has finished."""
        text = line.rstrip("\n")
        if self._is_of_log(text):
            return None
        if match := re.fullmatch(r"(?:local)?rule (\w+):", text):
            self._announced, self._in_error = Job(match[1]), False
        elif match := re.fullmatch(r"Error in rule (\w+):", text):
            self._announced, self._in_error = Job(match[1]), True
        elif match := re.match(r"Finished jobid: (\d+)", text):
            self.failed.pop(match[1], None)
            return self._end(match[1])
        elif match := re.match(r"Job (\d+) has been submitted with SLURM jobid (\d+)", text):
            if match[1] in self.running:
                self.running[match[1]].slurm_id = match[2]
        elif match := re.match(r"SLURM run ID: (\S+)", text):
            self.news.append(f"jobs of this run: squeue --name={match[1]} (to end them all: scancel --name={match[1]})")
        elif match := re.match(r"Trying to restart job (\d+)", text):
            if job := self.failed.get(match[1]):
                self.news += [f"{job.label}: {words}; trying again" for words in job.problems()]
        elif match := re.match(r"(\d+) of (\d+) steps", text):
            self.done, self.total = int(match[1]), int(match[2])
        elif match := re.fullmatch(r"total\s+(\d+)", text):
            self.total = int(match[1])
        elif self._announced and (match := re.match(r"\s+(jobid|wildcards|log|message): (.*)", text)):
            self._take(match[1], match[2])
        elif self._announced and self._in_message:
            self._announced.message += f" {text.strip()}"
        elif not (self._announced and text.startswith((" ", "Shell command: "))):
            self._announced = None
            self._other += [text.strip()] if text.strip() else []
        return None

    def _end(self, number: str) -> Job | None:
        """Take a job from those that run; pass on what it warned of, as the next attempt at it begins a new log."""
        job = self.running.pop(number, None)
        self.news += job.warnings() if job else []
        return job

    def _is_of_log(self, text: str) -> bool:
        """Tell whether a line is of the log of a failed job, which Snakemake prints between two rulers.

        On a cluster it is the output of another Snakemake, whose jobs are not ours.
        """
        if self._ruler is None:
            self._ruler = "" if re.fullmatch(r"Logfile .+:", text) else None
            return self._ruler is not None
        if not self._ruler:  # the line after the name
            self._ruler = text if re.fullmatch("=+", text) else None
            return self._ruler is not None
        self._ruler = None if text == self._ruler else self._ruler
        return True

    def _take(self, name: str, value: str) -> None:
        """Take in one field of the announcement of a job or of its failure."""
        self._in_message = name == "message"  # which may have several lines
        if name == "jobid" and self._in_error:
            self._end(value)
            self.failed[value] = self._jobs.get(value, self._announced)
            # The executor's own words, without the call of sbatch and general advice.
            words = re.split(r"\s*(?:sbatch call:|For further error details)", self._announced.message)
            self.failed[value].message = words[0]
        elif name == "jobid":
            self._jobs[value] = self.running[value] = self._announced
            self.failed.pop(value, None)
        elif name == "message":
            self._announced.message = value
        elif name == "wildcards":
            self._announced.wildcards = ", ".join(part.partition("=")[2] for part in value.split(", "))
        elif name == "log":
            self._announced.log = value.partition(" (check log")[0]

    def failures(self) -> list[str]:
        """Return what went wrong, job by job; without a failed job the end of Snakemake's own words."""
        lines = [line for job in self.failed.values() for line in job.failure()]
        return lines or self._other[-15:]

"""What a verification found: problems, notes, and what was looked at."""

import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vicinal import files
from vicinal.errors import VicinalError

RUN = "run ./reproduce"
# Of one kind in one folder so many problems are shown, unless all are asked for.
SHOWN = 8
# Seconds until the first line of progress, and between two.
QUIET = 2.0


@dataclass(frozen=True)
class Problem:
    """One file, what is wrong with it, and what to do.

    Attributes:
        path: of the file or directory.
        fault: what is wrong, for a reader.
        remedy: what to do.
        kind: ``missing``, ``stale``, ``damaged``, ``disagrees``, ``foreign`` or ``conflict``.
    """

    path: Path
    fault: str
    remedy: str
    kind: str = "disagrees"

    def __str__(self) -> str:
        return f"{self.path}: {self.fault}; {self.remedy}"


@dataclass
class Findings:
    """All that was found.

    Attributes:
        problems: in the order of the flow.
        notes: what a reader should know, though nothing is wrong.
        mixtures: of codes, versions, devices or revisions.
        left_over: temporary files of killed jobs.
        models: how many trained models were looked at.
        code: (stage, modules that its spec names) → code fingerprint → how many results.
        provenance: (stage, provenance) of every record.
        accepted: stage → how many results count although other code made them.
    """

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mixtures: list[str] = field(default_factory=list)
    left_over: list[Path] = field(default_factory=list)
    models: int = 0
    code: dict[tuple[str, tuple[str, ...]], dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    provenance: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    accepted: dict[str, int] = field(default_factory=dict)

    def add(self, path: Path, fault: str, remedy: str, kind: str = "disagrees") -> None:
        """Add a problem, once."""
        problem = Problem(path, fault, remedy, kind)
        if problem not in self.problems:
            self.problems.append(problem)

    def lines(self, everything: bool = False) -> list[str]:
        """Return one line a problem; of many of one kind in one folder the first and their number."""
        groups: dict[tuple[str, ...], list[Problem]] = defaultdict(list)
        for problem in self.problems:
            groups[problem.kind, *problem.path.parts[:2]].append(problem)
        lines = []
        for (_, *folder), problems in groups.items():
            shown = problems if everything or len(problems) <= SHOWN + 1 else problems[:SHOWN]
            lines += map(str, shown)
            if len(problems) > len(shown):
                lines.append(
                    f"… and {len(problems) - len(shown)} more like these in {Path(*folder)} (--all shows each)"
                )
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return everything for machines, paths as text."""
        problems = [{**asdict(problem), "path": str(problem.path)} for problem in self.problems]
        left_over = list(map(str, self.left_over))
        return {"problems": problems, "notes": self.notes, "mixtures": self.mixtures, "left_over": left_over}


class Ledger:
    """Reads and hashes files, each once, counts them, and says on standard error how far it is.

    Args:
        findings: gets a problem for every file that cannot be read.
        total: how many artefacts there are to look at.
    """

    def __init__(self, findings: Findings, total: int = 0) -> None:
        self.findings, self.total, self.done = findings, total, 0
        self.sizes: dict[Path, int] = {}
        self._sums: dict[Path, str | None] = {}
        self._records: dict[Path, dict[str, Any] | None] = {}
        self._said = time.monotonic()

    def sha256(self, path: Path) -> str | None:
        """Return the SHA-256 of a file; None where it is missing or cannot be read."""
        if path not in self._sums:
            try:
                self._sums[path] = files.sha256(path)
                self.sizes[path] = path.stat().st_size
            except OSError:
                self._sums[path] = None
            self._tick()
        return self._sums[path]

    def record(self, path: Path, remedy: str) -> dict[str, Any]:
        """Return a JSON record; empty, with a problem, where it is missing or no record."""
        if path not in self._records:
            try:
                record = files.read_json(path)
                self.sizes[path] = path.stat().st_size
                if not isinstance(record, dict) or not record:
                    raise VicinalError(f"{path}: not a record of this workflow")
                self._records[path] = record
            except (VicinalError, OSError) as error:
                self._records[path] = None
                self.findings.add(path, _fault(error, path), remedy, "missing" if not path.exists() else "damaged")
        return self._records[path] or {}

    def next(self) -> None:
        """Count an artefact as looked at."""
        self.done += 1
        self._tick()

    @property
    def compared(self) -> int:
        """Return how many files were hashed."""
        return len(self._sums)

    @property
    def bytes(self) -> int:
        """Return the size of all files read, in bytes."""
        return sum(self.sizes.values())

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._said >= QUIET:
            self._said = now
            of = f"{self.done} of {self.total} artefacts, " if self.total else ""
            print(f"{of}{len(self.sizes):,} files, {size(self.bytes)} read", file=sys.stderr, flush=True)


def _fault(error: Exception, path: Path) -> str:
    if isinstance(error, OSError):
        return str(error.strerror).lower()
    return str(error).removeprefix(f"{path}: ")


def size(number: float) -> str:
    """Return a number of bytes for a reader: 3.1 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} bytes" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def count(number: int, word: str) -> str:
    """Return a number with its word: 1 file, 2 files."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"

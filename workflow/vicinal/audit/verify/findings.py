"""What a verification found, and the ledger through which it reads files and compares them."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vicinal import files
from vicinal.results import is_plain

RUN = "run ./reproduce"
# So many findings of one kind in one folder are shown, unless all are asked for.
SHOWN = 8


@dataclass(frozen=True)
class Finding:
    """One file or folder, what is wrong with it, and what to do.

    ``kind`` is ``missing``, ``stale``, ``damaged``, ``disagrees`` or ``foreign``.
    """

    path: Path
    fault: str
    remedy: str
    kind: str = "disagrees"

    def __str__(self) -> str:
        return f"{self.path}: {self.fault}; {self.remedy}"


class Ledger:
    """Reads and hashes files, each once, compares them, and keeps what it finds."""

    def __init__(self) -> None:
        self.problems: list[Finding] = []  # in the order of the flow
        self.notes: list[str] = []  # what a reader should know, though nothing is wrong
        self.mixtures: list[str] = []  # of codes, versions, devices or revisions
        self.models = 0  # number of trained models
        # Every record that was read: its stage, the modules that its spec names, and the record.
        self.made: list[tuple[str, tuple[str, ...], Mapping[str, Any]]] = []
        # SHA-256 of the files that were hashed; None for one that is missing or cannot be read.
        self.sums: dict[Path, str | None] = {}
        # Those that were read; empty for one that is missing or no record.
        self.records: dict[Path, dict[str, Any]] = {}

    def add(self, path: Path, fault: str, remedy: str, kind: str = "disagrees") -> None:
        """Add a problem, once."""
        if (problem := Finding(path, fault, remedy, kind)) not in self.problems:
            self.problems.append(problem)

    def lines(self, everything: bool = False) -> list[str]:
        """Return a line for each problem; for many of one kind in one folder the first ones and their number."""
        groups: dict[tuple[str, ...], list[Finding]] = defaultdict(list)
        for problem in self.problems:
            groups[problem.kind, *problem.path.parts[:2]].append(problem)
        lines: list[str] = []
        for (_, *folder), problems in groups.items():
            lines += map(str, problems if everything else problems[:SHOWN])
            if (more := len(problems) - SHOWN) > 0 and not everything:
                lines.append(f"… and {more} more like these in {Path(*folder)} (--all shows each)")
        return lines

    def sha256(self, path: Path) -> str | None:
        """Return the SHA-256 of a file; None where it is missing or cannot be read."""
        if path not in self.sums:
            try:
                self.sums[path] = files.sha256(path)
            except OSError:
                self.sums[path] = None
        return self.sums[path]

    def record(self, path: Path, remedy: str) -> dict[str, Any]:
        """Return a JSON record; empty, with a problem, where it is missing or no record."""
        if path not in self.records:
            self.records[path] = files.read_object(path)
            if not self.records[path]:
                self._add_damaged(path, "not a readable record of this workflow", remedy)
        return self.records[path]

    def compare(self, path: Path, wanted: Mapping[str, Any], remedy: str) -> dict[str, Any]:
        """Report each field of a record that is not what is wanted; return the record, empty where there is none."""
        record = self.record(path, remedy)
        for name, value in wanted.items():
            if record and record.get(name) != value:
                here = "that of what lies here now" if name.endswith("_sha256") else "the one that is wanted"
                shown = f" ({record.get(name)}, wanted {value})" if name in ("code", "id", "url", "source") else ""
                self.add(path, f"its {name} is not {here}{shown}", remedy)
        return record

    def check_sums(self, record: Path, sums: Any, remedy: str, expected: Iterable[str] = ()) -> bool:
        """Compare files with recorded checksums (name → SHA-256); return whether all, and those expected, agree."""
        if not isinstance(sums, dict) or not all(map(is_plain, sums)) or not sums.keys() >= set(expected):
            fault = f"lists no checksums of {', '.join(expected) or 'the files beside it'}: edited, or by older code"
            self.add(record, fault, remedy, "damaged")
            return False
        differ = [record.parent / name for name, wanted in sums.items() if self.sha256(record.parent / name) != wanted]
        for path in differ:
            self._add_damaged(path, f"its checksum is not the one in {record.name}", remedy)
        return not differ

    def _add_damaged(self, path: Path, fault: str, remedy: str) -> None:
        there = path.exists()
        if there and not os.access(path, os.R_OK):
            fault, remedy = "you may not read it", "its owner has to allow it"
        self.add(path, fault if there else "missing", remedy, "damaged" if there else "missing")

    def check_listed(self, path: Path, listed: Any, found: Mapping[str, str | None], what: str, remedy: str) -> None:
        """Compare the name → SHA-256 that a record lists with what lies there; None: it was reported already."""
        if not isinstance(listed, dict):
            self.add(path, f"lists no {what}", remedy, "damaged")
            return
        for name in sorted(listed.keys() | found.keys()):
            if name not in found:
                self.add(path, f"lists {name}, which is not wanted", remedy)
            elif name not in listed:
                self.add(path, f"does not list {name}", remedy)
            elif found[name] not in (None, listed[name]):
                self.add(path, f"its checksum of {name} is not that of what lies here now", remedy)

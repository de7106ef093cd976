"""What a verification found, and the ledger through which it reads files and compares them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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


@dataclass
class Ledger:
    """Reads and hashes files, each once, compares them, and keeps what it finds.

    Attributes:
        problems: in the order of the flow.
        notes: what a reader should know, though nothing is wrong.
        mixtures: of codes, versions, devices or revisions.
        models: number of trained models.
        made: every record that was read: its stage, the modules that its spec names, and the record.
        sizes: of the files that were read, in bytes.
        sums: SHA-256 of the files that were hashed; None for one that is missing or cannot be read.
    """

    problems: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mixtures: list[str] = field(default_factory=list)
    models: int = 0
    made: list[tuple[str, tuple[str, ...], Mapping[str, Any]]] = field(default_factory=list)
    sizes: dict[Path, int] = field(default_factory=dict)
    sums: dict[Path, str | None] = field(default_factory=dict)
    _records: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def add(self, path: Path, fault: str, remedy: str, kind: str = "disagrees") -> None:
        """Add a problem, once."""
        if (problem := Finding(path, fault, remedy, kind)) not in self.problems:
            self.problems.append(problem)

    def lines(self, everything: bool = False) -> list[str]:
        """Return a line for each problem; for many of one kind in one folder the first ones and their number."""
        groups: dict[tuple[str, ...], list[Finding]] = defaultdict(list)
        for problem in self.problems:
            groups[problem.kind, *problem.path.parts[:2]].append(problem)
        lines = []
        for (_, *folder), problems in groups.items():
            shown = problems if everything else problems[:SHOWN]
            lines += map(str, shown)
            if more := len(problems) - len(shown):
                lines.append(f"… and {more} more like these in {Path(*folder)} (--all shows each)")
        return lines

    def sha256(self, path: Path) -> str | None:
        """Return the SHA-256 of a file; None where it is missing or cannot be read."""
        if path not in self.sums:
            try:
                self.sums[path] = files.sha256(path)
                self.sizes[path] = path.stat().st_size
            except OSError:
                self.sums[path] = None
        return self.sums[path]

    def record(self, path: Path, remedy: str) -> dict[str, Any]:
        """Return a JSON record; empty, with a problem, where it is missing or no record."""
        if path not in self._records:
            self._records[path] = files.read_object(path)
            if self._records[path]:
                self.sizes[path] = path.stat().st_size
            else:
                self._lacks(path, "not a readable record of this workflow", remedy)
        return self._records[path]

    def compare(self, path: Path, wanted: Mapping[str, Any], remedy: str) -> dict[str, Any]:
        """Report each field of a record that is not what is wanted; return the record, empty where there is none."""
        record = self.record(path, remedy)
        for name, value in wanted.items():
            if record and (found := record.get(name)) != value:
                fault = "not the one that is wanted" + (f" ({found}, wanted {value})" if isinstance(value, str) else "")
                fault = "not that of what lies here now" if name.endswith("_sha256") else fault
                self.add(path, f"its {name} is {fault}", remedy)
        return record

    def check_sums(self, record: Path, sums: Any, remedy: str, expected: Iterable[str] = ()) -> bool:
        """Compare the files beside a record with their recorded checksums; return whether all are there and agree.

        Args:
            record: path of the record.
            sums: file name → SHA-256, as recorded.
            remedy: what to do with a file that differs.
            expected: names that must be among them.
        """
        if not isinstance(sums, dict) or not all(map(is_plain, sums)):
            self.add(record, "lists no checksums of the files beside it", remedy, "damaged")
            return False
        if lacking := [name for name in expected if name not in sums]:
            fault = f"lists no checksum of {', '.join(lacking)}: incomplete, or written by older code"
            self.add(record, fault, remedy, "damaged")
            return False
        differ = [record.parent / name for name, wanted in sums.items() if self.sha256(record.parent / name) != wanted]
        for path in differ:
            self._lacks(path, f"its checksum is not the one in {record.name}", remedy)
        return not differ

    def _lacks(self, path: Path, fault: str, remedy: str) -> None:
        """Add a file that is missing, or else has this fault."""
        kind = "damaged" if path.exists() else "missing"
        self.add(path, fault if kind == "damaged" else kind, remedy, kind)

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

"""What a verification found, and the ledger through which it reads files and compares them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vicinal import files
from vicinal.errors import VicinalError
from vicinal.results import is_plain

RUN = "run ./reproduce"
# So many findings of one kind in one folder are shown, unless all are asked for.
SHOWN = 8
# field of a record → what is wrong where it has another value than it should
FAULTS = {
    "id": "of another id ({found})",
    "spec": "its spec is not the one that is wanted",
    "code": "made by other code ({found}, wanted {wanted})",
    "data_sha256": "made from other data than lies here now",
    "teacher_sha256": "made from another teacher than lies here now",
    "weights_sha256": "made from other weights than lie here now",
    "name": "of other data than are wanted",
    "source": "of other files than are wanted",
    "files": "of other files than are wanted",
    "url": "of other weights than are wanted",
}


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
class Findings:
    """All that was found.

    Attributes:
        problems: in the order of the flow.
        notes: what a reader should know, though nothing is wrong.
        mixtures: of codes, versions, devices or revisions.
        left_over: temporary files of killed jobs.
        models: number of trained models.
        made: every record that was read: its stage, the modules that its spec names, and the record.
    """

    problems: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mixtures: list[str] = field(default_factory=list)
    left_over: list[Path] = field(default_factory=list)
    models: int = 0
    made: list[tuple[str, tuple[str, ...], Mapping[str, Any]]] = field(default_factory=list)

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
            shown = problems if everything or len(problems) <= SHOWN + 1 else problems[:SHOWN]
            lines += map(str, shown)
            if more := len(problems) - len(shown):
                lines.append(f"… and {more} more like these in {Path(*folder)} (--all shows each)")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        problems = [{**asdict(problem), "path": str(problem.path)} for problem in self.problems]
        left_over = list(map(str, self.left_over))
        return {"problems": problems, "notes": self.notes, "mixtures": self.mixtures, "left_over": left_over}


class Ledger:
    """Reads and hashes files, each once, and compares them; its findings get the problems."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.sizes: dict[Path, int] = {}
        self._sums: dict[Path, str | None] = {}
        self._records: dict[Path, dict[str, Any]] = {}

    def sha256(self, path: Path) -> str | None:
        """Return the SHA-256 of a file; None where it is missing or cannot be read."""
        if path not in self._sums:
            try:
                self._sums[path] = files.sha256(path)
                self.sizes[path] = path.stat().st_size
            except OSError:
                self._sums[path] = None
        return self._sums[path]

    def record(self, path: Path, remedy: str) -> dict[str, Any]:
        """Return a JSON record; empty, with a problem, where it is missing or no record."""
        if path not in self._records:
            self._records[path] = {}
            try:
                record = files.read_json(path)
                self.sizes[path] = path.stat().st_size
                if not isinstance(record, dict) or not record:
                    raise VicinalError(f"{path}: not a record of this workflow")
                self._records[path] = record
            except (OSError, VicinalError) as error:
                fault = error.strerror.lower() if isinstance(error, OSError) else str(error).removeprefix(f"{path}: ")
                self.findings.add(path, fault, remedy, "damaged" if path.exists() else "missing")
        return self._records[path]

    def compare(self, path: Path, wanted: Mapping[str, Any], remedy: str) -> dict[str, Any]:
        """Report each field of a record that is not what is wanted; return the record, empty where there is none."""
        record = self.record(path, remedy)
        for name, value in wanted.items():
            if record and record.get(name) != value:
                self.findings.add(path, FAULTS[name].format(found=record.get(name), wanted=value), remedy)
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
            self.findings.add(record, "lists no checksums of the files beside it", remedy, "damaged")
            return False
        if lacking := [name for name in expected if name not in sums]:
            fault = f"lists no checksum of {', '.join(lacking)}: incomplete, or written by older code"
            self.findings.add(record, fault, remedy, "damaged")
            return False
        differ = [record.parent / name for name, wanted in sums.items() if self.sha256(record.parent / name) != wanted]
        for path in differ:
            if path.exists():
                self.findings.add(path, f"its checksum is not the one in {record.name}", remedy, "damaged")
            else:
                self.findings.add(path, "missing", remedy, "missing")
        return not differ

    def check_listed(self, path: Path, listed: Any, found: Mapping[str, str | None], what: str, remedy: str) -> None:
        """Compare the name → SHA-256 that a record lists with what lies there; None: it was reported already."""
        if not isinstance(listed, dict):
            self.findings.add(path, f"lists no {what}", remedy, "damaged")
            return
        for name in sorted(listed.keys() | found.keys()):
            if name not in found:
                self.findings.add(path, f"lists {name}, which is not wanted", remedy)
            elif name not in listed:
                self.findings.add(path, f"does not list {name}", remedy)
            elif found[name] not in (None, listed[name]):
                self.findings.add(path, f"its checksum of {name} is not that of what lies here now", remedy)

    @property
    def compared(self) -> int:
        """Return how many files were hashed."""
        return len(self._sums)

    @property
    def bytes(self) -> int:
        """Return the size of all files read, in bytes."""
        return sum(self.sizes.values())

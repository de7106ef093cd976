"""What an import knows of both results folders while it looks through the other one."""

import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicinal.data.store import META
from vicinal.files import read_object
from vicinal.lease import held_leases
from vicinal.records import RECORD
from vicinal.spec import artefact_id, digest
from vicinal.verify.checks import weights_of
from vicinal.verify.findings import Findings, Ledger
from vicinal.verify.layout import is_analysis, is_id, is_known, is_left_over, walk

NOT_IMPORTED = "not imported; make it anew there, or here with ./reproduce"
KEPT = "kept what is here"


@dataclass
class Unit:
    """What is copied in one piece.

    Attributes:
        stage: of what.
        id: of the artefact; of an experiment its name.
        place: the directory below the results folder.
        files: below the place.
        outputs: those of the files that Snakemake compares by time.
        upstream: outputs that these must not be older than, below the results folder.
        whole: the directory is copied as one; else file by file, the outputs last.
        plan: the plan file below the results folder, if there is one.
    """

    stage: str
    id: str
    place: Path
    files: list[Path]
    outputs: list[Path] = field(default_factory=list)
    upstream: list[Path] = field(default_factory=list)
    whole: bool = True
    plan: Path | None = None


class Survey:
    """Compares the results in ``there`` with those in ``here``, upstream ones first.

    Args:
        there: the other results folder.
        here: the own one.

    Attributes:
        units: what to copy, in this order.
        present: stage → how many are here already, the same.
        findings: what is damaged there, and conflicts with what is here.
        other_code: stage → how many of the units other code has made.
        experiments: names of the experiments there.
        locks: ids of artefacts that jobs are working on here.
        data: data store → checksum of its content, as it will be here.
        weights: model → checksum of its weights, as it will be here.
        teachers: hash of a teacher's spec → its id.
        measured: evaluation/model → its record, here or there.
    """

    def __init__(self, there: Path, here: Path) -> None:
        self.there, self.here = there, here
        self.units: list[Unit] = []
        self.present: Counter[str] = Counter()
        self.other_code: Counter[str] = Counter()
        self.findings = Findings()
        self.ledger = Ledger(self.findings)
        self.experiments: list[str] = []
        self.locks = held_leases(here)
        self.data: dict[str, str] = {}
        self.weights: dict[str, str] = {}
        self.teachers: dict[str, str] = {}
        self.measured: dict[str, Path] = {}
        self._know_own()

    def _know_own(self) -> None:
        for path in (self.here / "data").glob(f"*/{META}"):
            if sum_ := read_object(path).get("sha256"):
                self.data[path.parent.name] = sum_
        for path in (self.here / "teachers").glob(f"*/model/{RECORD}"):
            if weights := weights_of(read_object(path)):
                self.know("teachers", path.parent.parent.name, weights)
        for path in (self.here / "students").glob(f"*/{RECORD}"):
            if weights := weights_of(read_object(path)):
                self.know("students", path.parent.name, weights)

    def know(self, stage: str, id_: str, weights: str) -> None:
        """Remember the weights of a model that is here, or will be."""
        self.weights[id_] = weights
        if stage == "teachers":
            self.teachers[id_[-8:]] = id_

    def ids(self, stage: str) -> list[str]:
        """Return the ids of a stage there."""
        folder = self.there / stage
        if folder.is_symlink():
            self.refuse(folder, "a symbolic link")
            return []
        return sorted(path.name for path in folder.iterdir() if is_id(path.name)) if folder.is_dir() else []

    def upstream(self, spec: dict[str, Any]) -> list[Path]:
        """Return the outputs that a teacher, a cohort or a student of this spec is made from."""
        found = [Path("data", artefact_id(str(spec["data"]["name"]), spec["data"]), "data.json")]
        if spec.get("teacher") and (teacher := self.teachers.get(digest(spec["teacher"])[:8])):
            found.append(Path("teachers", teacher, "teacher.json"))
        return found

    def refuse(self, path: Path, fault: str, remedy: str = NOT_IMPORTED, kind: str = "damaged") -> None:
        """Name what is not imported."""
        self.findings.add(path, fault, remedy, kind)

    def files(self, place: Path, stage: str | None, depth: int = 9) -> list[Path] | None:
        """Return the files of a directory there that the workflow made, relative to it; None if it must not be read.

        Args:
            place: of the directory, below the results folder.
            stage: that it belongs to; None for an experiment's.
            depth: how far down.
        """
        folder, found = self.there / place, []
        if folder.is_symlink() or not folder.is_dir():
            self.refuse(folder, "a symbolic link" if folder.is_symlink() else "no directory")
            return None
        for path in walk(folder):
            if len(path.relative_to(folder).parts) > depth:
                continue
            if not stat.S_ISREG(path.lstat().st_mode):
                self.refuse(path, "a symbolic link" if path.is_symlink() else "no regular file")
                return None
            if is_known(stage, path, self.there / stage) if stage else is_analysis(path, folder):
                found.append(path.relative_to(folder))
            elif not is_left_over(path, folder):
                self.findings.notes.append(f"{path}: a foreign file, not imported")
        return found

    def is_whole(self, before: int) -> bool:
        """Tell whether nothing was refused since there were ``before`` problems."""
        return len(self.findings.problems) == before

    def lists_ids(self, path: Path, listed: Any) -> bool:
        """Tell whether a manifest lists ids and nothing else, which could lead anywhere."""
        if isinstance(listed, dict) and listed and all(map(is_id, listed)):
            return True
        self.refuse(path, "lists something else than ids")
        return False

    def add(self, unit: Unit) -> None:
        """Import a unit, with its plan file."""
        plan = Path("plan", unit.stage, f"{unit.id}.json")
        parts = [self.there / parent for parent in (plan, *plan.parents[:2])]
        unit.plan = plan if parts[0].is_file() and not any(path.is_symlink() for path in parts) else None
        self.units.append(unit)

    def compare(self, stage: str, place: Path, same: bool) -> None:
        """Count what is here already; name it if it is another."""
        if same:
            self.present[stage] += 1
        else:
            self.refuse(self.there / place, f"another {place.name} than the one here", KEPT, "conflict")

    def count_code(self, stage: str, record: dict[str, Any], code: str) -> None:
        """Remember that a unit was made by other code, if it was."""
        if record.get("code") != code:
            self.other_code[stage] += 1

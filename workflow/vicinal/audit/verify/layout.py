"""Finds files in the folders of results that the workflow did not make."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from vicinal.analysis.figures import FIGURES
from vicinal.audit.verify.findings import Findings
from vicinal.files import LEFT_OVER, read_object
from vicinal.results import BENCHMARK, EVALUATION, ID, MEASURED, ON_DEVICE, RECORD, STAGES

_FOREIGN = "not of this workflow: move it elsewhere"
# The files that no record lists, below the folder of each stage. All others are listed by a record beside them.
_UNLISTED = {
    "data": rf"{ID}/(data\.json(\.key)?|meta\.json|provenance\.json|bad_files\.txt)"
    rf"|{ID}\.(fetched|corruptions)\.json(\.key)?",
    "students": rf"{ID}/{RECORD}",
    "teachers": rf"{ID}/(teacher\.json(\.key)?|model/{RECORD})",
    "cohorts": rf"{ID}/manifest\.json(\.key)?",
    **dict.fromkeys(MEASURED, rf"{ID}/(manifest\.json(\.key)?|{ID}/{EVALUATION})"),
}
for _name in ON_DEVICE:
    _UNLISTED[_name] += rf"|{ID}/({re.escape(STAGES[_name].log)}|{re.escape(BENCHMARK)}|diverged/{ID}\.safetensors)"
# The same below the folder of an experiment.
_ANALYSIS = (
    rf"provenance\.json|metrics\.parquet\.key|(claims|report)\.json|claims\.parquet\.key|report\.html\.key"
    rf"|figures/({'|'.join(FIGURES)})\.(json|pdf\.key)"
)


def find_foreign(findings: Findings, results: Path, experiments: Iterable[str]) -> None:
    """Report each file in the folders of all stages and of some experiments that no rule makes and no record lists.

    Args:
        findings: gets the problems, and the files that killed jobs left over.
        results: the results folder.
        experiments: names of those whose folders (results/NAME) to look at.
    """
    # The files beside an unreadable record are not judged.
    unreadable = {
        problem.path.parent
        for problem in findings.problems
        if problem.kind in ("damaged", "missing") and problem.path.suffix == ".json"
    }
    for name, pattern in (_UNLISTED | dict.fromkeys(experiments, _ANALYSIS)).items():
        root = results / name
        for folder, files in walk(root):
            listed = _listed(folder)
            is_judged = folder not in unreadable
            for path in files:
                if is_left_over(path, root):
                    findings.left_over.append(path)
                elif is_judged and path.name not in listed and not re.fullmatch(pattern, str(path.relative_to(root))):
                    findings.add(path, "a foreign file", _FOREIGN, "foreign")


def is_left_over(path: Path, root: Path) -> bool:
    """Return whether a path below ``root`` is temporary, or lies in a temporary directory."""
    return any(part.startswith(LEFT_OVER) for part in path.relative_to(root).parts)


def walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each folder below ``root``, with its files, sorted; links count as files and are not followed."""
    for folder, names, files in os.walk(root):
        names.sort()
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        yield Path(folder), [Path(folder) / name for name in sorted([*files, *links])]


def _listed(folder: Path) -> set[str]:
    """Return the names of the files whose checksums are recorded in a folder."""
    names: set[str] = set()
    for path in folder.glob("*.json"):
        record = read_object(path)
        for field in ("sha256", "files"):  # a data store has ``files``
            if isinstance(record.get(field), dict):
                names |= record[field].keys()
    return names

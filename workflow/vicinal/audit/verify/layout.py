"""Finds files in the folders of results that the workflow did not make."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from vicinal.analysis.figures import FIGURES
from vicinal.audit.verify.findings import Ledger
from vicinal.files import LEFT_OVER, read_object
from vicinal.results import EVALUATION, FOLDERS, ID, MEASURED, META, RECORD, SHARED_FOLDERS, STAGES

# What the names in the paths of ``STAGES`` can be. No experiment is called as a folder that all share.
_NAMES = {
    "id": ID,
    "experiment": rf"(?!({'|'.join(sorted(SHARED_FOLDERS))})/)[^/]+",
    "figure": f"({'|'.join(FIGURES)})",
}


def _unlisted() -> Iterator[str]:
    """Yield the files below the results folder that no record lists, named as in ``STAGES``."""
    yield from (f"data/{{id}}/{META}", "data/{id}/provenance.json", "data/{id}/bad_files.txt")
    yield from (f"students/{{id}}/{RECORD}", f"teachers/{{id}}/model/{RECORD}")
    yield from (f"{stage}/{{id}}/{{id}}/{EVALUATION}" for stage in MEASURED)
    yield from (f"{{experiment}}/{name}.json" for name in ("provenance", "claims", "report", "figures/{figure}"))
    for name, stage in STAGES.items():
        yield from (stage.output, f"{stage.output}.key")
        if stage.log:
            yield from (stage.log_of("{id}"), stage.benchmark_of("{id}"), f"{name}/{{id}}/diverged/{{id}}.safetensors")


_UNLISTED = re.compile("|".join(path.replace(".", r"\.").format_map(_NAMES) for path in _unlisted()))


def find_foreign(ledger: Ledger, results: Path, experiments: Iterable[str]) -> None:
    """Report each file in the folders of all stages and of some experiments that no rule makes and no record lists.

    Args:
        ledger: gets the problems.
        results: the results folder.
        experiments: names of those whose folders (results/NAME) to look at.
    """
    # The files beside an unreadable record are not judged.
    unreadable = {
        problem.path.parent
        for problem in ledger.problems
        if problem.kind in ("damaged", "missing") and problem.path.suffix == ".json"
    }
    for name in (*FOLDERS, *experiments):
        for path in foreign_files(results / name):
            if path.parent not in unreadable:
                ledger.add(path, "a foreign file", "not of this workflow: move it elsewhere", "foreign")


def foreign_files(root: Path) -> Iterator[Path]:
    """Yield the files in a folder of the results folder that no rule makes and no record lists, sorted.

    Links count as files. What killed jobs left over is for ``./reproduce gc``.
    """
    place = root.absolute().name
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith(LEFT_OVER))
        listed = _listed(Path(folder))
        links = [name for name in names if Path(folder, name).is_symlink()]
        for path in (Path(folder, name) for name in sorted([*files, *links])):
            is_known = path.name in listed or path.name.startswith(LEFT_OVER)
            if not is_known and not _UNLISTED.fullmatch(f"{place}/{path.relative_to(root)}"):
                yield path


def _listed(folder: Path) -> set[str]:
    """Return the names of the files whose checksums are recorded in a folder."""
    records = map(read_object, folder.glob("*.json"))
    fields = [record.get(field) for record in records for field in ("sha256", "files")]  # a data store has ``files``
    return {name for sums in fields if isinstance(sums, dict) for name in sums}

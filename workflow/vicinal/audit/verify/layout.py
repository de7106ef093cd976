"""Finds files in the folders of results that the workflow did not make."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from vicinal.analysis.figures import FIGURES
from vicinal.files import LEFT_OVER, read_object
from vicinal.results import EVALUATION, ID, MEASURED, META, RECORD, SHARED_FOLDERS, STAGES

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


def foreign_files(root: Path) -> Iterator[Path]:
    """Yield the files in a folder of the results folder that no rule makes and no record beside them lists, sorted.

    Links count as files. What killed jobs left over is for ``./reproduce gc``.
    """
    place = root.absolute().name
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith(LEFT_OVER))
        records = [read_object(path) for path in Path(folder).glob("*.json")]
        sums = [record.get(field) for record in records for field in ("sha256", "files")]  # a data store has ``files``
        listed = {name for found in sums if isinstance(found, dict) for name in found}
        links = [name for name in names if Path(folder, name).is_symlink()]
        for path in (Path(folder, name) for name in sorted([*files, *links])):
            is_known = path.name in listed or path.name.startswith(LEFT_OVER)
            if not is_known and not _UNLISTED.fullmatch(f"{place}/{path.relative_to(root)}"):
                yield path

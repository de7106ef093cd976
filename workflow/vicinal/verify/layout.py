"""Which files the workflow makes, by their names; anything else in its folders is foreign."""

import os
import re
from collections.abc import Iterator, Set
from pathlib import Path

from vicinal.errors import VicinalError
from vicinal.figures import FIGURES
from vicinal.files import read_json
from vicinal.records import EVALUATION, HISTORY, RECORD, WEIGHTS

STAGES = ("data", "teachers", "students", "cohorts", "evaluations", "robustness")
# Those of them that hold what was measured of models.
MEASURED = ("evaluations", "robustness")
# What atomic writing leaves behind when it is killed.
LEFT_OVER = (".tmp-", ".old-")

ID = r"\w[\w.-]*-[0-9a-f]{8}"
_MODEL = "|".join(map(re.escape, (RECORD, WEIGHTS, HISTORY)))
_DIVERGED = rf"diverged/{ID}\.safetensors"
# Below the folder of a stage. The tables of an evaluation are those that its record lists.
_FILES = {
    "data": rf"{ID}/((data\.json(\.key)?|meta\.json|provenance\.json)|images\.npy|labels\.npy|splits\.parquet"
    r"|photos\.bin|offsets\.npy|sizes\.npy|bad_files\.txt)"
    rf"|{ID}\.(fetched|corruptions)\.json(\.key)?",
    "teachers": rf"{ID}/(teacher\.json(\.key)?|train\.log|benchmark\.tsv|model/({_MODEL})|{_DIVERGED})",
    "students": rf"{ID}/({_MODEL})",
    "cohorts": rf"{ID}/(manifest\.json(\.key)?|distill\.log|benchmark\.tsv|{_DIVERGED})",
} | dict.fromkeys(MEASURED, rf"{ID}/(manifest\.json(\.key)?|evaluate\.log|benchmark\.tsv|{ID}/{re.escape(EVALUATION)})")
_TABLES = "metrics|vicinal|confusion|spread|similarity|classes|reliability|history|corruptions|summary"
_ANALYSIS = (
    rf"({_TABLES})\.parquet|summary\.csv|"
    r"provenance\.json|metrics\.parquet\.key|claims\.(parquet(\.key)?|md|json)|report\.(html(\.key)?|json)"
    rf"|figures/({'|'.join(FIGURES)})\.(pdf(\.key)?|png|parquet|json)"
)


def is_plain(name: object) -> bool:
    """Tell whether a recorded name is that of a file or directory beside the record, and of nothing elsewhere."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name) is not None


def is_id(name: str) -> bool:
    """Tell whether a name has the form of an artefact's id."""
    return re.fullmatch(ID, name) is not None


def is_left_over(path: Path, root: Path) -> bool:
    """Tell whether a path below ``root`` is temporary, or lies in a temporary directory."""
    return any(part.startswith(LEFT_OVER) for part in path.relative_to(root).parts)


def walk(root: Path) -> Iterator[Path]:
    """Yield all files below a folder, sorted; links are yielded and not followed."""
    for folder, names, found in os.walk(root):
        names.sort()
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        yield from (Path(folder) / name for name in sorted([*found, *links]))


def is_known(stage: str, path: Path, root: Path) -> bool:
    """Tell whether the workflow makes a file of this name.

    Args:
        stage: one of ``STAGES``.
        path: of the file.
        root: the folder of the stage.
    """
    if re.fullmatch(_FILES[stage], path.relative_to(root).as_posix()):
        # Weights or tables without the record that speaks of them are nobody's.
        return stage != "students" or (path.parent / RECORD).is_file()
    return stage in MEASURED and path.name in listed(path.parent / EVALUATION)


def is_analysis(path: Path, folder: Path) -> bool:
    """Tell whether a file belongs to the folder of an experiment: its tables, claims, figures and report."""
    name = path.relative_to(folder).as_posix()
    return re.fullmatch(_ANALYSIS, name) is not None or name in listed(folder / "provenance.json")


def listed(record: Path) -> Set[str]:
    """Return the names of the files that a record lists with their checksums; none where there is no such record."""
    if not record.is_file():
        return set()
    try:
        found = read_json(record)
    except VicinalError:
        return set()
    sums = found.get("sha256") if isinstance(found, dict) else None
    return sums.keys() if isinstance(sums, dict) else set()

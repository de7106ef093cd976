"""The results of jobs on disk, each a folder with a record: how one is written, and whether it still counts."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vicinal.errors import VicinalError
from vicinal.files import atomic_directory, read_json, sha256, write_json
from vicinal.results import EVALUATION, RECORD, WEIGHTS, checkpoint_folder


def is_finished(record: Path, wanted: Mapping[str, Any]) -> bool:
    """Return whether a result is the one that is wanted, and whole.

    Args:
        record: its JSON record, whose fields must agree with ``wanted``, and whose ``sha256`` with the files beside it.
        wanted: the fields that decide: id, spec, code, sha256 of what it was made from.
    """
    try:
        found = read_json(record)
    except VicinalError:
        return False
    if not isinstance(found, dict) or any(found.get(key) != value for key, value in wanted.items()):
        return False
    paths = {record.with_name(name): expected for name, expected in found["sha256"].items()}
    return all(path.is_file() and sha256(path) == expected for path, expected in paths.items())


def write_result(
    record: Path, wanted: Mapping[str, Any], files: Mapping[str, Callable[[Path], object]], made: Mapping[str, Any]
) -> None:
    """Write the folder of a result, all or nothing; one that is there and finished is kept.

    Args:
        record: path of its JSON record, in the folder.
        wanted: the fields of the record that decide whether the result still counts (``is_finished``).
        files: by name what writes a file of the result at a path; the record gets their checksums.
        made: the other fields of the record: how the result was made, and numbers that have no file.
    """
    with atomic_directory(record.parent, keep=lambda other: is_finished(other / record.name, wanted)) as folder:
        for name, write in files.items():
            write(folder / name)
        sums = {name: sha256(folder / name) for name in files}
        write_json(folder / record.name, {**wanted, **made, "sha256": sums})


def weights_sha256(directory: Path) -> str:
    """Return the recorded SHA-256 of a finished model's weights.

    Raises:
        VicinalError: there is no such model.
    """
    record = read_json(directory / RECORD)
    try:
        return record["sha256"][WEIGHTS]
    except (KeyError, TypeError):
        raise VicinalError(f"{directory / RECORD}: not the record of a model") from None


def manifest_of(folder: Path, models: Iterable[str]) -> dict[str, Any]:
    """Return the manifest of models whose measurements lie in a folder: the checksums of their records."""
    return {"models": {id_: sha256(folder / id_ / EVALUATION) for id_ in models}}


def remove_checkpoints(results: Path, unit: str) -> None:
    """Remove the checkpoints of a teacher or cohort that is finished, whoever made them."""
    # What cannot be removed now, since another process writes there, goes with the next run.
    shutil.rmtree(checkpoint_folder(results, unit), ignore_errors=True)

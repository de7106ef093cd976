"""The records of trained models on disk: what they are, and whether they still count. Without torch."""

import shutil
from pathlib import Path
from typing import Any

from vicinal.errors import VicinalError
from vicinal.files import read_json, sha256

WEIGHTS, HISTORY, RECORD = "weights.safetensors", "history.parquet", "model.json"
CHECKPOINTS = "checkpoints"


def is_finished(record: Path, wanted: dict[str, Any]) -> bool:
    """Tell whether an artefact is the one that is wanted, and whole.

    Args:
        record: its JSON record, whose fields must agree with ``wanted``, and whose ``sha256`` with the files beside it.
        wanted: the fields that decide: id, spec, code, sha256 of what it was made from.
    """
    directory = record.parent
    try:
        record = read_json(record)
    except VicinalError:
        return False
    if not isinstance(record, dict) or any(record.get(key) != value for key, value in wanted.items()):
        return False
    return all(
        (directory / name).is_file() and sha256(directory / name) == expected
        for name, expected in record["sha256"].items()
    )


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


def checkpoint_folder(results: Path, unit: str) -> Path:
    """Return the folder of the checkpoints of a teacher or cohort in training."""
    return results / CHECKPOINTS / unit


def remove_checkpoints(results: Path, unit: str) -> None:
    """Remove the checkpoints of a teacher or cohort that is finished, whoever made them."""
    # What cannot be removed now, since another process writes there, goes with the next run.
    shutil.rmtree(checkpoint_folder(results, unit), ignore_errors=True)

"""The records of trained models on disk: what they are, whether they still count, who works on them. Without torch."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vicinal.errors import VicinalError
from vicinal.files import read_json, sha256

WEIGHTS, HISTORY, RECORD = "weights.safetensors", "history.parquet", "model.json"


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


@contextmanager
def artefact_lock(results: Path, id_: str) -> Iterator[None]:
    """Hold the lock of one artefact: a second process waits until the first has finished it."""
    path = results / "locks" / f"{id_}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{id_}: another process is working on it; waiting", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""The history of a training, one row an epoch: it stands in its model's record, as lines of CSV with their checksum.

Lines are read ten times faster than lists of numbers, and records of many models are read together.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.errors import VicinalError
from vicinal.files import read_json
from vicinal.results import RECORD
from vicinal.spec import digest

if TYPE_CHECKING:
    import pandas as pd

HISTORY, SUM = "history", "history_sha256"  # fields of the record

# What an epoch tells; the last two are measured about ten times only, and without validation images never.
COLUMNS = {
    "epoch": "int64", "lr": "float64", "loss": "float64", "validation_accuracy": "float64",
    "validation_loss": "float64",
}  # fmt: skip


def history_fields(rows: Iterable[Mapping[str, float]]) -> dict[str, Any]:
    """Return the fields of a model's record that hold its history.

    Args:
        rows: one an epoch, with those of ``COLUMNS`` that it has.
    """
    lines = [",".join(COLUMNS)]
    lines += [",".join(str(row.get(name, "")) for name in COLUMNS) for row in rows]
    return {HISTORY: lines, SUM: digest(lines)}


def history_fault(record: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the history in a model's record, in words; None if nothing."""
    if HISTORY not in record:
        return "no history of its training in it, older code made it"
    try:
        whole = digest(record[HISTORY]) == record.get(SUM)
    except (TypeError, ValueError):
        whole = False
    return None if whole else "its history of the training is damaged (its checksum is not the recorded one)"


def read_history(directory: Path) -> "pd.DataFrame":
    """Return the history of a finished model: a row an epoch, ``COLUMNS``; none where nothing was trained.

    Args:
        directory: of the model.

    Raises:
        VicinalError: there is no such record, or no whole history in it.
    """
    import pandas as pd

    path = directory / RECORD
    record = read_json(path)
    fault = history_fault(record) if isinstance(record, dict) else "not the record of a model"
    if fault:
        raise VicinalError(f"{path}: {fault}; delete {directory} and run ./reproduce, which trains it anew")
    names, *rows = (line.split(",") for line in record[HISTORY])
    numbers = [[float(text) if text else math.nan for text in row] for row in rows]
    return pd.DataFrame(numbers, columns=names).astype(COLUMNS)

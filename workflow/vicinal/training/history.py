"""The history of a training: a Parquet table beside the weights of its model, one row an epoch."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from vicinal.files import read_table
from vicinal.results import HISTORY

if TYPE_CHECKING:
    import pandas as pd

# The last two are measured about ten times a training, if there are validation images; elsewhere they are NaN.
COLUMNS = {
    "epoch": "int64", "lr": "float64", "loss": "float64", "validation_accuracy": "float64",
    "validation_loss": "float64",
}  # fmt: skip


def history_table(rows: Iterable[Mapping[str, float]]) -> pa.Table:
    """Return rows, one an epoch, as a table of all ``COLUMNS``; what a row lacks is NaN."""
    rows = list(rows)
    values = [np.array([row.get(name, np.nan) for row in rows], dtype=kind) for name, kind in COLUMNS.items()]
    # From buffers, since ``pa.array`` imports pandas: a third of a second that trainings need not wait.
    arrays = [
        pa.Array.from_buffers(pa.from_numpy_dtype(column.dtype), len(rows), [None, pa.py_buffer(column)])
        for column in values
    ]
    return pa.Table.from_arrays(arrays, names=list(COLUMNS))


def training_history(directory: Path) -> "pd.DataFrame":
    """Return the history of the finished model in a directory, without rows where nothing was trained.

    Raises:
        VicinalError: the table is missing or unreadable; the message names it.
    """
    return read_table(directory / HISTORY, f"delete {directory} and run ./reproduce, which trains it anew")

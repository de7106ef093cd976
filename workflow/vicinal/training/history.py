"""The history of a training: a Parquet table beside the weights of its model, one row an epoch."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from vicinal.files import read_table
from vicinal.results import HISTORY

if TYPE_CHECKING:
    import pandas as pd

# The last two are measured about ten times a training, if there are validation images; elsewhere they are missing.
COLUMNS = pa.schema(
    {
        "epoch": pa.int64(), "lr": pa.float64(), "loss": pa.float64(), "validation_accuracy": pa.float64(),
        "validation_loss": pa.float64(),
    }
)  # fmt: skip


def history_table(rows: Iterable[Mapping[str, float]]) -> pa.Table:
    """Return rows, one an epoch, as a table of all ``COLUMNS``; what a row lacks is missing."""
    return pa.Table.from_pylist(list(rows), COLUMNS)  # not by pandas, which trainings need not wait for


def training_history(directory: Path) -> "pd.DataFrame":
    """Return the history of the finished model in a directory, without rows where nothing was trained.

    What is missing is NaN.

    Raises:
        VicinalError: the table is missing or unreadable; the message names it.
    """
    return read_table(directory / HISTORY, f"delete {directory} and run ./reproduce, which trains it anew")

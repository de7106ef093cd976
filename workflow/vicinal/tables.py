"""Parquet tables: written atomically, read with one clear line where they cannot be."""

from pathlib import Path
from typing import TYPE_CHECKING

from vicinal.errors import VicinalError
from vicinal.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd


def read_table(path: Path, remedy: str | None = None, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a Parquet table.

    Args:
        path: of the file.
        remedy: what to do where it is missing or unreadable; by default it is made anew once it is gone.
        columns: those to read; by default all.

    Raises:
        VicinalError: it is missing or unreadable, or lacks a column; the message names it.
    """
    import pandas as pd

    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise VicinalError(f"{path}: no such file; {remedy or 'run ./reproduce to make it'}") from None
    except (OSError, ValueError) as error:
        remedy = remedy or "delete it and run ./reproduce again"
        raise VicinalError(f"{path}: not a readable Parquet file ({error}); {remedy}") from None


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as a Parquet file, atomically and without its index."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")

"""Reading the Parquet tables that other jobs wrote."""

from pathlib import Path

import pandas as pd

from vicinal.errors import VicinalError


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet table.

    Raises:
        VicinalError: it is missing or unreadable; the message names it.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise VicinalError(f"{path}: no such file; run ./reproduce to make it") from None
    except (OSError, ValueError) as error:
        raise VicinalError(
            f"{path}: not a readable Parquet file ({error}); delete it and run ./reproduce again"
        ) from None

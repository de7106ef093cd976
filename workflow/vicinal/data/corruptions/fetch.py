"""Download and check the corrupted images of a data store and find their rows, or say why that fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from vicinal.data.corruptions.arrays import match_rows, open_corrupted
from vicinal.data.corruptions.catalogue import ARCHIVES, CorruptionArchive
from vicinal.data.store import DataStore
from vicinal.errors import VicinalError, describe
from vicinal.jobs.download import provide


def fetch_corruptions(
    name: str, root: Path, store: DataStore, archive_state: list[int] | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the record of a store's corrupted images, even if they are not available.

    Args:
        root: folder of all data; the archive is there, or is downloaded to it.
        store: whose test images are looked for in the archive.
        archive_state: as planned (``catalogue.planned_state``), for the record.
        say: called with a line for each step.

    Returns:
        ``name``, ``data_sha256`` of the store, ``archive_state``, ``available``; if true: ``file``, ``md5`` and ``url``
        of the archive, and ``rows``, the row in its arrays of each test image of the store; otherwise ``reason``.
    """
    archive = ARCHIVES[name]
    path = root / archive.file
    record = {"name": name, "data_sha256": store.sha256, "archive_state": archive_state}
    remedy = f"put {archive.file} from {archive.url} into {root}, then run again"
    try:
        provide(archive.url, path, archive.size, "md5", archive.md5, remedy, say)
        rows = _rows(path, archive, store)
    except (VicinalError, OSError) as error:
        reason = describe(error) + (f"; {remedy}" if isinstance(error, OSError) else "")
        say(f"corrupted images are left out: {reason}")
        return {**record, "available": False, "reason": reason}
    say(f"{path} is there and whole; its rows are known")
    source = {"file": archive.file, "md5": archive.md5, "url": archive.url}
    return {**record, "available": True, **source, "rows": rows.tolist()}


def _rows(path: Path, archive: CorruptionArchive, store: DataStore) -> np.ndarray:
    test = store.splits["test"]
    table = pq.read_table(store.directory / "splits.parquet", columns=["index", "source_row"])
    source_rows = dict(zip(table["index"].to_pylist(), table["source_row"].to_pylist(), strict=True))
    rows = np.array([source_rows[index] for index in test.tolist()], dtype=np.int64)
    try:
        return match_rows(store.images[test], store.labels[test], rows, open_corrupted(path, archive.folder))
    except VicinalError as error:
        raise VicinalError(f"{path}: {error}") from error

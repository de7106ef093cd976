"""Photos in Parquet files with the layout of the Hugging Face hub."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from vicinal.data.catalogue import shards
from vicinal.data.parquet import Columns, find_columns, open_shard, read_shard, unreadable
from vicinal.errors import VicinalError

UNLABELLED = -1
_ROWS = 256  # of a file in memory at a time


class PhotoParquet:
    """Photos in Parquet files, named as in ``catalogue.shards``; a ``sources.PhotoSource``.

    Raises:
        VicinalError: unreadable file, no or ambiguous columns, a row without a label.
    """

    def __init__(self, folder: Path | str, image_column: str | None, label_column: str | None) -> None:
        self._columns: Columns | None = None
        parts = {split: self._labels(paths, image_column, label_column) for split, paths in shards(folder).items()}
        if "validation" in parts and all((labels == UNLABELLED).all() for _, labels in parts["test"]):
            del parts["test"]
        self.counts = {split: sum(len(labels) for _, labels in part) for split, part in parts.items()}
        self._files = [path for part in parts.values() for path, _ in part]
        self.labels = np.concatenate([labels for part in parts.values() for _, labels in part])
        self._ends = np.cumsum([len(labels) for part in parts.values() for _, labels in part])

    def _labels(self, paths: list[Path], image: str | None, label: str | None) -> list[tuple[Path, np.ndarray]]:
        found = []
        for path in paths:
            with open_shard(path) as file:
                columns = find_columns(path, file.schema_arrow, image, label)
                try:
                    column = file.read(columns=[columns.label])[columns.label]
                except (pa.ArrowException, OSError) as error:
                    raise unreadable(path, error) from error
            self._columns = self._columns or columns
            if columns != self._columns:
                raise VicinalError(f"{path}: its columns or class names are not those of the other files")
            if column.null_count:
                row = column.is_null().index(True).as_py()
                raise VicinalError(f"{path}: row {row} (from 0) has no {columns.label}")
            found.append((path, column.to_numpy().astype(np.int64)))
        return found

    @property
    def class_names(self) -> list[str] | None:
        """Names by label, or None if the files have none."""
        return self._columns.class_names

    def name(self, number: int) -> str:
        """Return the file and row (from 0) of a photo."""
        file = int(np.searchsorted(self._ends, number, side="right"))
        start = self._ends[file - 1] if file else 0
        return f"{self._files[file].name}:{number - start}"

    def read(self, numbers: np.ndarray) -> Iterator[bytes | None]:
        """Yield the bytes of photos, None for a row without; files without any of the photos are not read."""
        starts = [0, *self._ends.tolist()]
        return chain.from_iterable(
            self._read_file(path, numbers[(numbers >= start) & (numbers < stop)] - start)
            for path, start, stop in zip(self._files, starts, self._ends.tolist(), strict=False)
        )

    def _read_file(self, path: Path, rows: np.ndarray) -> Iterator[bytes | None]:
        if not len(rows):
            return
        wanted, row = set(rows.tolist()), 0
        for encoded, _ in read_shard(path, self._columns, _ROWS):
            yield from (data for i, data in enumerate(encoded, row) if i in wanted)
            row += len(encoded)

"""Photos in Parquet files with the layout of the Hugging Face hub."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from vicinal.data.labels import read_labels
from vicinal.data.parquet import read_pictures

_ROWS = 256  # of a file in memory at a time


class PhotoParquet:
    """Photos in Parquet files; a ``sources.PhotoSource``. Raises VicinalError: see ``labels.read_labels``."""

    def __init__(self, folder: Path | str, image_column: str | None, label_column: str | None) -> None:
        found = read_labels(folder, image_column, label_column)
        self._files, self._columns = found.files, found.columns
        self.counts, self.class_names, self.notes = found.counts, found.class_names, found.notes
        self.labels = np.concatenate([file.labels for file in self._files])
        self._ends = np.cumsum([len(file.labels) for file in self._files])

    def name(self, number: int) -> str:
        """Return the file and row (from 0) of a photo."""
        file = int(np.searchsorted(self._ends, number, side="right"))
        start = self._ends[file - 1] if file else 0
        return f"{self._files[file].name}:{number - start}"

    def read(self, numbers: np.ndarray) -> Iterator[bytes | None]:
        """Yield the bytes of photos, None for a row without; files without any of the photos are not read."""
        starts = [0, *self._ends.tolist()]
        return chain.from_iterable(
            self._read_file(file.path, numbers[(numbers >= start) & (numbers < stop)] - start)
            for file, start, stop in zip(self._files, starts, self._ends.tolist(), strict=False)
        )

    def _read_file(self, path: Path, rows: np.ndarray) -> Iterator[bytes | None]:
        if not len(rows):
            return
        wanted, row = set(rows.tolist()), 0
        for encoded in read_pictures(path, self._columns, _ROWS):
            yield from (data for i, data in enumerate(encoded, row) if i in wanted)
            row += len(encoded)

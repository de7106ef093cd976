"""The photo store: a data set of photos as encoded JPEGs in one file, with an index and its exact split.

A store is a folder: ``photos.bin`` (JPEG after JPEG), ``offsets.npy`` (N + 1,) int64, ``labels.npy`` (N,) int64,
``sizes.npy`` (N, 2) int32 (height, width), ``splits.parquet`` (one row a photo that is used) and ``meta.json`` (what
is in it and the checksums, written last).
"""

import os
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np

from vicinal.data.store import PHOTO_FORMAT, DataStore, damaged


class PhotoStore(DataStore):
    """An opened photo store: an array store (see there) with ``read``, ``sizes`` and ``offsets`` for ``images``."""

    form = PHOTO_FORMAT

    def __init__(self, directory: Path | str, verify: bool = False) -> None:
        super().__init__(directory, verify)
        self._file = self._checked("photos.bin").open("rb", buffering=0)  # closed with the store

    @property
    def images(self) -> NoReturn:
        """Photos have many sizes: there is no array of them."""
        raise AttributeError("a photo store holds encoded photos: use read()")

    @cached_property
    def sizes(self) -> np.ndarray:
        """Height and width of every photo in pixels, (N, 2) int32."""
        return np.array(self._load("sizes.npy", (self.meta["images"], 2), np.int32))

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where each photo begins in ``photos.bin``, and the end, (N + 1,) int64."""
        return np.array(self._load("offsets.npy", (self.meta["images"] + 1,), np.int64))

    def read(self, position: int) -> bytearray:
        """Return the bytes of the JPEG at a position, from any thread. Raises VicinalError: the file ends before."""
        start, stop = self.offsets[position : position + 2].tolist()
        # Read, not mapped: one request instead of a page fault every 4 KiB, which is slow on network file systems.
        data = bytearray(stop - start)
        if os.preadv(self._file.fileno(), [data], start) != stop - start:
            raise damaged(self.directory / "photos.bin", f"ends within the photo at {start:,}")
        return data

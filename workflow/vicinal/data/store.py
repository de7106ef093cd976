"""The array store: one data set as memory-mapped arrays with its exact split.

A store is a folder: ``images.npy`` (N, H, W, C) uint8, ``labels.npy`` (N,) int64, ``splits.parquet`` (one row for each
image that is used) and ``meta.json`` (what it holds and the checksums, written last).
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vicinal import files
from vicinal.errors import VicinalError
from vicinal.results import META

FORMAT = "vicinal data store 1"
PHOTO_FORMAT = "vicinal photo store 1"  # see vicinal.data.photos.store
# Format → its files, and those of them whose bytes are content.
FORMS = {
    FORMAT: ("images.npy", "labels.npy", "splits.parquet"),
    PHOTO_FORMAT: ("photos.bin", "offsets.npy", "labels.npy", "sizes.npy", "splits.parquet"),
}
CONTENT = {FORMAT: ("images.npy", "labels.npy"), PHOTO_FORMAT: ("photos.bin", "offsets.npy", "labels.npy")}
SPLITS = ("train", "validation", "test")
# Files up to this size are checked whenever they are read, at about a second per GB; larger ones only by ``verify``.
CHECKED_BYTES = 1 << 30


class DataStore:
    """An opened store. Its files are checked against their checksums when they are read, unless they are very large.

    Args:
        directory: the folder, or a JSON file in it (its ``meta.json``, or a copy under another name).
        verify: check the SHA-256 of every file too, not only the sizes.

    Raises:
        VicinalError: the folder is no store, or a file of it is missing or has another size; reading a damaged file
            raises it too.
    """

    form: str = FORMAT

    def __init__(self, directory: Path | str, verify: bool = False) -> None:
        directory = Path(directory)
        self.directory = directory.parent if directory.suffix == ".json" else directory  # the folder
        self.meta: dict[str, Any] = read_meta(self.directory / META, self.form)  # the contents of ``meta.json``
        check_files(self.directory, self.meta, verify)

    @cached_property
    def images(self) -> np.ndarray:
        """All images, (N, H, W, C) uint8, memory-mapped and read-only."""
        return self._load("images.npy", (self.meta["images"], *self.meta["image_shape"]), np.uint8)

    @cached_property
    def labels(self) -> np.ndarray:
        """The labels of all images, (N,) int64."""
        labels = self._load("labels.npy", (self.meta["images"],), np.int64)
        return np.array(labels)

    @cached_property
    def splits(self) -> dict[str, np.ndarray]:
        """``train``, ``validation`` and ``test`` → sorted int64 positions in ``images``."""
        path = self._checked("splits.parquet")
        try:
            with pq.ParquetFile(path) as file:
                table = file.read(["split", "index"])
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, "not a readable Parquet file") from error
        # Not ``pq.read_table`` and ``to_numpy``, which import pandas: a third of a second that trainings need not wait.
        part, index = (np.array(table[name].to_pylist()) for name in ("split", "index"))
        splits = {name: np.sort(index[part == name]).astype(np.int64) for name in SPLITS}
        counts = {name: len(positions) for name, positions in splits.items()}
        if counts != self.meta["counts"] or index.min() < 0 or index.max() >= self.meta["images"]:
            raise damaged(path, f"{META} does not describe it")
        return splits

    @property
    def num_classes(self) -> int:
        """The number of classes; labels are 0 to ``num_classes`` - 1."""
        return len(self.meta["class_names"])

    @property
    def mean(self) -> np.ndarray:
        """Mean of all pixels / 255 of the source's whole training split by channel, (C,)."""
        return np.array(self.meta["mean"], dtype=np.float64)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of the same pixels by channel, (C,)."""
        return np.array(self.meta["std"], dtype=np.float64)

    @property
    def sha256(self) -> str:
        """The hash of all content: images, labels and splits."""
        return self.meta["sha256"]

    def _load(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        path = self._checked(name)
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise damaged(path, "not a NumPy array") from error
        if array.shape != shape or array.dtype != dtype:
            raise damaged(path, f"holds {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}")
        return array

    def _checked(self, name: str) -> Path:
        """Return the path of a file, once its checksum is checked, unless that takes long."""
        path, wanted = self.directory / name, self.meta["files"][name]
        if wanted["bytes"] <= CHECKED_BYTES:
            _check_sum(path, wanted)
        return path


def read_meta(path: Path, form: str | None = None) -> dict[str, Any]:
    """Return the ``meta.json`` of a store, perhaps of this form. Raises VicinalError: it is missing or no such file."""
    if not path.is_file():
        raise VicinalError(f"{path}: not there, so this is no whole data store: {_rebuild(path.parent)}")
    meta = files.read_json(path)
    if meta.get("format") not in ((form,) if form else FORMS):
        raise VicinalError(f'{path}: not that of a data store (format "{form or FORMAT}"): {_rebuild(path.parent)}')
    return meta


def check_files(directory: Path, meta: Mapping[str, Any], verify: bool) -> None:
    """Raise VicinalError if a file of a store is missing or of other size, with ``verify`` also if its SHA-256 is."""
    for name in FORMS[meta["format"]]:
        path, wanted = directory / name, meta["files"][name]
        if not path.is_file():
            raise damaged(path, "missing")
        size = path.stat().st_size
        if size != wanted["bytes"]:
            raise damaged(path, f"{size:,} bytes instead of {wanted['bytes']:,}")
        if verify:
            _check_sum(path, wanted)


def _check_sum(path: Path, wanted: Mapping[str, Any]) -> None:
    if files.sha256(path) != wanted["sha256"]:
        raise damaged(path, f"its SHA-256 is not the one in {META}")


def damaged(path: Path, fault: str) -> VicinalError:
    """Return the error for a damaged file of a store."""
    return VicinalError(f"{path}: {fault}: {_rebuild(path.parent)}")


def _rebuild(directory: Path) -> str:
    # The whole folder: while the declared record is there, the workflow takes the store for finished.
    return f"delete {directory} and run again to build the store anew"

"""Sources of photos: folders of image files, or Parquet files in the layout of the Hugging Face hub."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vicinal.data.photos.folders import PhotoFolder
from vicinal.data.photos.shards import PhotoParquet
from vicinal.errors import VicinalError


class PhotoSource(Protocol):
    """The photos of a source, numbered from 0: first its train, then its validation, then its test split."""

    counts: dict[str, int]  # split → number of photos; a test split without labels (as ImageNet's) is left out
    labels: np.ndarray  # (N,) int64 of all photos
    class_names: list[str] | None  # names by label, or None if the source has none
    notes: list[str]  # what a user should know of the source, a line each

    def name(self, number: int) -> str:
        """Return the name of a photo, its place in the source; always one line."""

    def read(self, numbers: np.ndarray) -> Iterator[bytes | Path | None]:
        """Yield the bytes or files of the photos with these ascending numbers, None for a missing one."""


def open_photos(spec: Mapping[str, Any], root: Path | str) -> PhotoSource:
    """Open the source of a photo spec. Raises VicinalError: files are missing, damaged or have changed."""
    folder = Path(root) / spec["name"]
    if spec["source"] == "parquet":
        return PhotoParquet(folder, spec.get("image_column"), spec.get("label_column"))
    source = PhotoFolder(folder)
    if source.digests != spec["files"]:
        raise VicinalError(f"{folder}: its files have changed since the run was planned: run again")
    return source

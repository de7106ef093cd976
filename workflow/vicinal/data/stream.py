"""What every reader returns: a stream of uint8 images and integer labels."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Chunk:
    """Consecutive images of one file."""

    split: str  # the source's split: train, validation or test
    file: str  # the file's name, for messages
    row: int  # of the first image in the file, from 0
    images: np.ndarray  # (B, H, W, C) uint8
    labels: np.ndarray  # (B,) int64

    def place(self, number: int) -> str:
        """Return where an image of the chunk comes from, for messages."""
        return f"{self.file}: row {self.row + number} (from 0)"


@dataclass(frozen=True)
class ImageSource:
    """An opened source."""

    counts: dict[str, int]  # split → number of images, in the order in which they are read
    class_names: list[str] | None  # names by label, or None if the source has none
    chunks: Iterator[Chunk]  # the stream, to be read once
    # What a user should know of the source, a line each; complete once the stream is read.
    notes: list[str] = field(default_factory=list)

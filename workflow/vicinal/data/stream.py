"""What every reader returns: a stream of uint8 images and integer labels."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Chunk:
    """Consecutive images of one file.

    Attributes:
        split: the source's split: train, validation or test.
        file: the file's name, for messages.
        row: of the first image in the file, from 0.
        images: (B, H, W, C) uint8.
        labels: (B,) int64.
    """

    split: str
    file: str
    row: int
    images: np.ndarray
    labels: np.ndarray

    def place(self, number: int) -> str:
        """Return where an image of the chunk comes from, for messages."""
        return f"{self.file}: row {self.row + number} (from 0)"


@dataclass(frozen=True)
class ImageSource:
    """An opened source.

    Attributes:
        counts: split → number of images, in the order in which they are read.
        class_names: names by label, or None if the source has none.
        chunks: the stream, to be read once.
        notes: what a user should know of the source, a line each; complete once the stream is read.
    """

    counts: dict[str, int]
    class_names: list[str] | None
    chunks: Iterator[Chunk]
    notes: list[str] = field(default_factory=list)

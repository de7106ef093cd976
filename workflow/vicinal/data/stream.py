"""What every reader yields: batches of uint8 images and integer labels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Batch:
    """Images that follow each other in one file of one split.

    Attributes:
        split: the source's split: train, validation or test.
        file: the file's name, for messages.
        row: row of the first image in that file, counted from 0.
        images: (B, H, W, C) uint8.
        labels: (B,) int64.
    """

    split: str
    file: str
    row: int
    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Source:
    """An opened source.

    Attributes:
        counts: split → number of images, in the order in which they are read.
        class_names: names by label, or None where the source has none.
        batches: the stream, to be read once.
    """

    counts: dict[str, int]
    class_names: list[str] | None
    batches: Iterator[Batch]

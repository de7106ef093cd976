"""Mean and standard deviation of the pixels of photos, by channel: published, or from a seeded sample."""

from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.photos.decode import decode
from vicinal.data.photos.ordered import available_cores, in_order
from vicinal.data.statistics import LEVELS, channel_histogram, histogram_statistics
from vicinal.jobs.progress import Progress

# As torchvision's documentation of its pretrained networks gives them.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SAMPLE = 5_000
_STREAM = 0x50484F544F  # sets this draw apart from others keyed by the same seed
_TASK = 16  # photos that a thread takes at a time


def photo_statistics(
    kind: str, path: Path, offsets: np.ndarray, train: np.ndarray, seed: int, talk: bool
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return mean and (population) standard deviation of pixel / 255 by channel, each (3,), and where they are from.

    Args:
        kind: ``imagenet`` for the published numbers, ``sample`` for those of up to ``SAMPLE`` training photos; there
            every pixel counts the same, and the order of summation cannot matter (they come from exact histograms).
        path: of all photos.
        offsets: where each begins in it, (N + 1,).
        train: positions of the training photos.
        seed: of the sample.
        talk: whether progress is shown.

    Raises:
        VicinalError: a channel is the same everywhere, so that it cannot be standardised.
    """
    if kind == "imagenet":
        return np.array(IMAGENET[0]), np.array(IMAGENET[1]), {"from": "published for ImageNet"}
    bits = np.random.Philox(key=np.array([seed, _STREAM], dtype=np.uint64)).random_raw(len(train))
    chosen = np.sort(train[np.argsort(bits, kind="stable")[:SAMPLE]])
    meter = Progress("statistics", len(chosen), "photos") if talk else None
    histogram, done = np.zeros((3, LEVELS), dtype=np.int64), 0
    tasks = ((path, offsets, chosen[start : start + _TASK]) for start in range(0, len(chosen), _TASK))
    cores = available_cores()
    for part in in_order(_histogram, tasks, cores, ahead=2 * cores):
        histogram += part
        done = min(done + _TASK, len(chosen))
        if meter:
            meter.update(done)
    mean, std = histogram_statistics(histogram, "photos")
    return mean, std, {"from": "training photos", "photos": len(chosen), "seed": seed}


def _histogram(path: Path, offsets: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return how often each channel has each value in some photos, (3, LEVELS) int64."""
    histogram = np.zeros((3, LEVELS), dtype=np.int64)
    with path.open("rb") as file:
        for position in positions.tolist():
            file.seek(int(offsets[position]))
            data = file.read(int(offsets[position + 1] - offsets[position]))
            histogram += channel_histogram(decode(bytearray(data)))
    return histogram

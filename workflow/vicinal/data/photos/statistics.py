"""Mean and standard deviation of the pixels of photos by channel: published ones, or those of a seeded sample."""

from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.photos.decode import decode
from vicinal.data.photos.ordered import available_cores, in_order
from vicinal.data.statistics import LEVELS, channel_histogram, histogram_statistics
from vicinal.jobs.progress import Progress

# From torchvision's documentation of its pretrained networks.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SAMPLE = 5_000
_STREAM = 0x50484F544F  # makes this draw independent of others with the same seed
_TASK = 16  # photos that a thread takes at a time


def photo_statistics(
    name: str, path: Path, offsets: np.ndarray, train: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return mean and (population) standard deviation of pixel / 255 by channel, each (3,), and their origin.

    Args:
        name: of the data set. ``imagenet`` has published numbers; otherwise they are those of all pixels of up to
            ``SAMPLE`` training photos, from exact histograms.
        offsets: where each photo begins, (N + 1,).
        seed: of the sample.

    Raises:
        VicinalError: see ``histogram_statistics``.
    """
    if name == "imagenet":
        return np.array(IMAGENET[0]), np.array(IMAGENET[1]), {"from": "published for ImageNet"}
    bits = np.random.Philox(key=np.array([seed, _STREAM], dtype=np.uint64)).random_raw(len(train))
    chosen = np.sort(train[np.argsort(bits, kind="stable")[:SAMPLE]])
    progress = Progress("statistics", len(chosen), "photos")
    histogram, done = np.zeros((3, LEVELS), dtype=np.int64), 0
    tasks = ((path, offsets, chosen[start : start + _TASK]) for start in range(0, len(chosen), _TASK))
    cores = available_cores()
    for part in in_order(_histogram, tasks, cores, ahead=2 * cores):
        histogram += part
        done = min(done + _TASK, len(chosen))
        progress.update(done)
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

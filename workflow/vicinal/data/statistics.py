"""Mean and standard deviation of pixels by channel, from exact histograms: the order of sums does not matter."""

import numpy as np

from vicinal.data import sources
from vicinal.errors import VicinalError

LEVELS = 256


def channel_statistics(images: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and (population) standard deviation of pixel / 255 by channel, each (C,).

    Args:
        images: (N, H, W, C) uint8.
        positions: of the images that count.

    Raises:
        VicinalError: a channel has one value only, so it cannot be standardised.
    """
    histogram = np.zeros((images.shape[-1], LEVELS), dtype=np.int64)
    for start in range(0, len(positions), sources.BATCH):
        histogram += channel_histogram(images[positions[start : start + sources.BATCH]])
    return histogram_statistics(histogram, "images")


def channel_histogram(pixels: np.ndarray) -> np.ndarray:
    """Return how often each value occurs in each channel of pixels (..., C) uint8, (C, LEVELS) int64."""
    channels = np.moveaxis(pixels, -1, 0)
    return np.stack([np.bincount(channel.ravel(), minlength=LEVELS) for channel in channels])


def histogram_statistics(histogram: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and (population) standard deviation of pixel / 255 by channel, each (C,), from (C, LEVELS) counts.

    Raises:
        VicinalError: a channel of ``what`` (images, photos) has one value only.
    """
    values = np.arange(LEVELS) / (LEVELS - 1)
    weights = histogram / histogram.sum(axis=1, keepdims=True)
    mean = weights @ values
    std = np.sqrt((weights * (values - mean[:, np.newaxis]) ** 2).sum(axis=1))
    if not std.all():
        raise VicinalError(f"channel {np.argmin(std)} of all training {what} has one value only")
    return mean, std

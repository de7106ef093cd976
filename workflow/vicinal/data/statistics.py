"""Mean and standard deviation of pixels by channel, from exact histograms: the order of sums does not matter."""

import numpy as np

from vicinal.data import sources
from vicinal.errors import VicinalError

LEVELS = 256
CONSTANT = 1.0  # no channel of pixels / 255 has a standard deviation above 1 / 2


def channel_statistics(images: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and (population) sd of pixel / 255 by channel, each (C,), of some images (N, H, W, C) uint8."""
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

    A channel with one value only has the standard deviation ``CONSTANT``: it becomes 0 everywhere and tells nothing.
    Raises VicinalError: all channels of ``what`` (images, photos) have one value only.
    """
    values = np.arange(LEVELS) / (LEVELS - 1)
    weights = histogram / histogram.sum(axis=1, keepdims=True)
    mean = weights @ values
    std = np.sqrt((weights * (values - mean[:, np.newaxis]) ** 2).sum(axis=1))
    if not std.any():
        raise VicinalError(f"all training {what} are of one colour: there is nothing to learn from them")
    std[std == 0] = CONSTANT
    return mean, std


def constant_notes(std: np.ndarray) -> list[str]:
    """Return what to say of channels with one value only, a line each."""
    return [
        f"channel {channel} has one value in all training images, so it tells nothing"
        for channel in np.flatnonzero(std == CONSTANT)
    ]

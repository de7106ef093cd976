"""Seeded, stratified splits.

Every draw comes from the raw 64-bit words of the counter-based generator Philox4x64-10 (Salmon et al., *Parallel random
numbers: as easy as 1, 2, 3*, 2011). NumPy guarantees their values, unlike those of its shuffles, so a split is the same
on every machine and with every version of NumPy.
"""

from collections.abc import Mapping

import numpy as np

from vicinal.errors import VicinalError

# One stream of random words for each kind of draw, so that a change of one draw leaves the others as they are.
_HOLD_OUT, _VALIDATION, _LIMIT_TRAIN, _LIMIT_TEST, _LIMIT_VALIDATION, _SUBSET = range(6)


def stratified_counts(available: np.ndarray, size: int, keys: np.ndarray, least: int = 0, left: int = 0) -> np.ndarray:
    """Return how many images of each class a subset of ``size`` takes: largest-remainder allocation.

    Shares are proportional to ``available`` (K,), rounded down or up, so that classes of one size differ by at most
    one. ``keys`` (K,) decides between equal remainders. If the size allows it, each class gives ``least`` images and
    keeps ``left``; what other classes give for that, or take over, is proportional to what they have beyond.
    """
    total = int(available.sum())
    if not 0 <= size <= total:
        raise ValueError(f"size {size} is not within 0 to {total}")
    counts = size * available // max(total, 1)
    remainders = size * available % max(total, 1)
    first = np.lexsort((keys, -remainders))[: size - int(counts.sum())]
    counts[first] += 1
    low, high = np.minimum(available, least), np.maximum(available - left, 0)
    if not low.sum() <= size <= high.sum() or (low > high).any():
        return counts
    bounded = np.clip(counts, low, high)
    missing = size - int(bounded.sum())
    if missing > 0:
        bounded += stratified_counts(high - bounded, missing, keys)
    elif missing < 0:
        bounded -= stratified_counts(bounded - low, -missing, keys)
    return bounded


def stratified_split(
    labels: np.ndarray, sizes: Mapping[str, int], seed: int, stream: int = 0, least: int = 0, left: int = 0
) -> dict[str, np.ndarray]:
    """Draw disjoint stratified parts of the given sizes: part → sorted int64 positions in ``labels``.

    Labels are (N,) integers from 0, seeds 0 to 2⁶⁴ − 1; draws of one seed from different streams are independent. For
    ``least`` and ``left`` see ``stratified_counts``. Raises ValueError: the sizes add up to more than N, or one is
    negative.
    """
    labels = np.asarray(labels, dtype=np.int64)
    available = np.bincount(labels)
    generator = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64))
    keys = generator.random_raw(labels.size + available.size)
    order = np.lexsort((keys[: labels.size], labels))
    starts = np.cumsum(available) - available
    rank = np.empty_like(labels)  # place of each image in the random order of its class
    rank[order] = np.arange(labels.size) - np.repeat(starts, available)
    taken = np.zeros_like(available)
    parts = {}
    for part, size in sizes.items():
        counts = stratified_counts(available - taken, size, keys[labels.size :], least, left)
        wanted = (rank >= taken[labels]) & (rank < (taken + counts)[labels])
        parts[part] = np.flatnonzero(wanted).astype(np.int64)
        taken += counts
    return parts


def positions_by_split(counts: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return the positions of each of a source's splits, which follow each other, as int64."""
    starts = np.cumsum([0, *counts.values()]).tolist()
    return {
        split: np.arange(start, start + count, dtype=np.int64)
        for (split, count), start in zip(counts.items(), starts, strict=False)
    }


def hold_out_test(labels: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (train, test) positions for a source that has no test split of its own."""
    test = stratified_split(labels, {"test": size}, seed, _HOLD_OUT, left=1)["test"]
    return np.setdiff1d(np.arange(len(labels), dtype=np.int64), test), test


def make_splits(
    labels: np.ndarray,
    source: Mapping[str, np.ndarray],
    *,
    seed: int,
    validation: float | None = None,
    limit_train: int | None = None,
    limit_test: int | None = None,
    subset_seed: int | None = None,
    default_validation: float = 0.1,
    default_train: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the train, validation and test positions of a data set.

    The train split keeps an image of each class, if the sizes allow it.

    Args:
        labels: (N,) of all images.
        source: the source's own splits: ``train``, ``test`` and perhaps ``validation`` → positions.
        seed: seeds every draw.
        validation: images cut from the train split: a count (≥ 1) or a share of it (< 1). None: the source's own
            validation split if there is one, else ``default_validation``.
        limit_train: size of a stratified subset of the rest of the train split. None: ``default_train``, or all if that
            is None or fewer are left.
        limit_test: size of a stratified subset of the test split, and largest size of the validation part.
        subset_seed: draws the subset of ``limit_train``, so that each replicate has its own; None: ``seed`` does.
        default_validation: see ``validation``.
        default_train: see ``limit_train``.

    Returns:
        ``train``, ``validation``, ``test`` → sorted int64 positions in ``labels``.

    Raises:
        VicinalError: a size is not valid or too large, or a class has no training image left.
    """
    train, test = np.asarray(source["train"]), np.asarray(source["test"])
    if validation is None and "validation" in source:
        held = np.asarray(source["validation"])
    else:
        size = validation_size(default_validation if validation is None else validation, len(train))
        held = _subset(labels, train, size, seed, _VALIDATION, left=1)
        train = np.setdiff1d(train, held)
    if limit_train is None and default_train is not None:
        limit_train = min(default_train, len(train))
    if limit_train is not None:
        size = _count("data.limit_train", limit_train, len(train), "left to train on")
        drawn_by = (seed, _LIMIT_TRAIN) if subset_seed is None else (subset_seed, _SUBSET)
        train = _subset(labels, train, size, *drawn_by, least=1)
    if limit_test is not None:
        size = _count("data.limit_test", limit_test, len(test), "in the test split")
        test = _subset(labels, test, size, seed, _LIMIT_TEST)
        held = _subset(labels, held, min(size, len(held)), seed, _LIMIT_VALIDATION)
    present = np.bincount(labels[train], minlength=int(labels.max()) + 1)
    if not present.all():
        field = "data.validation" if limit_train is None else "data.limit_train"
        raise VicinalError(
            f"{field}: class {int(np.argmin(present))} has no training image left "
            f"({len(train)} images for {len(present)} classes): leave more to train on"
        )
    for split, part in (("train", train), ("test", test)):
        _check_pairs(split, np.bincount(labels[part]))
    return {"train": train, "validation": held, "test": test}


def _check_pairs(split: str, counts: np.ndarray) -> None:
    """Raise VicinalError unless a split, by its images of each class, has pairs of one class and of two."""
    if (counts > 0).sum() < 2:
        fault = "all images are of one class, and pairs of two classes are wanted: add images of another"
    elif counts.max() < 2:
        fault = f"no class has two images, and pairs of one class are wanted: add images, or raise data.limit_{split}"
    else:
        return
    raise VicinalError(f"the {split} split cannot show what happens between images: {fault}")


def _subset(
    labels: np.ndarray, positions: np.ndarray, size: int, seed: int, stream: int, least: int = 0, left: int = 0
) -> np.ndarray:
    part = stratified_split(labels[positions], {"part": size}, seed, stream, least, left)["part"]
    return np.sort(positions[part]).astype(np.int64)


def validation_size(validation: float, available: int, split: str = "train") -> int:
    """Return the number of validation images of a count (≥ 1) or a share (< 1) of a split, which keeps one image.

    Raises VicinalError: it is neither, or too large.
    """
    if validation >= 1:
        return _count("data.validation", validation, available - 1, f"in the {split} split less one")
    size = round(validation * available)
    if size < 1:
        raise VicinalError(
            f"data.validation: {validation} of the {available} images in the {split} split is none: set a count (≥ 1) "
            "or a larger share (below 1)"
        )
    return min(size, available - 1)


def _count(field: str, value: float, high: int, what: str) -> int:
    """Return ``value`` as an int. Raises VicinalError: it is not a whole number from 1 to ``high``."""
    if value < 1 or value != int(value):
        raise VicinalError(f"{field}: {value} is not a whole number from 1")
    if value > high:
        raise VicinalError(f"{field}: {value} is more than the {high} images {what}")
    return int(value)

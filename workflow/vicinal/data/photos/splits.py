"""Which photos of a source are trained on, validated on and tested on."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vicinal.data.catalogue import OTHER_VALIDATION
from vicinal.data.photos.sources import PhotoSource
from vicinal.data.split import hold_out_test, make_splits
from vicinal.errors import VicinalError

# ImageNet: of the 50,000 published validation photos so many are validation, the others test.
IMAGENET_VALIDATION = 10_000


def photo_splits(source: PhotoSource, spec: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the photos of each split, ``train``, ``validation`` and ``test`` → sorted int64 numbers in the source.

    Where the source has one held-out split only, whatever its name, that is the test split and ``validation`` photos
    are cut from the train split, as in ``split.make_splits``; with ``validation_from: test`` they are cut from it, and
    the test split is what is left. All draws are stratified and seeded.

    Args:
        source: of the photos.
        spec: ``validation`` (a count, or a share below 1; 0.1, for imagenet 10,000), ``validation_from`` (``train``,
            for imagenet ``test``), ``split_seed`` (0), ``limit_train``, ``limit_test``.

    Raises:
        VicinalError: a field is wrong, or a label is none of the classes.
    """
    _check_labels(source)
    ends = np.cumsum(list(source.counts.values())).tolist()
    given = {
        split: np.arange(end - count, end, dtype=np.int64)
        for (split, count), end in zip(source.counts.items(), ends, strict=True)
    }
    if empty := [split for split, part in given.items() if not len(part)]:
        raise VicinalError(f"the {empty[0]} split of the source has no photo")
    if "test" not in given:
        given["test"] = given.pop("validation")
    imagenet = spec["name"] == "imagenet"
    validation, seed = spec.get("validation"), spec.get("split_seed", 0)
    origin = spec.get("validation_from", "test" if imagenet else "train")
    if origin not in ("train", "test"):
        raise VicinalError(f"data.validation_from: {origin!r} is neither train nor test")
    if origin == "test" and "validation" not in given:
        size = _size(IMAGENET_VALIDATION if validation is None and imagenet else validation, len(given["test"]))
        rest, held = hold_out_test(source.labels[given["test"]], size, seed)
        given["validation"], given["test"], validation = given["test"][held], given["test"][rest], None
    return make_splits(
        source.labels,
        given,
        seed=seed,
        validation=validation,
        limit_train=spec.get("limit_train"),
        limit_test=spec.get("limit_test"),
        default_validation=OTHER_VALIDATION,
    )


def _check_labels(source: PhotoSource) -> None:
    names, labels = source.class_names, source.labels
    # Labels without names may be anything: do not make a class of each of two thousand million of them.
    high = len(names) - 1 if names else len(labels) - 1
    wrong = np.flatnonzero((labels < 0) | (labels > high))
    if len(wrong):
        valid = f"0 to {high}, one of its {len(names)} class names" if names else "0, 1, 2, ... without gaps"
        raise VicinalError(f"{source.name(int(wrong[0]))}: label {labels[wrong[0]]} is not {valid}")
    if len(np.unique(labels)) < 2:
        raise VicinalError("the data set has one class only: it takes two or more")


def _size(validation: float | None, available: int) -> int:
    """Return the number of photos that a count or a share of the held-out split means."""
    wanted = OTHER_VALIDATION if validation is None else validation
    size = round(wanted * available) if wanted < 1 else int(wanted)
    if not 1 <= size < available or (wanted >= 1 and size != wanted):
        raise VicinalError(
            f"data.validation: {wanted} is neither a share nor a count of the {available} held-out photos that leaves "
            "some of them to test on"
        )
    return size

"""Which photos of a source are trained on, validated on and tested on."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vicinal.data.catalogue import OTHER_VALIDATION
from vicinal.data.photos.sources import PhotoSource
from vicinal.data.prepare import check_labels
from vicinal.data.split import hold_out_test, make_splits, positions_by_split, validation_size
from vicinal.errors import VicinalError

# ImageNet: this many of the 50,000 published validation photos are for validation, the others for testing.
IMAGENET_VALIDATION = 10_000


def photo_splits(source: PhotoSource, spec: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the photos of each split, ``train``, ``validation`` and ``test`` → sorted int64 numbers in the source.

    If the source has only one held-out split, whatever its name, that is the test split. ``validation`` photos are then
    cut from the train split, as in ``split.make_splits``; for the data set imagenet they are cut from the test split.
    All draws are stratified and seeded.

    Args:
        spec: ``name``, ``validation`` (a count, or a share below 1; by default 0.1, for imagenet 10,000 photos),
            ``split_seed`` (0), ``limit_train``, ``limit_test``.

    Raises:
        VicinalError: a field is wrong, or a label is not that of a class.
    """
    check_labels(source.labels, source.class_names, len(source.labels), source.name)
    given = positions_by_split(source.counts)
    if empty := [split for split, part in given.items() if not len(part)]:
        raise VicinalError(f"the {empty[0]} split of the source has no photo")
    if "test" not in given:
        given["test"] = given.pop("validation")
    validation, seed = spec.get("validation"), spec.get("split_seed", 0)
    if spec["name"] == "imagenet" and "validation" not in given:
        wanted = IMAGENET_VALIDATION if validation is None else validation
        size = validation_size(wanted, len(given["test"]), "test")
        rest, held = hold_out_test(source.labels[given["test"]], size, seed)
        given["validation"], given["test"], validation = given["test"][held], given["test"][rest], None
    return make_splits(
        source.labels,
        given,
        seed=seed,
        validation=validation,
        limit_train=spec.get("limit_train"),
        limit_test=spec.get("limit_test"),
        subset_seed=spec.get("subset_seed"),
        default_validation=OTHER_VALIDATION,
    )

"""Images that are in two splits: a model has seen the answer to what it is measured by."""

import hashlib
from collections.abc import Mapping

import numpy as np


def digest(image: bytes) -> int:
    """Return 64 bits that tell images apart: of their pixels, or of their encoded bytes."""
    return int.from_bytes(hashlib.blake2b(image, digest_size=8).digest(), "little")


def equal_images(digests: np.ndarray, splits: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return how many test and validation images equal a training image; ``digests``: of all images, (N,) uint64."""
    seen = digests[splits["train"]]
    return {split: int(np.isin(digests[splits[split]], seen).sum()) for split in ("test", "validation")}


def equality_notes(counts: Mapping[str, int], splits: Mapping[str, np.ndarray]) -> list[str]:
    """Return what to say of these counts, a line for each split that has such images."""
    return [
        f"{split} images that equal a training image: {n:,} of {len(splits[split]):,} (models may know them by heart)"
        for split, n in counts.items()
        if n
    ]

"""Where photos are cropped: random resized crops for training, the central crop for evaluation. Pure functions.

They do the same as torchvision's ``RandomResizedCrop``, ``Resize`` and ``CenterCrop``. The random choices come from
Philox, keyed by seed and epoch like those of ``training.batch_plan``, each kind from its own part of the counter.
"""

import numpy as np

# First of TRIES parts of the counter of each kind; those below 16 belong to vicinal.training.batch_plan.
AREA, RATIO, TOP, LEFT = 16, 32, 48, 64
TRIES = 10

# Ranges of the share of a photo's area and of width to height of crops (Szegedy et al. 2015, section 6).
AREA_SHARE = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)


def random_boxes(
    sizes: np.ndarray,
    *,
    seed: int,
    epoch: int,
    area: tuple[float, float] = AREA_SHARE,
    aspect: tuple[float, float] = ASPECT,
) -> np.ndarray:
    """Return the random crops of one epoch, (n, 4) int64: top, left, height, width in pixels.

    The crop's share of the area, the logarithm of its width to height, and its place are uniform. A crop that does not
    fit into the photo is drawn again, up to ``TRIES`` times in all; the random numbers of a try do not depend on the
    tries of other photos. If none fits, it is the largest central crop within the limits of ``aspect``. This is the
    distribution of torchvision's ``RandomResizedCrop``.

    Args:
        sizes: (n, 2) height and width of the photos, in the order of training.
        seed: of the replicate, 0 ≤ seed < 2**63.
        epoch: from 0.
        area: least and largest share of the photo's area.
        aspect: least and largest width to height.
    """
    boxes = central_boxes(sizes, aspect)
    waiting = np.arange(len(sizes))
    for attempt in range(TRIES):
        share, ratio, top, left = (
            np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, kind + attempt]).random_raw(len(sizes))[waiting]
            for kind in (AREA, RATIO, TOP, LEFT)
        )
        full = sizes[waiting].astype(np.int64)
        target = full.prod(axis=1) * (area[0] + (area[1] - area[0]) * _uniform(share))
        low, high = np.log(aspect)
        ratio = np.exp(low + (high - low) * _uniform(ratio))
        extent = np.rint(np.sqrt(np.stack([target / ratio, target * ratio], axis=1))).astype(np.int64)
        fits = ((extent > 0) & (extent <= full)).all(axis=1)
        places = (full - extent + 1)[fits]
        corner = np.stack([_integers(top[fits], places[:, 0]), _integers(left[fits], places[:, 1])], axis=1)
        boxes[waiting[fits]] = np.concatenate([corner, extent[fits]], axis=1)
        waiting = waiting[~fits]
        if not len(waiting):
            break
    return boxes


def central_boxes(sizes: np.ndarray, aspect: tuple[float, float]) -> np.ndarray:
    """Return the largest central crop of each photo whose width to height is within ``aspect``, (n, 4) int64."""
    height, width = sizes[:, 0].astype(np.int64), sizes[:, 1].astype(np.int64)
    ratio = width / height
    h = np.where(ratio < aspect[0], np.rint(width / aspect[0]), height).astype(np.int64)
    w = np.where(ratio > aspect[1], np.rint(height * aspect[1]), width).astype(np.int64)
    return np.stack([(height - h) // 2, (width - w) // 2, h, w], axis=1)


def resized_shape(height: int, width: int, shorter_side: int) -> tuple[int, int]:
    """Return (height, width) of a photo resized so that its shorter side is ``shorter_side``, as torchvision does."""
    longer_side = shorter_side * max(height, width) // min(height, width)
    return (shorter_side, longer_side) if height <= width else (longer_side, shorter_side)


def evaluation_side(size: int) -> int:
    """Return the shorter side to which photos are resized before the central crop of ``size``: 256 for 224."""
    return round(size * 256 / 224)


def central_corner(height: int, width: int, size: int) -> tuple[int, int]:
    """Return (top, left) of the central crop of ``size`` × ``size`` pixels, as torchvision's ``CenterCrop``."""
    return round((height - size) / 2), round((width - size) / 2)


def _uniform(bits: np.ndarray) -> np.ndarray:
    """Return numbers in [0, 1) from the upper 53 bits."""
    return (bits >> np.uint64(11)) * 2.0**-53


def _integers(bits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return integers in [0, counts) from the upper 32 bits (Lemire's multiply and shift)."""
    return (((bits >> np.uint64(32)) * counts.astype(np.uint64)) >> np.uint64(32)).astype(np.int64)

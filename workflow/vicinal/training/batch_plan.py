"""The batch plan: every random choice about the inputs of one epoch, made on the host before it starts.

All choices come from numpy's counter-based generator Philox, keyed by seed and epoch: from its raw bits, which are the
same in all versions of numpy. So a training sees the same batches on CPU and GPU, resumed or uninterrupted, alone or in
a cohort, and the choices of one kind do not depend on how many another kind takes.
"""

from typing import NamedTuple

import numpy as np

# Each kind of choice has its own part of the counter.
ORDER, PARTNER, LAM, ROW, COLUMN, FLIP = range(6)


class BatchPlan(NamedTuple):
    """The choices for one epoch of n images, in the order of training; batches are consecutive slices.

    Attributes:
        order: (n,) int64, which training image.
        partner: (n,) int64, the position within the same batch of the image it is mixed with.
        lam: (n,) float32 in [0, 1], the weight of the image itself; 1 without mixup.
        row, column: (n,) int64, upper left corner of the crop in the padded image, in pixels.
        flip: (n,) bool, whether the image is mirrored.
        bounds: the batches' (start, stop).
    """

    order: np.ndarray
    partner: np.ndarray
    lam: np.ndarray
    row: np.ndarray
    column: np.ndarray
    flip: np.ndarray
    bounds: list[tuple[int, int]]


def batch_bounds(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Return the (start, stop) of the batches of an epoch; a last batch of one is dropped (batch norm needs two)."""
    bounds = [(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    return [(start, stop) for start, stop in bounds if stop - start > 1]


def batch_plan(
    n: int, batch_size: int, *, seed: int, epoch: int, alpha: float | None, crop_padding: int, flip: bool
) -> BatchPlan:
    """Make the batch plan of one epoch.

    Args:
        n: number of training images.
        batch_size: images a batch; the last one may be smaller.
        seed: of the replicate, 0 ≤ seed < 2**63.
        epoch: from 0.
        alpha: of Beta(α, α), from which λ is drawn for each image; None: no mixup. With the same seed, the λ of
            different α are quantiles of the same uniform numbers.
        crop_padding: pixels of padding around the image before the crop; 0: no crop.
        flip: whether half of the images, drawn at random, are mirrored.
    """

    def bits(kind: int) -> np.ndarray:
        return np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, kind]).random_raw(n)

    bounds = batch_bounds(n, batch_size)
    partner = np.zeros(n, dtype=np.int64)
    partner_bits = bits(PARTNER)
    for start, stop in bounds:
        partner[start:stop] = np.argsort(partner_bits[start:stop], kind="stable")
    offsets = 2 * crop_padding + 1
    return BatchPlan(
        order=np.argsort(bits(ORDER), kind="stable"),
        partner=partner,
        lam=np.ones(n, dtype=np.float32) if alpha is None else _beta(bits(LAM), alpha),
        row=_integers(bits(ROW), offsets),
        column=_integers(bits(COLUMN), offsets),
        flip=(bits(FLIP) >> np.uint64(63)).astype(bool) if flip else np.zeros(n, dtype=bool),
        bounds=bounds,
    )


def _integers(bits: np.ndarray, count: int) -> np.ndarray:
    """Return integers in [0, count) from the upper 32 bits (Lemire's multiply and shift)."""
    return (((bits >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)).astype(np.int64)


def _beta(bits: np.ndarray, alpha: float) -> np.ndarray:
    """Return Beta(α, α) numbers by inversion of uniform numbers, which do not depend on α."""
    uniform = (bits >> np.uint64(11)) * 2.0**-53
    if alpha != 1:
        from scipy.special import betaincinv  # slow to import

        uniform = betaincinv(alpha, alpha, uniform)
    return uniform.astype(np.float32)

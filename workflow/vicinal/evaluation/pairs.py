"""Vicinal pairs: the fixed list of (i, j, λ) on which every model's linearity between inputs is measured."""

from dataclasses import dataclass

import numpy as np

from vicinal.errors import VicinalError

# Second word of the generator's key: no other stream of the same seed has it.
_STREAM = 0x5041495253


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of images and their mixing weight: x̃ = λ·x_i + (1−λ)·x_j, all fields of shape (count,).

    ``i`` and ``j`` are int64 positions in the data set the pairs were drawn for, ``lam`` is float64 in (0, 1).
    """

    i: np.ndarray
    j: np.ndarray
    lam: np.ndarray

    def __len__(self) -> int:
        return len(self.lam)


def vicinal_pairs(labels: np.ndarray, count: int, seed: int, same_class: float = 0.1) -> Pairs:
    """Return ``count`` pairs of images (i, j), i ≠ j, with λ ~ U(0, 1), for a data set with ``labels`` (n,).

    A share ``same_class`` of them (rounded, halves up; spread evenly over the list) are images of one class, the others
    images of different classes. Within each kind every ordered pair of images is equally likely, drawn with
    replacement. The list depends on the arguments alone: it is made from the raw 64-bit output of Philox, which is the
    same in all versions of NumPy; the methods of ``Generator`` are not.

    Raises VicinalError: no pair of a wanted kind exists (only one class, or no class with two images).
    """
    raw = np.random.Philox(key=np.array([seed, _STREAM], dtype=np.uint64)).random_raw(2 * count)
    same_count = int(same_class * count + 0.5)
    steps = np.arange(count + 1, dtype=np.int64) * same_count // count
    same = np.diff(steps) == 1

    i, j = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    blocks = _Blocks(labels)
    for kind, chosen in (("same-class", same), ("different-class", ~same)):
        if chosen.any():
            i[chosen], j[chosen] = blocks.draw(kind, raw[:count][chosen])
    # 52 bits and a half: never 0 or 1, and exact in float64.
    lam = ((raw[count:] >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return Pairs(i=i, j=j, lam=lam)


class _Blocks:
    """The images sorted by class, so that the images of one class are a block [start, start + size)."""

    def __init__(self, labels: np.ndarray) -> None:
        self.order = np.argsort(labels, kind="stable")
        sizes = np.unique(labels, return_counts=True)[1]
        self.size = np.repeat(sizes, sizes)
        self.start = np.repeat(np.cumsum(sizes) - sizes, sizes)

    def draw(self, kind: str, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images (i, j) of the ordered pair of that kind whose rank is ``raw`` modulo their number."""
        same = kind == "same-class"
        partners = self.size - 1 if same else len(self.order) - self.size
        ends = np.cumsum(partners)
        if len(ends) == 0 or ends[-1] == 0:
            why = "no class has two images" if same else "there are not two classes"
            wrong = f"{len(self.order)} images: {why}"
            raise VicinalError(f"pairs: {kind} pairs are wanted, but none exist among {wrong}")
        # The bias of the remainder is below 1e-8 for up to 400,000 images, 1e-6 for 4 million.
        rank = (raw % np.uint64(ends[-1])).astype(np.int64)
        first = np.searchsorted(ends, rank, side="right")
        second = rank - (ends[first] - partners[first])
        if same:
            second += self.start[first]
            second += second >= first
        else:
            second += np.where(second >= self.start[first], self.size[first], 0)
        return self.order[first], self.order[second]

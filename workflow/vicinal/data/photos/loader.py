"""Batches of decoded photos, in order, decoded ahead of time in threads."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from vicinal.data.photos.decode import decode, evaluation_pixels, training_pixels
from vicinal.data.photos.ordered import available_cores, in_order
from vicinal.data.photos.store import PhotoStore
from vicinal.data.store import damaged

AHEAD = 3  # batches that are started before they are needed
_TASK = 8  # photos that a thread takes at a time


def photo_batches(
    store: PhotoStore,
    positions: np.ndarray,
    bounds: Sequence[tuple[int, int]],
    size: int,
    *,
    boxes: np.ndarray | None = None,
    threads: int | None = None,
    pinned: bool = False,
) -> Iterator[torch.Tensor]:
    """Yield the photos of each batch as (B, size, size, 3) uint8; the number of threads does not change them.

    Args:
        positions: (n,) of the photos in the store, in the order of the batches.
        bounds: the batches' (start, stop) in ``positions``.
        boxes: (n, 4) top, left, height, width of each crop, from ``crops.random_boxes``; None: ``evaluation_pixels``.
        threads: that decode; None: one for each core that this process may use.

    Raises:
        VicinalError: the store is damaged.
    """
    threads = threads or available_cores()

    def tasks() -> Iterator[tuple[torch.Tensor, int, int, int, bool]]:
        for start, stop in bounds:
            batch = torch.empty(stop - start, size, size, 3, dtype=torch.uint8, pin_memory=pinned)
            for first in range(start, stop, _TASK):
                last = min(first + _TASK, stop)
                yield batch, start, first, last, last == stop

    def work(batch: torch.Tensor, start: int, first: int, last: int, complete: bool) -> torch.Tensor | None:
        pixels = batch.numpy()
        for row in range(first, last):
            photo = read_photo(store, int(positions[row]))
            box = None if boxes is None else boxes[row]
            pixels[row - start] = evaluation_pixels(photo, size) if box is None else training_pixels(photo, box, size)
        return batch if complete else None

    longest = max((stop - start for start, stop in bounds), default=0)
    ahead = max(AHEAD * -(-longest // _TASK), threads)
    # The last task of a batch returns it, complete, since results come in order.
    yield from (batch for batch in in_order(work, tasks(), threads, ahead) if batch is not None)


def read_photo(store: PhotoStore, position: int) -> np.ndarray:
    """Return the pixels of a photo, (H, W, 3) uint8. Raises VicinalError: it is damaged, or of another size."""
    try:
        pixels = decode(store.read(position))
    except (RuntimeError, ValueError) as error:
        raise damaged(store.directory / "photos.bin", f"photo {position} cannot be decoded") from error
    if pixels.shape[:2] != tuple(store.sizes[position].tolist()):
        raise damaged(store.directory / "photos.bin", f"photo {position} has another size than in sizes.npy")
    return pixels

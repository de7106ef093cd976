"""Photos as inputs of the networks, decoded as they are needed; ``inputs.Images`` is for data that fit into memory."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from vicinal.data.photos.crops import random_boxes
from vicinal.data.photos.loader import photo_batches
from vicinal.data.photos.store import PhotoStore
from vicinal.training.batch_plan import BatchPlan
from vicinal.training.inputs import EpochTables, MixedBatch, Split, as_input, mixed_batch

EVALUATION_BATCH = 256


class Photos(Split):
    """The photos of one split: decoded on the host as they are needed; normalised, flipped and mixed on a device.

    Args:
        store: the data set.
        split: train, validation or test.
        device: where the inputs go.
        size: pixels of a side of the inputs.
        threads: that decode; None: one for each core that this process may use.
    """

    channels, window = 3, None

    def __init__(
        self, store: PhotoStore, split: str, device: torch.device, *, size: int = 224, threads: int | None = None
    ) -> None:
        super().__init__(store, split, device)
        self.store, self.size, self.threads = store, size, threads

    @property
    def side(self) -> int:
        """Return the height of what the networks see, in pixels."""
        return self.size

    def clean(self, index: torch.Tensor | slice) -> torch.Tensor:
        """Return the centres of photos, normalised: (N, 3, size, size) float32."""
        index = index if isinstance(index, slice) else index.cpu().numpy()
        positions = self.positions[index]
        none = torch.empty(0, self.size, self.size, self.channels, dtype=torch.uint8, device=self.device)
        pixels = next(self._decoded(positions, [(0, len(positions))]), none)
        return as_input(self.normalised(pixels))

    def clean_batches(self, batch_size: int = EVALUATION_BATCH) -> Iterator[torch.Tensor]:
        """Yield the centres of all photos in order, as ``clean`` does; the next batches are decoded meanwhile."""
        bounds = [(start, min(start + batch_size, len(self))) for start in range(0, len(self), batch_size)]
        for pixels in self._decoded(self.positions, bounds):
            yield as_input(self.normalised(pixels))

    def pixels(self, plan: BatchPlan, *, seed: int, epoch: int, first: int = 0) -> Iterator[torch.Tensor]:
        """Yield random resized crops for each batch of an epoch, (B, size, size, 3) uint8 on the device, not flipped.

        The next batches are decoded meanwhile.

        Args:
            plan: for as many images as there are photos.
            seed: of the replicate; with the epoch it determines the crops.
            epoch: from 0.
            first: the batch to begin with.
        """
        positions = self.positions[plan.order]
        boxes = random_boxes(self.store.sizes[positions], seed=seed, epoch=epoch)
        return self._decoded(positions, plan.bounds[first:], boxes)

    def batch(self, pixels: torch.Tensor, tables: EpochTables, here: torch.Tensor | slice, mixed: bool) -> MixedBatch:
        """Return a batch made from its photos on the device: flipped, normalised, and mixed if ``mixed``.

        Args:
            pixels: as ``pixels`` yields them.
            tables: the plan of the epoch, on the device.
            here: the batch's positions in the epoch.
            mixed: whether the inputs are mixed with their partners.
        """
        inputs = self.normalised(torch.where(tables.flip[here][:, None, None, None], pixels.flip(2), pixels))
        return mixed_batch(inputs, self.labels[tables.order[here]], tables, here, mixed)

    def _decoded(
        self, positions: np.ndarray, bounds: Sequence[tuple[int, int]], boxes: np.ndarray | None = None
    ) -> Iterator[torch.Tensor]:
        """Yield the pixels of batches, (B, size, size, 3) uint8 on the device."""
        pinned = self.device.type == "cuda"
        batches = photo_batches(
            self.store, positions, bounds, self.size, boxes=boxes, threads=self.threads, pinned=pinned
        )
        for pixels in batches:
            yield pixels.to(self.device, non_blocking=True)

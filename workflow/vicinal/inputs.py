"""From stored images to the inputs of the networks: gather, crop, flip, normalise, mix."""

from typing import NamedTuple

import numpy as np
import torch

from vicinal.batches import BatchPlan
from vicinal.data.store import Store


class Batch(NamedTuple):
    """Mixed inputs (N, C, H, W) float32 and what they were mixed from: labels (N,) int64, λ (N,) float32."""

    inputs: torch.Tensor
    labels: torch.Tensor
    partner_labels: torch.Tensor
    lam: torch.Tensor


class Images:
    """The images of one split on a device: uint8 (N, H, W, C), labels (N,), and the normalisation of the data set."""

    def __init__(self, store: Store, split: str, device: torch.device) -> None:
        """Copy a split from the store to the device."""
        index = store.splits[split]
        self.images = torch.from_numpy(np.ascontiguousarray(store.images[index])).to(device)
        self.labels = torch.from_numpy(store.labels[index]).to(device)
        self.num_classes = store.num_classes
        self.mean = torch.tensor(store.mean * 255, dtype=torch.float32, device=device)
        self.scale = torch.tensor(1 / (store.std * 255), dtype=torch.float32, device=device)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """Return the number of colour channels."""
        return self.images.shape[3]

    def clean(self, index: torch.Tensor | slice) -> torch.Tensor:
        """Return images as they are, normalised: (N, C, H, W) float32."""
        return as_input(self.normalised(self.images[index]))

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Return uint8 images (N, H, W, C) as (value/255 − mean)/std of each channel, (N, H, W, C) float32."""
        return images.to(torch.float32).sub_(self.mean).mul_(self.scale)

    def cropped(self, index: torch.Tensor, row: torch.Tensor, column: torch.Tensor, flip: torch.Tensor, padding: int):
        """Return images (N, H, W, C) uint8, padded with black, cropped at (row, column) and mirrored where ``flip``."""
        height, width = self.images.shape[1:3]
        rows = row[:, None] - padding + torch.arange(height, device=row.device)
        across = torch.arange(width, device=row.device)
        columns = column[:, None] - padding + torch.where(flip[:, None], width - 1 - across, across)
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        pixels = self.images[
            index[:, None, None], rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]
        ]
        return pixels * inside[..., None]


class EpochTables:
    """A batch plan on the device, sent there once an epoch, always to the same place."""

    def __init__(self, plan: BatchPlan, device: torch.device) -> None:
        self.bounds = plan.bounds
        self.order, self.partner, self.lam, self.row, self.column, self.flip = (
            torch.from_numpy(table).to(device, copy=True) for table in _tables(plan)
        )

    def load(self, plan: BatchPlan) -> None:
        """Take the plan of another epoch of the same training."""
        own = (self.order, self.partner, self.lam, self.row, self.column, self.flip)
        for tensor, table in zip(own, _tables(plan), strict=True):
            tensor.copy_(torch.from_numpy(table))


def _tables(plan: BatchPlan) -> tuple[np.ndarray, ...]:
    return plan.order, plan.partner, plan.lam, plan.row, plan.column, plan.flip


def make_batch(data: Images, tables: EpochTables, here: torch.Tensor | slice, recipe: dict, mixed: bool) -> Batch:
    """Return one batch of an epoch: cropped and flipped as the recipe says, normalised, and mixed if ``mixed``.

    ``here`` are the positions in the epoch of a batch of the plan.
    """
    index, partner, lam = tables.order[here], tables.partner[here], tables.lam[here]
    if recipe["crop_padding"] or recipe["flip"]:
        images = data.cropped(index, tables.row[here], tables.column[here], tables.flip[here], recipe["crop_padding"])
    else:
        images = data.images[index]
    pixels, labels = data.normalised(images), data.labels[index]
    if mixed:
        pixels = mix(pixels, pixels[partner], lam)
    return Batch(as_input(pixels), labels, labels[partner] if mixed else labels, lam)


def mix(first: torch.Tensor, second: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    """Return λ·first + (1 − λ)·second for four-dimensional inputs of N images and λ (N,)."""
    return torch.lerp(second, first, lam.view(-1, 1, 1, 1))


def as_input(pixels: torch.Tensor) -> torch.Tensor:
    """Return pixels (N, H, W, C) as the networks take them: (N, C, H, W), channels last in memory (faster)."""
    return pixels.permute(0, 3, 1, 2)


def to_device(model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Return the network on a device, its weights channels last in memory as the inputs are."""
    return model.to(device, memory_format=torch.channels_last)

"""From stored images to the inputs of the networks: gather, crop, flip, normalise, mix."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from vicinal.data.store import DataStore
from vicinal.models.registry import input_of
from vicinal.training.batch_plan import BatchPlan


class MixedBatch(NamedTuple):
    """Mixed inputs (N, C, H, W) float32 and what they were mixed from: labels (N,) int64, λ (N,) float32."""

    inputs: torch.Tensor
    labels: torch.Tensor
    partner_labels: torch.Tensor
    lam: torch.Tensor


class Window(NamedTuple):
    """Images are resized to ``resize`` pixels a side, then a window of ``crop`` pixels a side is cut out."""

    resize: int
    crop: int

    @property
    def room(self) -> int:
        """Return the pixels on each side of a window in the middle."""
        return (self.resize - self.crop) // 2


def window_of(recipe: Mapping[str, Any]) -> Window | None:
    """Return the window of a resolved recipe, if it has one."""
    return Window(recipe["resize"], recipe["crop"]) if recipe.get("resize") else None


class Split:
    """What ``Images`` and ``photos.Photos`` have in common: all but the pixels of one split.

    Attributes:
        device: where the inputs go.
        positions: (N,) in the store.
        labels: (N,) int64, on the device.
        num_classes: number of classes.
        mean, scale: of the data set, for each channel: inputs are (value − mean) · scale.
    """

    def __init__(self, store: DataStore, split: str, device: torch.device) -> None:
        self.device, self.num_classes = device, store.num_classes
        self.positions = store.splits[split]
        self.labels = torch.from_numpy(store.labels[self.positions]).to(device)
        self.mean = torch.tensor(store.mean * 255, dtype=torch.float32, device=device)
        self.scale = torch.tensor(1 / (store.std * 255), dtype=torch.float32, device=device)

    def __len__(self) -> int:
        return len(self.labels)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return uint8 pixels (N, H, W, C) as (value/255 − mean)/std of each channel, (N, H, W, C) float32."""
        return pixels.to(torch.float32).sub_(self.mean).mul_(self.scale)


class Images(Split):
    """The images of one split, uint8 (N, H, W, C), copied to a device.

    With a window the networks see what is cut out of the resized images: at random places in training, else the middle.
    """

    def __init__(self, store: DataStore, split: str, device: torch.device, window: Window | None = None) -> None:
        super().__init__(store, split, device)
        self.images = torch.from_numpy(np.ascontiguousarray(store.images[self.positions])).to(device)
        self.window = window

    @property
    def channels(self) -> int:
        """Return the number of colour channels."""
        return self.images.shape[3]

    @property
    def side(self) -> int:
        """Return the height of what the networks see, in pixels."""
        return self.window.crop if self.window else self.images.shape[1]

    def pixels(self, plan: BatchPlan, **options: Any) -> Iterator[None]:
        """Yield what the host sends for each batch of an epoch: nothing, the images are on the device already.

        ``photos.Photos`` sends photos, and uses the options.
        """
        return repeat(None)

    def clean_batches(self, batch_size: int) -> Iterator[torch.Tensor]:
        """Yield all images in order, as ``clean`` does."""
        for start in range(0, len(self), batch_size):
            yield self.clean(slice(start, start + batch_size))

    def clean(self, index: torch.Tensor | slice) -> torch.Tensor:
        """Return images without random choices, normalised: (N, C, H, W) float32."""
        pixels = self.normalised(self.images[index])
        if self.window:
            room, size = self.window.room, self.window.crop
            pixels = self.resized(pixels)[:, room : room + size, room : room + size]
        return as_input(pixels)

    def resized(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return pixels (N, H, W, C) float32 in the size of the window's image: bilinear, half-pixel centres."""
        return F.interpolate(as_input(pixels), (self.window.resize,) * 2, mode="bilinear").permute(0, 2, 3, 1)

    def cropped(self, index: torch.Tensor, row: torch.Tensor, column: torch.Tensor, flip: torch.Tensor, padding: int):
        """Return images (N, H, W, C) uint8, padded with black, cropped at (row, column) and mirrored where ``flip``."""
        height, width = self.images.shape[1:3]
        rows, columns = _pixels_of_windows(row - padding, column - padding, flip, height, width)
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        pixels = self.images[
            index[:, None, None], rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]
        ]
        return pixels * inside[..., None]

    def cut(self, index: torch.Tensor, row: torch.Tensor, column: torch.Tensor, flip: torch.Tensor) -> torch.Tensor:
        """Return windows (N, H, W, C) float32 of normalised images, at (row, column), mirrored where ``flip``."""
        size = self.window.crop
        rows, columns = _pixels_of_windows(row, column, flip, size, size)
        resized = self.resized(self.normalised(self.images[index]))
        each = torch.arange(len(index), device=index.device)
        return resized[each[:, None, None], rows[:, :, None], columns[:, None, :]]


def _pixels_of_windows(
    row: torch.Tensor, column: torch.Tensor, flip: torch.Tensor, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows (N, height) and columns (N, width) of windows whose upper left corners are given (N,)."""
    across = torch.arange(width, device=row.device)
    rows = row[:, None] + torch.arange(height, device=row.device)
    return rows, column[:, None] + torch.where(flip[:, None], width - 1 - across, across)


class EpochTables:
    """A batch plan on the device, sent to the same place once an epoch."""

    def __init__(self, plan: BatchPlan, device: torch.device) -> None:
        *tables, self.bounds = plan
        self._tables = [torch.from_numpy(table).to(device, copy=True) for table in tables]
        self.order, self.partner, self.lam, self.row, self.column, self.flip = self._tables

    def load(self, plan: BatchPlan) -> None:
        """Take the plan of another epoch of the same training."""
        *tables, _ = plan
        for own, table in zip(self._tables, tables, strict=True):
            own.copy_(torch.from_numpy(table))


def make_batch(data: Images, tables: EpochTables, here: torch.Tensor | slice, recipe: dict, mixed: bool) -> MixedBatch:
    """Return one batch of an epoch: cropped and flipped as the recipe says, normalised, and mixed if ``mixed``.

    Args:
        data: the training split.
        tables: the plan of the epoch.
        here: the positions in the epoch of a batch of the plan.
        recipe: resolved.
        mixed: whether inputs are mixed with their partners.
    """
    index = tables.order[here]
    where = tables.row[here], tables.column[here], tables.flip[here]
    if data.window:
        pixels = data.cut(index, *where)
    elif recipe["crop_padding"] or recipe["flip"]:
        pixels = data.normalised(data.cropped(index, *where, recipe["crop_padding"]))
    else:
        pixels = data.normalised(data.images[index])
    return mixed_batch(pixels, data.labels[index], tables, here, mixed)


def mixed_batch(
    pixels: torch.Tensor, labels: torch.Tensor, tables: EpochTables, here: torch.Tensor | slice, mixed: bool
) -> MixedBatch:
    """Return a batch, mixed if ``mixed``, from its normalised pixels (N, H, W, C) and labels (N,)."""
    partner, lam, partner_labels = tables.partner[here], tables.lam[here], labels
    if mixed:
        pixels, partner_labels = mix(pixels, pixels[partner], lam), labels[partner]
    return MixedBatch(as_input(pixels), labels, partner_labels, lam)


def mix(first: torch.Tensor, second: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    """Return λ·first + (1 − λ)·second for four-dimensional inputs of N images and λ (N,)."""
    return torch.lerp(second, first, lam.view(-1, 1, 1, 1))


def as_input(pixels: torch.Tensor) -> torch.Tensor:
    """Return pixels (N, H, W, C) as the networks take them: (N, C, H, W), channels last in memory (faster)."""
    return pixels.permute(0, 3, 1, 2)


def normalisation_of(spec: Mapping[str, Any]) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return the mean and the deviation a channel, of values in [0, 1], that a model wants; None: its data set's.

    They are what the config says of a given file of weights, else what the network's family was pretrained with.
    """
    if own := spec.get("normalisation"):
        return own["mean"], own["std"]
    family = input_of(spec["model"])
    return (family.mean, family.std) if family else None


def adapt(model: torch.nn.Module, spec: Mapping[str, Any], data: Images) -> torch.nn.Module:
    """Let a network with a normalisation of its own (``normalisation_of`` its spec) take the images of a data set.

    A hook turns its inputs, (x − mean)/std of the data set, into (x − mean)/std of its own, by one factor and one
    summand a channel. Mixed inputs stay mixed: both normalisations are affine. The network is returned.
    """
    if normalisation := normalisation_of(spec):
        own_mean, own_std = torch.tensor(normalisation, dtype=torch.float32, device=data.mean.device)
        factor = 1 / (data.scale * 255 * own_std)
        summand = (data.mean / 255 - own_mean) / own_std
        model.register_forward_pre_hook(
            lambda module, inputs: (inputs[0] * factor[:, None, None] + summand[:, None, None],)
        )
    return model


def to_device(model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Return the network on a device, its weights channels last in memory as the inputs are."""
    return model.to(device, memory_format=torch.channels_last)

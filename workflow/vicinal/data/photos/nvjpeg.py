"""Decoding on an NVIDIA GPU (nvJPEG, by torchvision): for machines whose cores cannot feed their GPU.

Pixels differ from those of the host by a few grey levels, as decoders may, so runs of the two are not comparable bit
for bit.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.io import ImageReadMode, decode_jpeg

from vicinal.data.photos.crops import central_corner, evaluation_side, resized_shape
from vicinal.data.photos.store import PhotoStore


def device_batch(
    store: PhotoStore, positions: np.ndarray, size: int, device: torch.device, boxes: np.ndarray | None = None
) -> torch.Tensor:
    """Return photos as (B, size, size, 3) uint8 on a device; arguments as for ``loader.photo_batches``."""
    encoded = [torch.frombuffer(store.read(int(position)), dtype=torch.uint8) for position in positions]
    photos = decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device)
    if boxes is None:
        pixels = [_centre(photo, size) for photo in photos]
    else:
        pixels = [_crop(photo, box.tolist(), size) for photo, box in zip(photos, boxes, strict=True)]
    return torch.stack(pixels).permute(0, 2, 3, 1).contiguous()


def _crop(photo: torch.Tensor, box: list[int], size: int) -> torch.Tensor:
    top, left, height, width = box
    return _resized(photo[:, top : top + height, left : left + width], size, size)


def _centre(photo: torch.Tensor, size: int) -> torch.Tensor:
    photo = _resized(photo, *resized_shape(*photo.shape[1:], evaluation_side(size)))
    top, left = central_corner(*photo.shape[1:], size)
    return photo[:, top : top + size, left : left + size]


def _resized(photo: torch.Tensor, height: int, width: int) -> torch.Tensor:
    # There is no such filter for bytes on CUDA.
    resized = F.interpolate(photo[None].float(), size=(height, width), mode="bilinear", antialias=True)
    return resized[0].round_().clamp_(0, 255).to(torch.uint8)

"""From an encoded photo to the pixels that a network takes: decode, crop, resize.

torchvision decodes photos to the same pixels as Pillow. torch's antialiased bilinear filter for bytes resizes them: it
equals Pillow's to within two grey levels, in a fifth of the time. All of it runs without Python's lock, in one thread a
photo, so it scales with threads and the result does not depend on their number.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.io import ImageReadMode

from vicinal.data.photos.crops import central_corner, evaluation_side, resized_shape


def decode(encoded: bytearray) -> np.ndarray:
    """Return the pixels of a JPEG, (H, W, 3) uint8 RGB. Raises RuntimeError: it cannot be decoded."""
    # As torchvision.io.decode_jpeg, without the warning that it will be removed (torchvision 0.29 still has it).
    data = torch.frombuffer(encoded, dtype=torch.uint8)
    pixels = torch.ops.image.decode_jpeg(data, ImageReadMode.RGB.value, False)
    return pixels.permute(1, 2, 0).numpy()


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return pixels (H, W, 3) uint8 resized by the antialiased bilinear filter."""
    if pixels.shape[:2] == (height, width):
        return pixels
    # In this order the batch of one counts as channels last, which is twice as fast.
    batch = torch.from_numpy(np.ascontiguousarray(pixels))[None].permute(0, 3, 1, 2)
    batch = F.interpolate(batch, size=(height, width), mode="bilinear", antialias=True)
    return batch[0].permute(1, 2, 0).numpy()


def training_pixels(pixels: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Return a crop (top, left, height, width) of a photo, resized to (size, size, 3) uint8."""
    top, left, height, width = box.tolist()
    return resized(pixels[top : top + height, left : left + width], size, size)


def evaluation_pixels(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return the centre of a photo, (size, size, 3) uint8; first its shorter side is resized, to 256 for 224."""
    pixels = resized(pixels, *resized_shape(*pixels.shape[:2], evaluation_side(size)))
    top, left = central_corner(*pixels.shape[:2], size)
    return pixels[top : top + size, left : left + size]

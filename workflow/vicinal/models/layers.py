"""What the families share: initial weights, small layers, stages of blocks, checks of parameters."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from vicinal.errors import VicinalError


def initialise(model: nn.Module) -> None:
    """Draw fresh weights in place.

    Convolutions: normal with variance 2 / (k² · out channels), biases 0 (He et al. 2015, equation 14, ``fan_out``; a
    grouped convolution counts all its output channels, as in torchvision's MobileNetV2). Batch normalisation: 1 and 0.
    Linear layers keep torch's default, uniform within 1 / sqrt(fan_in).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def conv_bn(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution, padded to keep the size at stride 1, and batch normalisation."""
    padding = kernel_size // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def three_stages(block: Callable[[int, int, int], nn.Module], widths: Sequence[int], blocks: int) -> nn.Sequential:
    """Return three stages of blocks, made from (channels in, channels out, stride); two begin with stride 2."""
    stages = nn.Sequential()
    for before, channels, stride in zip(widths[:-1], widths[1:], (1, 2, 2), strict=True):
        first = block(before, channels, stride)
        stages.append(nn.Sequential(first, *(block(channels, channels, 1) for _ in range(blocks - 1))))
    return stages


def global_average(x: torch.Tensor) -> torch.Tensor:
    """Average (N, C, H, W) over the image to (N, C)."""
    # Adaptive pooling has no deterministic gradient on GPUs.
    return x.mean(dim=(2, 3))


def channel_shuffle(x: torch.Tensor, groups: int) -> torch.Tensor:
    """Interleave the groups of channels of (N, C, H, W) (Zhang et al. 2018, figure 1)."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def check_integers(field: str, values: Any, length: int | None = None) -> None:
    """Raise VicinalError unless ``values`` is a list of whole numbers from 1 up, perhaps of this length."""
    if (
        not isinstance(values, list | tuple)
        or not values
        or (length is not None and len(values) != length)
        or not all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in values)
    ):
        many = f"{length} " if length else ""
        raise VicinalError(f"architecture.{field}: {values!r} is not a list of {many}whole numbers from 1 up")


def check_depth(depth: Any, extra: int) -> int:
    """Return n of ``depth = 6n + extra``, blocks in each of 3 stages. Raises VicinalError: no such n from 1 up."""
    whole = isinstance(depth, int) and not isinstance(depth, bool)
    if not whole or depth < 6 + extra or (depth - extra) % 6:
        raise VicinalError(
            f"architecture.depth: {depth!r} is not of the form 6n+{extra} "
            f"({6 + extra}, {12 + extra}, {18 + extra}, ...)"
        )
    return (depth - extra) // 6

"""What a network costs, in closed form: parameters, multiply-accumulates and layers, without torch.

Each family's layers are listed as its module builds them, so a new network of a known family needs nothing here. The
counts are exact at any size of image, 8x8 as well as 32x32: they follow the strides and are not scaled. One
multiply-accumulate (MAC) is two floating-point operations (FLOP). Batch normalisation, activations, pooling and
additions are not counted, as is usual.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from vicinal.errors import VicinalError
from vicinal.spec import canonical


class Cost(NamedTuple):
    """What one network costs.

    Attributes:
        parameters: trained numbers.
        macs: multiply-accumulates of the forward pass of one image.
        layers: convolutions and linear layers; on a GPU, and on small images, their number decides, not their size.
        buffers: numbers in the weights file that are not trained: statistics of batch normalisation.
    """

    parameters: int
    macs: int
    layers: int
    buffers: int

    @property
    def weights_bytes(self) -> int:
        """Return the bytes of the network's float32 weights and statistics on disk."""
        return 4 * (self.parameters + self.buffers)


def model_cost(architecture: Mapping[str, Any], num_classes: int, channels: int, height: int, width: int) -> Cost:
    """Return what a network costs.

    Args:
        architecture: resolved, see ``vicinal.models.registry``; one that ``build_model`` accepts.
        num_classes: number of logits K.
        channels: of the images.
        height, width: of the images, in pixels.

    Raises:
        VicinalError: the layers of this family are not listed here.
    """
    return _cost(canonical(architecture), num_classes, channels, height, width)


@cache
def _cost(architecture: str, num_classes: int, channels: int, height: int, width: int) -> Cost:
    parameters = json.loads(architecture)
    family = parameters.pop("family")
    if family not in _FAMILIES:
        raise VicinalError(f"models/cost.py: the layers of the family {family!r} are not listed; add them there")
    net = _Network(channels, height, width)
    _FAMILIES[family](net, **parameters)
    net.linear(num_classes)
    return Cost(net.parameters, net.macs, net.layers, net.buffers)


class _Network:
    """Counts layers as they are added; ``channels``, ``height`` and ``width`` are of the last one's output."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.channels, self.height, self.width = channels, height, width
        self.parameters = self.macs = self.layers = self.buffers = 0

    def conv(self, out: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False, norm: bool = True):
        """Add a convolution, padded to keep the size at stride 1, and batch normalisation of its output."""
        self.resize(stride)
        weights = out * (self.channels // groups) * kernel * kernel
        self.parameters += weights + out * bias
        self.macs += weights * self.height * self.width
        self.layers += 1
        self.channels = out
        if norm:
            self.norm(out)

    def norm(self, channels: int) -> None:
        """Add batch normalisation: scale and shift; mean, variance and the number of batches seen."""
        self.parameters += 2 * channels
        # the number of batches is an int64: two float32
        self.buffers += 2 * channels + 2

    def linear(self, out: int) -> None:
        """Add the last layer: global average and a linear layer."""
        self.parameters += (self.channels + 1) * out
        self.macs += self.channels * out
        self.layers += 1

    def resize(self, stride: int) -> None:
        """Take a stride, padded so that an odd size is rounded up."""
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)

    def shortcut(self, channels: int, stride: int, norm: bool = True) -> None:
        """Add the projection of a residual block where its shape changes; what follows starts where it did."""
        if stride == 1 and self.channels == channels:
            return
        before = self.channels, self.height, self.width
        self.conv(channels, 1, stride, norm=norm)
        self.channels, self.height, self.width = before


def _cifar_resnet(net: _Network, depth: int, widths: list[int]) -> None:
    net.conv(widths[0], 3)
    for channels, stride in _blocks(widths[1:], (depth - 2) // 6):
        net.shortcut(channels, stride)
        net.conv(channels, 3, stride)
        net.conv(channels, 3)


def _wide_resnet(net: _Network, depth: int, widen_factor: int) -> None:
    net.conv(16, 3, norm=False)
    for channels, stride in _blocks([16 * widen_factor, 32 * widen_factor, 64 * widen_factor], (depth - 4) // 6):
        net.norm(net.channels)
        net.shortcut(channels, stride, norm=False)
        net.conv(channels, 3, stride)
        net.conv(channels, 3, norm=False)
    net.norm(net.channels)


def _blocks(widths: list[int], repeats: int) -> list[tuple[int, int]]:
    """Return channels and stride of each residual block: the stages from the second on start at stride 2."""
    return [
        (channels, 2 if stage and not block else 1) for stage, channels in enumerate(widths) for block in range(repeats)
    ]


def _vgg(net: _Network, stages: list[list[int]], pooled_stages: int) -> None:
    for number, widths in enumerate(stages):
        for width in widths:
            net.conv(width, 3, bias=True)
        if number < pooled_stages:
            net.height, net.width = net.height // 2, net.width // 2


def _mobilenet_v2(net: _Network, expansion: int, width: float) -> None:
    # as in vicinal.models.mobilenet_v2, which imports torch
    stages = ((16, 1, 1), (24, 2, 1), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
    net.conv(int(32 * width), 3, stride=2)
    for stage, (base, repeats, stride) in enumerate(stages):
        for block in range(repeats):
            hidden = net.channels * (expansion if stage else 1)
            net.conv(hidden, 1)
            net.conv(hidden, 3, 1 if block else stride, groups=hidden)
            net.conv(int(base * width), 1)
    net.conv(int(1280 * max(width, 1)), 1)


def _shufflenet_v1(net: _Network, groups: int, stem: int, widths: list[int], blocks: list[int]) -> None:
    net.conv(stem, 1)
    first_groups = 1
    for channels, repeats in zip(widths, blocks, strict=True):
        for block in range(repeats):
            # at stride 2 the pooled input is concatenated
            new = channels if block else channels - net.channels
            net.conv(new // 4, 1, groups=first_groups)
            net.conv(new // 4, 3, 1 if block else 2, groups=new // 4)
            net.conv(new, 1, groups=groups)
            net.channels, first_groups = channels, groups


def _shufflenet_v2(net: _Network, stem: int, widths: list[int], blocks: list[int], head: int) -> None:
    net.conv(stem, 1)
    for channels, repeats in zip(widths, blocks, strict=True):
        half, before, size = channels // 2, net.channels, (net.height, net.width)
        net.conv(before, 3, 2, groups=before)
        net.conv(half, 1)
        net.channels, (net.height, net.width) = before, size
        for block in range(repeats + 1):
            net.conv(half, 1)
            net.conv(half, 3, 1 if block else 2, groups=half)
            net.conv(half, 1)
        net.channels = channels
    net.conv(head, 1)


_FAMILIES: dict[str, Callable[..., None]] = {
    "cifar_resnet": _cifar_resnet,
    "mobilenet_v2": _mobilenet_v2,
    "shufflenet_v1": _shufflenet_v1,
    "shufflenet_v2": _shufflenet_v2,
    "vgg": _vgg,
    "wide_resnet": _wide_resnet,
}

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
from vicinal.models import cost_imagenet
from vicinal.models.counting import Network, residual_blocks
from vicinal.spec import canonical


class Cost(NamedTuple):
    """What one network costs.

    Attributes:
        parameters: trained numbers.
        macs: multiply-accumulates of the forward pass of one image.
        layers: convolutions and linear layers, projections of attention included; on a GPU, and on small images, their
            number decides, not their size.
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
        VicinalError: the layers of this family are not listed here, or it does not take images of this size.
    """
    return _cost(canonical(architecture), num_classes, channels, height, width)


@cache
def _cost(architecture: str, num_classes: int, channels: int, height: int, width: int) -> Cost:
    parameters = json.loads(architecture)
    family = parameters.pop("family")
    if family not in _FAMILIES:
        raise VicinalError(f"models/cost.py: the layers of the family {family!r} are not listed; add them there")
    net = Network(channels, height, width)
    _FAMILIES[family](net, **parameters)
    net.linear(num_classes)
    return Cost(net.parameters, net.macs, net.layers, net.buffers)


def _cifar_resnet(net: Network, depth: int, widths: list[int]) -> None:
    net.conv(widths[0], 3)
    for channels, stride in residual_blocks(widths[1:], [(depth - 2) // 6] * 3):
        net.shortcut(channels, stride)
        net.conv(channels, 3, stride)
        net.conv(channels, 3)


def _wide_resnet(net: Network, depth: int, widen_factor: int) -> None:
    net.conv(16, 3, norm=False)
    widths = [16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
    for channels, stride in residual_blocks(widths, [(depth - 4) // 6] * 3):
        net.norm(net.channels)
        net.shortcut(channels, stride, norm=False)
        net.conv(channels, 3, stride)
        net.conv(channels, 3, norm=False)
    net.norm(net.channels)


def _vgg(net: Network, stages: list[list[int]], pooled_stages: int) -> None:
    for number, widths in enumerate(stages):
        for width in widths:
            net.conv(width, 3, bias=True)
        if number < pooled_stages:
            net.height, net.width = net.height // 2, net.width // 2


def _mobilenet_v2(net: Network, expansion: int, width: float) -> None:
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


def _shufflenet_v1(net: Network, groups: int, stem: int, widths: list[int], blocks: list[int]) -> None:
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


def _shufflenet_v2(net: Network, stem: int, widths: list[int], blocks: list[int], head: int) -> None:
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
    **cost_imagenet.FAMILIES,
    "cifar_resnet": _cifar_resnet,
    "mobilenet_v2": _mobilenet_v2,
    "shufflenet_v1": _shufflenet_v1,
    "shufflenet_v2": _shufflenet_v2,
    "vgg": _vgg,
    "wide_resnet": _wide_resnet,
}

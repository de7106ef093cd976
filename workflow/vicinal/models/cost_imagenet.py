"""The layers of the networks for photographs, as torchvision and timm build them; see ``vicinal.models.cost``."""

from collections.abc import Callable

from vicinal.errors import VicinalError
from vicinal.models.counting import Network, residual_blocks

_BOTTLENECKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def _torchvision_resnet(net: Network, depth: int) -> None:
    net.conv(64, 7, 2)
    net.resize(2)
    basic = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
    for channels, stride in residual_blocks((64, 128, 256, 512), basic.get(depth) or _BOTTLENECKS[depth]):
        if depth in basic:
            net.shortcut(channels, stride)
            net.conv(channels, 3, stride)
            net.conv(channels, 3)
        else:
            net.shortcut(4 * channels, stride)
            net.conv(channels, 1)
            net.conv(channels, 3, stride)
            net.conv(4 * channels, 1)


def _timm_resnetv2(net: Network, variant: str) -> None:
    name, _, width = variant.removeprefix("resnetv2_").removesuffix("_bit").partition("x")
    norm, factor = (net.static_norm, int(width)) if width else (net.norm, 1)
    net.conv(64 * factor, 7, 2, norm=False)
    net.resize(2)
    for channels, stride in residual_blocks((64, 128, 256, 512), _BOTTLENECKS[int(name)]):
        hidden, out = factor * channels, 4 * factor * channels
        norm(net.channels)
        net.shortcut(out, stride, norm=False)
        net.conv(hidden, 1, norm=False)
        norm(hidden)
        net.conv(hidden, 3, stride, norm=False)
        norm(hidden)
        net.conv(out, 1, norm=False)
    norm(net.channels)


def _torchvision_mobilenet_v2(net: Network) -> None:
    stages = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
    net.conv(32, 3, stride=2)
    for stage, (channels, repeats, stride) in enumerate(stages):
        for block in range(repeats):
            hidden = net.channels * (6 if stage else 1)
            if stage:
                net.conv(hidden, 1)
            net.conv(hidden, 3, 1 if block else stride, groups=hidden)
            net.conv(channels, 1)
    net.conv(1280, 1)


def _torchvision_convnext(net: Network, size: str) -> None:
    widths = {"tiny": (96, 192, 384, 768), "large": (192, 384, 768, 1536)}[size]
    blocks = {"tiny": (3, 3, 9, 3), "large": (3, 3, 27, 3)}[size]
    net.patches(widths[0], 4)
    net.static_norm(widths[0])
    for stage, (width, repeats) in enumerate(zip(widths, blocks, strict=True)):
        if stage:
            net.static_norm(net.channels)
            net.patches(width, 2)
        for _ in range(repeats):
            net.conv(width, 7, groups=width, bias=True, norm=False)
            net.static_norm(width)
            net.linear(4 * width, net.height * net.width)
            net.linear(width, net.height * net.width)
            net.parameters += width  # scale of the block's output
    net.static_norm(net.channels)


def _vit(net: Network, size: str) -> None:
    patch, width, hidden, blocks = {"b_16": (16, 768, 3072, 12)}[size]
    if (net.height, net.width) != (224, 224):
        raise VicinalError(f"vit_{size}: takes images of 224x224, not {net.height}x{net.width}")
    net.patches(width, patch)
    tokens = net.height * net.width + 1
    net.parameters += width + tokens * width  # class token, positions
    for _ in range(blocks):
        net.static_norm(width)
        net.linear(3 * width, tokens)
        net.macs += 2 * tokens * tokens * width  # queries with keys, weights with values
        net.channels = width
        net.linear(width, tokens)
        net.static_norm(width)
        net.linear(hidden, tokens)
        net.linear(width, tokens)
    net.static_norm(width)


def _layers(net: Network, network: str) -> None:
    if network.startswith("resnetv2"):
        _timm_resnetv2(net, network)
    elif network.startswith("resnet"):
        _torchvision_resnet(net, int(network.removeprefix("resnet")))
    elif network.startswith("convnext"):
        _torchvision_convnext(net, network.removeprefix("convnext_"))
    elif network.startswith("vit"):
        _vit(net, "b_16")
    else:
        _torchvision_mobilenet_v2(net)


def _with_head(net: Network, network: str, head: str, dropout: float) -> None:
    """Add the layers of a network and all but the last of its head; leaving out costs nothing."""
    _layers(net, network)
    if head == "mlp":
        net.linear(256)  # as in vicinal.models.heads, which imports torch
        net.norm(256)
    if dropout or head == "mlp":
        net.buffers += 2  # how often it dropped, an int64


FAMILIES: dict[str, Callable[..., None]] = dict.fromkeys(("timm_networks", "torchvision_networks"), _with_head)

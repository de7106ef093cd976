"""ShuffleNet V2 (Ma et al. 2018) for 32x32 images, the variant of Tian et al. 2020 (CRD).

It differs from the original: a 1x1 stem at full resolution without pooling.
"""

import torch
from torch import Tensor, nn

from vicinal.errors import VicinalError
from vicinal.models.layers import channel_shuffle, check_integers, conv_bn, global_average, initialise


def _branch(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    """Return 1x1, 3x3 depthwise (no ReLU after it), 1x1."""
    return nn.Sequential(
        conv_bn(in_channels, channels, 1),
        nn.ReLU(),
        conv_bn(channels, channels, 3, stride, groups=channels),
        conv_bn(channels, channels, 1),
        nn.ReLU(),
    )


class DownUnit(nn.Module):
    """The unit at stride 2: two branches on the whole input, concatenated and shuffled."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        half = channels // 2
        self.left = nn.Sequential(
            conv_bn(in_channels, in_channels, 3, stride=2, groups=in_channels),
            conv_bn(in_channels, half, 1),
            nn.ReLU(),
        )
        self.right = _branch(in_channels, half, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H / 2, W / 2)."""
        return channel_shuffle(torch.cat([self.left(x), self.right(x)], dim=1), groups=2)


class SplitUnit(nn.Module):
    """The unit at stride 1: half of the channels stay unchanged, the others pass a branch."""

    def __init__(self, channels: int):
        super().__init__()
        self.right = _branch(channels // 2, channels // 2, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        left, right = x.chunk(2, dim=1)
        return channel_shuffle(torch.cat([left, self.right(right)], dim=1), groups=2)


class ShuffleNetV2(nn.Module):
    """A 1x1 stem, stages of a unit at stride 2 and ``blocks`` others, a 1x1 head; 32x32 images end as 4x4."""

    def __init__(self, num_classes: int, in_channels: int, stem: int, widths: list[int], blocks: list[int], head: int):
        super().__init__()
        check_integers("stem", [stem])
        check_integers("widths", widths)
        check_integers("blocks", blocks, length=len(widths))
        check_integers("head", [head])
        if any(channels % 2 for channels in widths):
            raise VicinalError(f"architecture.widths: {widths!r} are not all even")
        self.stem = nn.Sequential(conv_bn(in_channels, stem, 1), nn.ReLU())
        units: list[nn.Module] = []
        before = stem
        for channels, repeats in zip(widths, blocks, strict=True):
            units.append(DownUnit(before, channels))
            units += [SplitUnit(channels) for _ in range(repeats)]
            before = channels
        self.units = nn.Sequential(*units)
        self.head = nn.Sequential(conv_bn(before, head, 1), nn.ReLU())
        self.fc = nn.Linear(head, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""
        return self.fc(global_average(self.head(self.units(self.stem(x)))))


build = ShuffleNetV2

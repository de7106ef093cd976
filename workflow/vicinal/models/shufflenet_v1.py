"""ShuffleNet (Zhang et al. 2018) for 32x32 images, the variant of Tian et al. 2020 (CRD).

It differs from the original: a 1x1 stem at full resolution without pooling, and a ReLU after the
depthwise convolution.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vicinal.errors import VicinalError
from vicinal.models.layers import channel_shuffle, check_integers, conv_bn, global_average, initialise


class ShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, 3x3 depthwise, grouped 1x1; plus the input, at stride 2 pooled and concatenated."""

    def __init__(self, in_channels: int, channels: int, stride: int, groups: int, first_groups: int):
        super().__init__()
        new = channels - in_channels if stride == 2 else channels
        hidden = new // 4
        if hidden < 1 or new % groups or hidden % groups or in_channels % first_groups:
            raise VicinalError(
                f"architecture.widths: a unit from {in_channels} to {channels} channels computes {new}; these and a "
                f"quarter of them must be multiples of the {groups} groups"
            )
        self.groups = first_groups
        self.compress = conv_bn(in_channels, hidden, 1, groups=first_groups)
        self.depthwise = conv_bn(hidden, hidden, 3, stride, groups=hidden)
        self.expand = conv_bn(hidden, new, 1, groups=groups)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H / stride, W / stride)."""
        out = channel_shuffle(F.relu(self.compress(x)), self.groups)
        out = self.expand(F.relu(self.depthwise(out)))
        return F.relu(out + x if self.pool is None else torch.cat([out, self.pool(x)], dim=1))


class ShuffleNetV1(nn.Module):
    """A 1x1 stem and stages of ``blocks`` units, the first at stride 2; 32x32 images end as 4x4."""

    def __init__(
        self, num_classes: int, in_channels: int, groups: int, stem: int, widths: list[int], blocks: list[int]
    ):
        super().__init__()
        check_integers("groups", [groups])
        check_integers("stem", [stem])
        check_integers("widths", widths)
        check_integers("blocks", blocks, length=len(widths))
        self.stem = conv_bn(in_channels, stem, 1)
        units: list[nn.Module] = []
        before = stem
        for channels, repeats in zip(widths, blocks, strict=True):
            for block in range(repeats):
                stride = 2 if block == 0 else 1
                # The stem has too few channels for groups.
                first_groups = groups if units else 1
                units.append(ShuffleUnit(before, channels, stride, groups, first_groups))
                before = channels
        self.units = nn.Sequential(*units)
        self.fc = nn.Linear(before, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""
        return self.fc(global_average(self.units(F.relu(self.stem(x)))))


build = ShuffleNetV1

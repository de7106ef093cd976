"""MobileNetV2 (Sandler et al. 2018) for 32x32 images, the variant of Tian et al. 2020 (CRD).

It differs from the original: stride 1 in the second stage, ReLU for ReLU6, no dropout, and a 1x1 convolution in the
first stage too, where it does not expand.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from vicinal.models.layers import check_integers, conv_bn, global_average, initialise

# Channels at width 1, blocks, and stride of the first block, of each stage.
STAGES = ((16, 1, 1), (24, 2, 1), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
STEM = 32
HEAD = 1280


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, linear 1x1 projection; a shortcut if the shape stays the same."""

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int):
        super().__init__()
        hidden = in_channels * expansion
        self.expand = conv_bn(in_channels, hidden, 1)
        self.depthwise = conv_bn(hidden, hidden, 3, stride, groups=hidden)
        self.project = conv_bn(hidden, channels, 1)
        self.residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H / stride, W / stride)."""
        out = self.project(F.relu(self.depthwise(F.relu(self.expand(x)))))
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    """A stride-2 stem, seven stages of inverted residuals, a 1x1 head; 32x32 images end as 2x2.

    ``expansion`` widens the blocks from the second stage on. ``width`` multiplies all channels; those of the head only
    if it is above 1.
    """

    def __init__(self, num_classes: int, in_channels: int, expansion: int, width: float):
        super().__init__()
        check_integers("expansion", [expansion])
        channels = int(STEM * width)
        self.stem = conv_bn(in_channels, channels, 3, stride=2)
        blocks = []
        for stage, (base, repeats, stride) in enumerate(STAGES):
            for block in range(repeats):
                before, channels = channels, int(base * width)
                step = stride if block == 0 else 1
                blocks.append(InvertedResidual(before, channels, step, expansion if stage else 1))
        self.blocks = nn.Sequential(*blocks)
        head = int(HEAD * max(width, 1))
        self.head = conv_bn(channels, head, 1)
        self.fc = nn.Linear(head, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""
        return self.fc(global_average(F.relu(self.head(self.blocks(F.relu(self.stem(x)))))))


build = MobileNetV2

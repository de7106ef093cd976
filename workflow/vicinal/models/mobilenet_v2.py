"""MobileNetV2 (Sandler et al. 2018) for 32x32 images, the variant of Tian et al. 2020 (CRD).

It differs from the original: stride 1 in the second stage, ReLU for ReLU6, no dropout, and the
block of the first stage keeps its 1x1 convolution though it does not expand.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from vicinal.errors import VicinalError
from vicinal.models.layers import check_integers, conv_bn, global_average, initialise

# Channels at width 1, blocks, and stride of the first block, of each stage.
STAGES = ((16, 1, 1), (24, 2, 1), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
STEM = 32
HEAD = 1280


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, linear 1x1 projection; a shortcut where the shape stays."""

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
    """A stride-2 stem, seven stages of inverted residuals, a 1x1 head; 32x32 images end as 2x2."""

    def __init__(self, num_classes: int, in_channels: int, expansion: int, width: float):
        super().__init__()
        check_integers("expansion", [expansion])
        number = isinstance(width, int | float) and not isinstance(width, bool)
        if not number or not 1 / 16 <= width < float("inf"):
            raise VicinalError(f"architecture.width: {width!r} is not a number from 0.0625 up")
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


def build(num_classes: int, in_channels: int, expansion: int, width: float) -> MobileNetV2:
    """Build a network.

    ``expansion`` widens the blocks from the second stage on, ``width`` multiplies all channels
    but the 1280 of the head, which only grow.

    Raises:
        VicinalError: ``expansion`` or ``width`` is wrong.
    """
    return MobileNetV2(num_classes, in_channels, expansion, width)

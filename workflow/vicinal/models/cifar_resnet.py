"""ResNets for small images (He et al. 2016, *Deep Residual Learning*, section 4.2).

Shortcuts are projections where the shape changes (option B), as in Tian et al. 2020 (CRD).
"""

from torch import Tensor, nn
from torch.nn import functional as F

from vicinal.models.layers import check_depth, check_integers, conv_bn, global_average, initialise, three_stages


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: a 1x1 convolution where stride or width changes."""

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = conv_bn(in_channels, channels, 3, stride)
        self.conv2 = conv_bn(channels, channels, 3)
        same = stride == 1 and in_channels == channels
        self.shortcut = nn.Identity() if same else conv_bn(in_channels, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H / stride, W / stride)."""
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


class CifarResNet(nn.Module):
    """A 3x3 stem and three stages of n blocks: depth 6n + 2; ``widths`` are the channels of stem and stages."""

    def __init__(self, num_classes: int, in_channels: int, depth: int, widths: list[int]):
        super().__init__()
        blocks = check_depth(depth, extra=2)
        check_integers("widths", widths, length=4)
        self.stem = conv_bn(in_channels, widths[0], 3)
        self.stages = three_stages(BasicBlock, widths, blocks)
        self.fc = nn.Linear(widths[3], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""
        return self.fc(global_average(self.stages(F.relu(self.stem(x)))))


build = CifarResNet

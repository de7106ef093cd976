"""Wide residual networks (Zagoruyko & Komodakis 2016): pre-activation blocks, no dropout."""

from torch import Tensor, nn
from torch.nn import functional as F

from vicinal.models.layers import check_depth, check_integers, global_average, initialise, three_stages


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    padding = kernel_size // 2
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)


class PreActivationBlock(nn.Module):
    """BN-ReLU-conv twice, plus the input or, if the shape changes, a 1x1 convolution of the activated input."""

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = _conv(in_channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3)
        same = stride == 1 and in_channels == channels
        self.shortcut = None if same else _conv(in_channels, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H / stride, W / stride)."""
        activated = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        return shortcut + self.conv2(F.relu(self.bn2(self.conv1(activated))))


class WideResNet(nn.Module):
    """A 3x3 stem of 16 channels and three stages of n blocks of 16k, 32k and 64k channels: depth 6n + 4."""

    def __init__(self, num_classes: int, in_channels: int, depth: int, widen_factor: int):
        super().__init__()
        blocks = check_depth(depth, extra=4)
        check_integers("widen_factor", [widen_factor])
        widths = [16, 16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
        self.stem = _conv(in_channels, widths[0], 3)
        self.stages = three_stages(PreActivationBlock, widths, blocks)
        self.bn = nn.BatchNorm2d(widths[3])
        self.fc = nn.Linear(widths[3], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""
        return self.fc(global_average(F.relu(self.bn(self.stages(self.stem(x))))))


build = WideResNet

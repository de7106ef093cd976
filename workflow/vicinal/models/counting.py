"""Counts what layers cost as they are listed, without torch; see ``vicinal.models.cost``."""

from collections.abc import Sequence


class Network:
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

    def static_norm(self, channels: int) -> None:
        """Add layer or group normalisation: scale and shift."""
        self.parameters += 2 * channels

    def linear(self, out: int, places: int = 1) -> None:
        """Add a linear layer, used at so many places of the image: once after the global average."""
        self.parameters += (self.channels + 1) * out
        self.macs += self.channels * out * places
        self.layers += 1
        self.channels = out

    def patches(self, out: int, size: int) -> None:
        """Add a convolution of patches that do not overlap; what is left over at the edges is not seen."""
        self.height, self.width = self.height // size, self.width // size
        weights = out * self.channels * size * size
        self.parameters += weights + out
        self.macs += weights * self.height * self.width
        self.layers += 1
        self.channels = out

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


def residual_blocks(widths: Sequence[int], repeats: Sequence[int]) -> list[tuple[int, int]]:
    """Return width and stride of each residual block: the stages from the second on start at stride 2."""
    return [
        (width, 2 if stage and not block else 1)
        for stage, (width, blocks) in enumerate(zip(widths, repeats, strict=True))
        for block in range(blocks)
    ]

"""VGG (Simonyan & Zisserman 2015) for 32x32 images, the variant of Tian et al. 2020 (CRD).

It differs from the original: batch normalisation, fewer poolings, one linear layer, no dropout.
"""

from torch import Tensor, nn

from vicinal.errors import VicinalError
from vicinal.models.layers import check_integers, global_average, initialise


class VGG(nn.Module):
    """Stages of 3x3 convolutions; the first ``pooled_stages`` of them end with 2x2 max pooling."""

    def __init__(self, num_classes: int, in_channels: int, stages: list[list[int]], pooled_stages: int):
        super().__init__()
        if not isinstance(stages, list | tuple) or not stages:
            raise VicinalError(f"architecture.stages: {stages!r} is not a list of lists of widths")
        for number, widths in enumerate(stages):
            check_integers(f"stages[{number}]", widths)
        if pooled_stages not in range(len(stages) + 1):
            raise VicinalError(f"architecture.pooled_stages: {pooled_stages!r} is not from 0 to {len(stages)}")
        layers: list[nn.Module] = []
        for number, widths in enumerate(stages):
            for width in widths:
                # The bias is idle before batch normalisation, but published counts include it.
                layers += [
                    nn.Conv2d(in_channels, width, 3, padding=1),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
                in_channels = width
            if number < pooled_stages:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(in_channels, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W), H and W >= 2 ** pooled_stages, to logits (N, num_classes)."""
        return self.fc(global_average(self.features(x)))


def build(num_classes: int, in_channels: int, stages: list[list[int]], pooled_stages: int) -> VGG:
    """Build a network; ``stages`` are the channels of the convolutions, stage by stage.

    Raises:
        VicinalError: ``stages`` or ``pooled_stages`` is wrong.
    """
    return VGG(num_classes, in_channels, stages, pooled_stages)

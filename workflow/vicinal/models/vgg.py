"""VGG (Simonyan & Zisserman 2015) for 32x32 images, the variant of Tian et al. 2020 (CRD).

It differs from the original: batch normalisation, fewer poolings, one linear layer, no dropout.
"""

from torch import Tensor, nn

from vicinal.models.layers import check_integers, global_average, initialise


class VGG(nn.Module):
    """Stages of 3x3 convolutions with these channels; the first ``pooled_stages`` stages end with 2x2 max pooling."""

    def __init__(self, num_classes: int, in_channels: int, stages: list[list[int]], pooled_stages: int):
        super().__init__()
        layers: list[nn.Module] = []
        for number, widths in enumerate(stages):
            check_integers(f"stages[{number}]", widths)
            for width in widths:
                # The bias has no effect before batch normalisation, but published counts include it.
                layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                in_channels = width
            if number < pooled_stages:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(in_channels, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W), H and W >= 2 ** pooled_stages, to logits (N, num_classes)."""
        return self.fc(global_average(self.features(x)))


build = VGG

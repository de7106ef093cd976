"""MobileNetV2 for photographs (Sandler et al. 2018) as torchvision builds it."""

from torch import nn
from torchvision import models

from vicinal.models.imagenet import check_rgb, replace_head


def build(num_classes: int, in_channels: int, head: str, dropout: float) -> models.MobileNetV2:
    """Build a network for RGB images, of any size from 32x32 up.

    ``head`` and ``dropout``: see ``replace_head``; a linear head with dropout 0.2 is torchvision's own.

    Raises:
        VicinalError: a parameter is wrong.
    """
    check_rgb(in_channels)
    network = models.mobilenet_v2(num_classes=num_classes)
    network.classifier[0] = nn.Identity()  # dropout, which the head has
    replace_head(network, "classifier.1", head, dropout)
    return network

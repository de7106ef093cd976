"""ConvNeXts (Liu et al. 2022) as torchvision builds them."""

from torchvision import models

from vicinal.models.imagenet import check_choice, check_rgb, check_share, replace_head

NETWORKS = {"tiny": models.convnext_tiny, "large": models.convnext_large}


def build(
    num_classes: int, in_channels: int, size: str, stochastic_depth: float, head: str, dropout: float
) -> models.ConvNeXt:
    """Build a network for RGB images, of any size from 32x32 up.

    Args:
        num_classes: number of logits K.
        in_channels: 3.
        size: ``tiny`` or ``large``.
        stochastic_depth: probability that the last block is left out of a training step; from 0 at the first block it
            grows linearly to this. Keras, which the authors used, has 0; torchvision trained with 0.1 and 0.5.
        head: see ``replace_head``.
        dropout: see ``replace_head``.

    Raises:
        VicinalError: a parameter is wrong.
    """
    check_rgb(in_channels)
    check_choice("size", size, NETWORKS)
    check_share("stochastic_depth", stochastic_depth)
    network = NETWORKS[size](num_classes=num_classes, stochastic_depth_prob=stochastic_depth)
    replace_head(network, "classifier.2", head, dropout)
    return network

"""Vision Transformers (Dosovitskiy et al. 2021) as torchvision builds them, for images of 224x224."""

from torchvision import models

from vicinal.models.imagenet import check_choice, check_rgb, replace_head

NETWORKS = {"b_16": models.vit_b_16}


def build(num_classes: int, in_channels: int, size: str, head: str, dropout: float) -> models.VisionTransformer:
    """Build a network for RGB images of 224x224; the head takes the class token.

    A new linear head starts at 0, as in the paper: all logits are 0 before the first step.

    Args:
        num_classes: number of logits K.
        in_channels: 3.
        size: ``b_16``: base, patches of 16x16.
        head: see ``replace_head``.
        dropout: of the head, see ``replace_head``; there is none elsewhere.

    Raises:
        VicinalError: a parameter is wrong.
    """
    check_rgb(in_channels)
    check_choice("size", size, NETWORKS)
    network = NETWORKS[size](num_classes=num_classes)
    replace_head(network, "heads.head", head, dropout)
    return network

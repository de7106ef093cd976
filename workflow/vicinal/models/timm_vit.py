"""Vision Transformers (Dosovitskiy et al. 2021) from timm, an optional package, for images of 224x224.

The network is that of ``torchvision_vit`` under other names. timm has the weights of the paper's authors for it, which
were trained without mixup; torchvision's were trained with it.
"""

from typing import TYPE_CHECKING

from torch import nn

from vicinal.models.imagenet import check_choice, check_rgb, replace_head
from vicinal.models.timm_package import timm_network

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

NETWORKS = {"b_16": "vit_base_patch16_224"}  # by timm's names


def build(num_classes: int, in_channels: int, size: str, head: str, dropout: float) -> "VisionTransformer":
    """Build a network for RGB images of 224x224; the head takes the class token.

    A new linear head starts at 0, as in the paper: all logits are 0 before the first step.

    Args:
        num_classes: number of logits K.
        in_channels: 3.
        size: ``b_16``: base, patches of 16x16.
        head: see ``replace_head``.
        dropout: of the head, see ``replace_head``; there is none elsewhere.

    Raises:
        VicinalError: a parameter is wrong, or timm is not installed.
    """
    check_rgb(in_channels)
    check_choice("size", size, NETWORKS)
    network = timm_network(NETWORKS[size], num_classes)
    nn.init.zeros_(network.head.weight)  # the bias is 0 already
    replace_head(network, "head", head, dropout)
    return network

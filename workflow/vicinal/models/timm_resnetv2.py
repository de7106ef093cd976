"""ResNets with activation before convolution (He et al. 2016, *Identity Mappings*) from timm, an optional package.

``resnetv2_152`` is the nearest there is to Keras' ResNet152V2, a teacher of the authors. It differs in two things: the
stride of a stage is in its first block, in Keras in its last; and Keras' convolutions before additions, shortcuts and
stem have biases (51,776 numbers more). No weights are published for it. Those ending in ``_bit`` are Big Transfer's
(Kolesnikov et al. 2020), with group normalisation and standardised weights; theirs are published.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING

from torch import nn

from vicinal.models.imagenet import check_choice, check_rgb, replace_head
from vicinal.models.timm_package import timm_network

if TYPE_CHECKING:
    from timm.models.resnetv2 import ResNetV2

VARIANTS = (
    *("resnetv2_50", "resnetv2_101", "resnetv2_152"),
    *("resnetv2_50x1_bit", "resnetv2_101x1_bit", "resnetv2_152x2_bit"),
)


def build(num_classes: int, in_channels: int, variant: str, head: str, dropout: float) -> "ResNetV2":
    """Build a network for RGB images, of any size from 32x32 up.

    Args:
        num_classes: number of logits K.
        in_channels: 3.
        variant: timm's name of the network.
        head: see ``replace_head``. timm's last layer is a 1x1 convolution; here it is linear, which is the same.
        dropout: see ``replace_head``.

    Raises:
        VicinalError: a parameter is wrong, or timm is not installed.
    """
    check_rgb(in_channels)
    check_choice("variant", variant, VARIANTS)
    network = timm_network(variant, num_classes)
    last = nn.Linear(network.num_features, num_classes)
    nn.init.normal_(last.weight, std=0.01)  # as timm
    nn.init.zeros_(last.bias)
    layers = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(1), "fc": last}
    network.head = nn.Sequential(OrderedDict(layers))
    replace_head(network, "head.fc", head, dropout)
    return network

"""Networks for photographs from timm, an optional package.

- ResNets with activation before convolution (He et al. 2016, *Identity Mappings*). ``resnetv2_152`` is close to Keras'
  ResNet152V2, a teacher of the authors. Two things differ: the stride of a stage is in its first block, in Keras in its
  last; and Keras' convolutions before additions, in shortcuts and in the stem have biases (51,776 more numbers).
  It has no published weights. Those ending in ``_bit`` are Big Transfer's (Kolesnikov et al. 2020), with group
  normalisation, standardised weights, and published weights.
- Vision Transformer (Dosovitskiy et al. 2021), for images of 224x224: the same as torchvision's, with other names. timm
  has the weights of the paper's authors, trained without mixup; torchvision's were trained with it. The head takes the
  class token. A new linear head starts at 0, as in the paper: all logits are 0 before the first step.
"""

from collections import OrderedDict

from torch import nn

from vicinal.errors import VicinalError
from vicinal.models.heads import check_choice, check_rgb, replace_head

VIT = "vit_base_patch16_224"
NETWORKS = (
    *("resnetv2_50", "resnetv2_101", "resnetv2_152"),
    *("resnetv2_50x1_bit", "resnetv2_101x1_bit", "resnetv2_152x2_bit"),
    VIT,
)


def build(num_classes: int, in_channels: int, network: str, head: str, dropout: float) -> nn.Module:
    """Build a network for RGB images, of any size from 32x32 up (the Vision Transformer: of 224x224).

    The name is timm's, one of ``NETWORKS``. For head and dropout, the only one, see ``replace_head``; it replaces the
    1x1 convolution of timm's ResNets by an equal linear layer. Raises VicinalError: a parameter is wrong, or timm is
    missing.
    """
    check_rgb(in_channels)
    check_choice("network", network, NETWORKS)
    model = _timm_network(network, num_classes)
    if network == VIT:
        nn.init.zeros_(model.head.weight)  # the bias is 0 already
        replace_head(model, "head", head, dropout)
    else:
        last = nn.Linear(model.num_features, num_classes)
        nn.init.normal_(last.weight, std=0.01)  # as timm
        nn.init.zeros_(last.bias)
        layers = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(1), "fc": last}
        model.head = nn.Sequential(OrderedDict(layers))
        replace_head(model, "head.fc", head, dropout)
    return model


def _timm_network(name: str, num_classes: int) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise VicinalError(
            f"architecture.network: {name} is a network of the package timm, which cannot be imported ({error}): "
            "pip install 'timm>=1.0'"
        ) from None
    return timm.create_model(name, num_classes=num_classes)

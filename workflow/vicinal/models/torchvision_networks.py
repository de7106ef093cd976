"""Networks for photographs as torchvision builds them.

- ResNet (He et al. 2016, *Deep Residual Learning*, table 1): activations follow the additions, and bottlenecks have
  their stride in the 3x3 convolution. Keras' ResNet152V2, a teacher of the authors, normalises and activates before
  each convolution (He et al. 2016, *Identity Mappings*): timm's ResNetV2 is closer.
- MobileNetV2 (Sandler et al. 2018).
- ConvNeXt (Liu et al. 2022), without stochastic depth, as in Keras, which the authors used; torchvision trained with
  0.1 (tiny) and 0.5 (large).
- Vision Transformer (Dosovitskiy et al. 2021), for images of 224x224. The head takes the class token. A new linear head
  starts at 0, as in the paper: all logits are 0 before the first step.
"""

from torch import nn
from torchvision import models

from vicinal.models.heads import check_choice, check_rgb, replace_head

# torchvision's name of each network → name of its last layer.
NETWORKS = {
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), "fc"),
    "mobilenet_v2": "classifier.1",
    **dict.fromkeys(("convnext_tiny", "convnext_large"), "classifier.2"),
    "vit_b_16": "heads.head",
}


def build(num_classes: int, in_channels: int, network: str, head: str, dropout: float) -> nn.Module:
    """Build one of ``NETWORKS`` for RGB images, of any size from 32x32 up (the Vision Transformer: of 224x224).

    For head and dropout, the only one, see ``replace_head``; MobileNetV2's own head has 0.2. Raises VicinalError: a
    parameter is wrong.
    """
    check_rgb(in_channels)
    check_choice("network", network, NETWORKS)
    options = {"stochastic_depth_prob": 0.0} if network.startswith("convnext") else {}
    model = models.get_model(network, num_classes=num_classes, **options)
    if network == "mobilenet_v2":
        model.classifier[0] = nn.Identity()  # dropout, which the head has
    replace_head(model, NETWORKS[network], head, dropout)
    return model

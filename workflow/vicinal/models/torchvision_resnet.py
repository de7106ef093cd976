"""ResNets for photographs (He et al. 2016, *Deep Residual Learning*, table 1) as torchvision builds them.

Activations follow the additions, and bottlenecks have their stride in the 3x3 convolution. Keras' ResNet152V2, a
teacher of the authors, is of the later kind (He et al. 2016, *Identity Mappings*), with normalisation and activation
before each convolution: ``timm_resnetv2`` is closer to it.
"""

from torchvision import models

from vicinal.models.imagenet import check_choice, check_rgb, replace_head

NETWORKS = {
    18: models.resnet18,
    34: models.resnet34,
    50: models.resnet50,
    101: models.resnet101,
    152: models.resnet152,
}


def build(num_classes: int, in_channels: int, depth: int, head: str, dropout: float) -> models.ResNet:
    """Build a network for RGB images, of any size from 32x32 up; ``head`` and ``dropout``: see ``replace_head``.

    Raises:
        VicinalError: a parameter is wrong.
    """
    check_rgb(in_channels)
    check_choice("depth", depth, NETWORKS)
    network = NETWORKS[depth](num_classes=num_classes)
    replace_head(network, "fc", head, dropout)
    return network

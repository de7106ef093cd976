"""The networks by name: what a config calls ``resnet20``, resolved.

Specs hold the resolved architecture, not its name. An entry is plain JSON and, with the numbers of classes and of input
channels, determines the network fully. To add a network, add an entry; ``family`` is the module of ``vicinal.models``
whose ``build`` takes the other keys.

Each network for photographs has three heads. ``NAME``: its own last layer. ``NAME_dropout``: the same after dropout of
0.3, for fine-tuning. ``NAME_mlp``: the authors' head, Dense 256, batch normalisation, ReLU, dropout 0.3, Dense. All
start from the same pretrained weights, see ``vicinal.models.pretrained``.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from vicinal.errors import VicinalError, nearest

_RESNET_DEPTHS = (8, 14, 20, 32, 44, 56, 110)


def _resnet(depth: int, widths: list[int]) -> dict[str, Any]:
    return {"family": "cifar_resnet", "depth": depth, "widths": widths}


def _wrn(depth: int, widen_factor: int) -> dict[str, Any]:
    return {"family": "wide_resnet", "depth": depth, "widen_factor": widen_factor}


ARCHITECTURES: dict[str, dict[str, Any]] = {
    # He et al. 2016, section 4.2; x4: Tian et al. 2020 (CRD); narrow: half the widths, for digits
    **{f"resnet{depth}": _resnet(depth, [16, 16, 32, 64]) for depth in _RESNET_DEPTHS},
    **{f"resnet{depth}x4": _resnet(depth, [32, 64, 128, 256]) for depth in (8, 32)},
    **{f"resnet{depth}_narrow": _resnet(depth, [8, 8, 16, 32]) for depth in (8, 14)},
    # Zagoruyko & Komodakis 2016
    **{f"wrn_{depth}_{k}": _wrn(depth, k) for depth in (16, 40) for k in (1, 2)},
    # The rest: the variants for 32x32 images of Tian et al. 2020 (CRD)
    "vgg8": {"family": "vgg", "stages": [[64], [128], [256], [512], [512]], "pooled_stages": 3},
    "vgg13": {
        "family": "vgg",
        "stages": [[64, 64], [128, 128], [256, 256], [512, 512], [512, 512]],
        "pooled_stages": 3,
    },
    "mobilenet_v2": {"family": "mobilenet_v2", "expansion": 6, "width": 0.5},
    "shufflenet_v1": {
        "family": "shufflenet_v1",
        "groups": 3,
        "stem": 24,
        "widths": [240, 480, 960],
        "blocks": [4, 8, 4],
    },
    "shufflenet_v2": {
        "family": "shufflenet_v2",
        "head": 1024,
        "stem": 24,
        "widths": [116, 232, 464],
        "blocks": [3, 7, 3],
    },
}


def _torchvision(network: str) -> dict[str, Any]:
    return {"family": "torchvision_networks", "network": network}


def _timm(network: str) -> dict[str, Any]:
    return {"family": "timm_networks", "network": network}


# The networks for photographs without their heads. resnet20, mobilenet_v2 and so on above are other networks.
TRUNKS: dict[str, dict[str, Any]] = {
    **{f"resnet{depth}_imagenet": _torchvision(f"resnet{depth}") for depth in (18, 34, 50, 101, 152)},
    "mobilenet_v2_imagenet": _torchvision("mobilenet_v2"),
    **{name: _torchvision(name) for name in ("convnext_tiny", "convnext_large", "vit_b_16")},
    # These need the package timm.
    **{f"resnetv2_{depth}_imagenet": _timm(f"resnetv2_{depth}") for depth in (50, 101, 152)},
    **{name: _timm(name) for name in ("resnetv2_101x1_bit", "resnetv2_152x2_bit")},
    # vit_b_16 as timm builds it, with other weights.
    "vit_b_16_in21k": _timm("vit_base_patch16_224"),
}
_HEADS: dict[str, dict[str, Any]] = {
    "": {"head": "linear", "dropout": 0.0},
    "_dropout": {"head": "linear", "dropout": 0.3},
    "_mlp": {"head": "mlp", "dropout": 0.3},
}
ARCHITECTURES |= {f"{name}{suffix}": {**TRUNKS[name], **head} for suffix, head in _HEADS.items() for name in TRUNKS}
ARCHITECTURES["mobilenet_v2_imagenet"]["dropout"] = 0.2  # its own


class Input(NamedTuple):
    """What a network takes: square RGB images of ``size`` pixels, values / 255, less ``mean``, divided by ``std``."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# By family: the input of the pretrained weights; for timm's networks that is also Keras' range, [-1, 1].
INPUTS: dict[str, Input] = {
    "timm_networks": Input(224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "torchvision_networks": Input(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def input_of(architecture: Mapping[str, Any]) -> Input | None:
    """Return what a network takes; None: images of any size, normalised by the mean and deviation of the data set."""
    return INPUTS.get(architecture["family"])


def architecture(name: str) -> dict[str, Any]:
    """Return the architecture of a model name, a copy, plain JSON. Raises VicinalError: there is no such model."""
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise VicinalError(f"model: there is no model {name!r}{nearest(name, ARCHITECTURES)}")
    return copy.deepcopy(ARCHITECTURES[name])

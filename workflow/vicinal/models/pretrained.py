"""Published weights of the networks for photographs; the last data set that they were trained on is ImageNet-1k.

The spec of a result has the name and checksum of its weights, so a new entry changes no result. Licence: torchvision
(BSD-3-Clause) and timm (Apache-2.0) put weights under the terms of their data, here ImageNet's: non-commercial
research. This module imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vicinal.errors import VicinalError, nearest
from vicinal.models.registry import TRUNKS

FOLDER = "weights"  # below data.root

MIXUP_ALPHA = 0.2  # of the weights that were trained with mixup
CLASSES = 1000  # of ImageNet-1k, in the order of their WordNet ids

# Sizes of torchvision's weights are published in thousandths of a MiB.
TOLERANCE = 2 * 2**20 // 1000

_PLAIN = "no mixup, no label smoothing: torchvision's reference recipe of {}, IMAGENET1K_V1"
_MIXED = "mixup 0.2, CutMix 1.0, label smoothing {}: torchvision's reference recipe of {}, IMAGENET1K_V1"
_A1H = (
    "mixup 0.2, CutMix 1.0, label smoothing 0.1, binary cross-entropy: timm's a1h_in1k, recipe A1 of Wightman et al."
    " 2021 (ResNet strikes back), more regularised"
)
_VIT = (
    "no mixup: timm's orig_in21k_ft_in1k, trained by Dosovitskiy et al. 2021 (ViT) on ImageNet-21k, then on ImageNet-1k"
    " at 224 pixels, converted from their JAX files"
)


@dataclass(frozen=True)
class Weights:
    """A published file of weights."""

    url: str  # https only
    sha256: str  # beginning of the file's checksum; torchvision and timm publish 8 hexadecimal digits, in the name
    # Upper bound of the size in bytes, where a download stops. torchvision publishes it in 0.001 MiB, rounded up here.
    # timm does not publish it; it is that of the tensors and 1 % for their names.
    size: int
    # Whether the weights were trained with mixup, which the paper's teachers must not have seen. If so, the publisher
    # has no other weights of the network.
    pretraining_mixup: bool
    recipe: str  # how they were trained, and the source that says so
    mixup_alpha: float | None = None  # α of that mixup; None: there was none
    tolerance: int = TOLERANCE  # largest difference of the true size from ``size``, in bytes

    @property
    def file(self) -> str:
        """Return the name of the file."""
        return PurePosixPath(self.url).name


def _torchvision(name: str, sha256: str, mebibytes: float, recipe: str) -> Weights:
    url = f"https://download.pytorch.org/models/{name}-{sha256}.pth"
    return Weights(url, sha256, int((mebibytes + 0.001) * 2**20), *_mixup(recipe))


def _timm(name: str, sha256: str, numbers: int, recipe: str) -> Weights:
    """Return weights of timm's releases; ``numbers``: bytes of all tensors in the file."""
    url = f"https://github.com/huggingface/pytorch-image-models/releases/download/{name}-{sha256}.pth"
    margin = numbers // 100
    return Weights(url, sha256, numbers + margin, *_mixup(recipe), tolerance=margin)


def _mixup(recipe: str) -> tuple[bool, str, float | None]:
    mixed = recipe.startswith("mixup")
    return mixed, recipe, MIXUP_ALPHA if mixed else None


# By the name of the network in vicinal.models.registry, without the ending of its head. Not here: torchvision's later
# weights (IMAGENET1K_V2), which were trained with mixup and CutMix, and timm's of Big Transfer (_bit), which have no
# published checksums; a user can download those and name the file.
WEIGHTS: dict[str, Weights] = {
    "resnet18_imagenet": _torchvision("resnet18", "f37072fd", 44.661, _PLAIN.format("ResNet")),
    "resnet34_imagenet": _torchvision("resnet34", "b627a593", 83.275, _PLAIN.format("ResNet")),
    "resnet50_imagenet": _torchvision("resnet50", "0676ba61", 97.781, _PLAIN.format("ResNet")),
    "resnet101_imagenet": _torchvision("resnet101", "63fe2227", 170.511, _PLAIN.format("ResNet")),
    "resnet152_imagenet": _torchvision("resnet152", "394f9c45", 230.434, _PLAIN.format("ResNet")),
    "mobilenet_v2_imagenet": _torchvision("mobilenet_v2", "b0353104", 13.555, _PLAIN.format("MobileNetV2")),
    "convnext_tiny": _torchvision("convnext_tiny", "983f1562", 109.119, _MIXED.format("0.1", "ConvNeXt")),
    "convnext_large": _torchvision("convnext_large", "ea097f82", 754.537, _MIXED.format("0.1", "ConvNeXt")),
    "vit_b_16": _torchvision("vit_b_16", "c867db91", 330.285, _MIXED.format("0.11", "vit_b_16")),
    "resnetv2_50_imagenet": _timm("v0.1-rsb-weights/resnetv2_50_a1h", "000cdf49", 102_379_560, _A1H),
    "resnetv2_101_imagenet": _timm("v0.1-rsb-weights/resnetv2_101_a1h", "5d01f016", 178_557_376, _A1H),
    "vit_b_16_in21k": _timm("v0.1-vitjx/jx_vit_base_p16_224", "80ecf9dd", 346_270_624, _VIT),
}
# Parameters of an architecture that do not concern published weights.
_UNTRAINED = {"head", "dropout"}


def weights_name(architecture: Mapping[str, Any]) -> str | None:
    """Return the name in ``WEIGHTS`` of the weights of a network, whatever its head; None if there are none."""
    trunk = {key: value for key, value in architecture.items() if key not in _UNTRAINED}
    return next((name for name in WEIGHTS if TRUNKS[name] == trunk), None)


def weights_path(root: Path | str, name: str) -> Path:
    """Return the path of published weights, below the root of all data. Raises VicinalError: there are none."""
    if name not in WEIGHTS:
        raise VicinalError(f"weights: there are no published weights {name!r}{nearest(name, WEIGHTS)}")
    return Path(root) / FOLDER / WEIGHTS[name].file

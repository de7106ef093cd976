"""Published weights of the networks for photographs, trained on ImageNet-1k.

Which ones a result started from stands in its spec (name and checksum), so a new entry changes no results. Licence:
torchvision (BSD-3-Clause) leaves its weights to the terms of their data, here ImageNet's: non-commercial research.
Importing this imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vicinal.errors import VicinalError, nearest
from vicinal.models.registry import TRUNKS

FOLDER = "weights"  # below data.root

MIXUP_ALPHA = 0.2  # of those that were trained with it
CLASSES = 1000  # of ImageNet-1k, in the order of their WordNet ids

_PLAIN = "no mixup, no label smoothing: torchvision's reference recipe of {}, IMAGENET1K_V1"
_MIXED = "mixup 0.2, CutMix 1.0, label smoothing {}: torchvision's reference recipe of {}, IMAGENET1K_V1"


@dataclass(frozen=True)
class Weights:
    """A published file of weights.

    Attributes:
        url: https only.
        sha256: what the checksum of the file begins with; torchvision publishes 8 hexadecimal digits, in the name.
        size: in bytes, rounded up to 0.001 MiB.
        pretraining_mixup: whether inputs were mixed when the weights were trained, which the paper's teachers must not
            have seen. Where true, only such weights are published.
        recipe: how they were trained, and who says so.
        mixup_alpha: α of that mixup; None: none.
    """

    url: str
    sha256: str
    size: int
    pretraining_mixup: bool
    recipe: str
    mixup_alpha: float | None = None

    @property
    def file(self) -> str:
        """Return the name of the file."""
        return PurePosixPath(self.url).name


def _torchvision(name: str, sha256: str, mebibytes: float, recipe: str) -> Weights:
    url = f"https://download.pytorch.org/models/{name}-{sha256}.pth"
    mixed = recipe.startswith("mixup")
    return Weights(url, sha256, int((mebibytes + 0.001) * 2**20), mixed, recipe, MIXUP_ALPHA if mixed else None)


# By the name of the network in vicinal.models.registry, without the ending of its head. Later weights of torchvision
# (IMAGENET1K_V2) are left out: they were trained with mixup and CutMix. So are those of timm's networks, whose
# checksums are not published with them: get them by hand and name the file.
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
}
# Parameters of an architecture that have no weights, or whose weights are made anew.
_UNTRAINED = {"head", "dropout", "stochastic_depth"}


def pretrained_weights(name: str) -> Weights:
    """Return the published weights of a name in ``WEIGHTS``.

    Raises:
        VicinalError: there are none of this name.
    """
    if name not in WEIGHTS:
        raise VicinalError(f"weights: there are no published weights {name!r}{nearest(name, WEIGHTS)}")
    return WEIGHTS[name]


def weights_name(architecture: Mapping[str, Any]) -> str | None:
    """Return the name in ``WEIGHTS`` of the weights that fit a network, whatever its head; None if there are none."""
    trunk = _trunk(architecture)
    return next((name for name in WEIGHTS if _trunk(TRUNKS[name]) == trunk), None)


def weights_path(root: Path | str, name: str) -> Path:
    """Return where the file of published weights lies, below the root of all data.

    Raises:
        VicinalError: there are none of this name.
    """
    return Path(root) / FOLDER / pretrained_weights(name).file


def _trunk(architecture: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in architecture.items() if key not in _UNTRAINED}

"""The networks for small images, by name: what a config calls ``resnet20``, resolved.

The resolved architecture, not its name, is written into specs and hashed. So an entry is plain JSON
and, with the numbers of classes and of input channels, determines the network fully. To add a
network, add an entry; ``family`` is the module of ``vicinal.models`` whose ``build`` takes the other
keys.
"""

import copy
from typing import Any

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
    "vgg8": {
        "family": "vgg",
        "stages": [[64], [128], [256], [512], [512]],
        "pooled_stages": 3,
    },
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
        "stem": 24,
        "widths": [116, 232, 464],
        "blocks": [3, 7, 3],
        "head": 1024,
    },
}


def architecture(name: str) -> dict[str, Any]:
    """Return the resolved architecture of a model name: a fresh copy, plain JSON.

    Raises:
        VicinalError: there is no such model; the message has the nearest names.
    """
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise VicinalError(f"model: there is no model {name!r}{nearest(name, ARCHITECTURES)}")
    return copy.deepcopy(ARCHITECTURES[name])

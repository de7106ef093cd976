"""Networks by family.

This package imports no torch: a family is imported when one of its networks is built.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vicinal.errors import VicinalError, nearest
from vicinal.models.registry import ARCHITECTURES

if TYPE_CHECKING:
    from torch import nn


def build_model(architecture: Mapping[str, Any], num_classes: int, in_channels: int = 3) -> nn.Module:
    """Build a network with fresh weights, drawn from torch's global generator.

    Args:
        architecture: ``{"family": module of vicinal.models, **keyword arguments of its build}``.
        num_classes: number of logits K, at least 2.

    Returns:
        A module that maps images (N, C, H, W) to logits (N, K).

    Raises:
        VicinalError: there is no such family, or it does not take these parameters.
    """
    params = dict(architecture)
    build = _family(params.pop("family", None))
    arguments = {"num_classes": num_classes, "in_channels": in_channels}
    expected = [p for p in inspect.signature(build).parameters if p not in arguments]
    if sorted(params) != sorted(expected):
        raise VicinalError(
            f"architecture: family {architecture['family']} takes {', '.join(expected)}, not "
            f"{', '.join(params) or 'nothing'}"
        )
    return build(**arguments, **params)


def _family(name: Any) -> Any:
    """Return the ``build`` of a family's module."""
    module = f"{__name__}.{name}"
    # A dotted or empty name could reach modules elsewhere.
    if isinstance(name, str) and name.isidentifier() and importlib.util.find_spec(module):
        build = getattr(importlib.import_module(module), "build", None)
        if build is not None:
            return build
    families = sorted({entry["family"] for entry in ARCHITECTURES.values()})
    raise VicinalError(f"architecture.family: there is no family {name!r}{nearest(name, families)}")

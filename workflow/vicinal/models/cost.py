"""What a network costs: parameters, operations and memory, counted in one run on torch's device "meta".

That device follows shapes and computes nothing, so every network of ``build_model`` can be counted, also a user's own.
A multiply-accumulate (MAC) is two floating-point operations (FLOP). As usual, batch normalisation, activations, pooling
and additions are not counted as operations.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from vicinal.errors import VicinalError
from vicinal.files import PACKAGE, WORKFLOW, read_object, write_json
from vicinal.jobs.fingerprint import fingerprint_code
from vicinal.spec import canonical, digest

# Images of the counted batch: enough that what is kept once per batch hardly matters.
BATCH = 64
# The costs of the networks of the shipped experiments: ``workflow/scripts/export_costs.py`` writes them.
SHIPPED = WORKFLOW / "reference" / "costs.csv"


class Cost(NamedTuple):
    """What one network costs."""

    parameters: int  # trained numbers
    macs: int  # multiply-accumulates of the forward pass of one image
    # Convolutions and matrix products of a forward pass; on a GPU with small images the time depends on their number,
    # not their size.
    calls: int
    weights_bytes: int  # of the network's float32 weights and statistics on disk
    activations: int  # numbers that a forward pass in training keeps for the backward pass, for one image


class Costs:
    """The costs of networks, each counted once and kept in a file, so that the next process needs no torch."""

    def __init__(self, file: Path | None = None, shipped: Mapping[str, Sequence[int]] | None = None) -> None:
        """Read the known costs.

        Args:
            file: JSON that keeps the costs, made if it is missing; None: nothing is kept.
            shipped: costs that need not be counted nor kept (``shipped_costs``).
        """
        self.file = file
        self._shipped = shipped or {}
        self._kept: dict[str, list[int]] = read_object(file) if file else {}
        self._known: dict[tuple, Cost] = {}  # by canonical architecture and image

    def of(self, architecture: Mapping[str, Any], num_classes: int, channels: int, height: int, width: int) -> Cost:
        """Return what a network costs.

        Args:
            architecture: resolved, see ``vicinal.models.registry``; one that ``build_model`` accepts.
            height, width: of the images, in pixels.

        Raises:
            VicinalError: the network cannot be built, or does not take images of this size.
        """
        asked = canonical(architecture), num_classes, channels, height, width
        if asked not in self._known:
            self._known[asked] = self._find(cost_key(*asked), *asked)
        return self._known[asked]

    def _find(self, key: str, *asked: Any) -> Cost:
        found = self._shipped.get(key) or self._kept.get(key)
        if isinstance(found, list) and len(found) == len(Cost._fields):
            return Cost(*found)
        cost = count_cost(*asked)
        self._kept[key] = list(cost)
        if self.file is not None:
            with suppress(OSError):  # a plan needs no right to write
                write_json(self.file, self._kept)
        return cost


def cost_key(architecture: str, *image: int) -> str:
    """Return the key of a cost: the hash of architecture (JSON), image, code of the network and of this module."""
    family = PACKAGE / "models" / f"{json.loads(architecture)['family']}.py"
    code = fingerprint_code(family, (__name__,), PACKAGE) if family.is_file() else ""
    return digest([architecture, *image, code])[:16]


def shipped_costs() -> dict[str, list[int]]:
    """Return the costs in ``SHIPPED`` by their ``cost_key``: where the code of a network changed, none is found."""
    with SHIPPED.open(encoding="utf-8", newline="") as file:
        return {row["key"]: [int(row[name]) for name in Cost._fields] for row in csv.DictReader(file)}


@cache
def count_cost(architecture: str, num_classes: int, channels: int, height: int, width: int) -> Cost:
    """Count what a network costs; see ``Costs.of``, with the architecture as JSON. Imports torch."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode, flop_registry

    from vicinal.models import build_model

    class Calls(TorchDispatchMode):
        number = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.number += function._overloadpacket in flop_registry
            return function(*args, **(kwargs or {}))

    resolved = json.loads(architecture)
    with torch.device("meta"):
        model = build_model(resolved, num_classes, channels).train()
        images = torch.empty(BATCH, channels, height, width)
    weights = {tensor.untyped_storage()._cdata for tensor in model.state_dict().values()}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        # Tensors on "meta" have no data, but the address of their storage object, which is kept, is unique.
        if tensor.is_floating_point() and storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    flops, calls = FlopCounterMode(display=False), Calls()
    try:
        with flops, calls, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(images)
    except (RuntimeError, AssertionError, ValueError, IndexError, TypeError) as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise VicinalError(
            f"architecture.family: {resolved['family']} does not take images of {height}x{width} with {channels} "
            f"channels: {text[0]}"
        ) from None
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=flops.get_total_flops() // (2 * BATCH),
        calls=calls.number,
        weights_bytes=sum(tensor.nbytes for tensor in model.state_dict().values()),
        activations=sum(storage.nbytes() for storage in kept.values()) // (4 * BATCH),
    )

"""The precision that ``auto`` stands for: a fixed rule, since results must not depend on measured times."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from vicinal.data.store import DataStore
from vicinal.jobs.provenance import cpu_flags
from vicinal.models.cost import Cost, Costs, shipped_costs
from vicinal.results import PLAN

# Of a CPU that multiplies bf16 natively: x86 (AVX512-BF16, AMX) and Arm.
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
# A CPU takes bf16 for networks of at least so many multiply-accumulates an image, and so many for each number that is
# kept for the backward pass. Smaller networks gain nothing from it, and depthwise convolutions lose: see speed.md.
LEAST_MACS, LEAST_MACS_A_NUMBER = 3_000_000, 35


def auto_precision(device: torch.device, cost: Callable[[], Cost] | None = None) -> str:
    """Return ``bf16`` where the device has it and the network is faster with it, else ``fp32``.

    Args:
        device: where to train.
        cost: of the network that is trained; called only where it matters. None: as of a small network.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if cost is None or not BF16_FLAGS & cpu_flags():
        return "fp32"
    found = cost()
    return "bf16" if found.macs >= max(LEAST_MACS, LEAST_MACS_A_NUMBER * found.activations) else "fp32"


def network_cost(spec: Mapping[str, Any], store: DataStore, results: Path) -> Cost:
    """Return what the network of a teacher's or student's spec costs; planning counted it already, as a rule.

    Raises:
        VicinalError: the network does not take these images.
    """
    # Photos have no common size; the recipe says what the networks see.
    height, width, channels = store.meta.get("image_shape", (0, 0, 3))
    if crop := spec["recipe"].get("crop"):
        height = width = crop
    costs = Costs(results / PLAN / "costs.json", shipped_costs())
    return costs.of(spec["model"], store.num_classes, channels, height, width)

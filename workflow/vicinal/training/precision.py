"""The precision that ``auto`` stands for: a fixed rule, since results must not depend on measured times."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from vicinal.data.store import DataStore
from vicinal.jobs.provenance import cpu_info
from vicinal.models.cost import Cost, Costs, shipped_costs
from vicinal.results import PLAN

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
    if cost is None or not has_fast_bf16(cpu_info()):
        return "fp32"
    found = cost()
    return "bf16" if found.macs >= max(LEAST_MACS, LEAST_MACS_A_NUMBER * found.activations) else "fp32"


def has_fast_bf16(cpu: Mapping[str, str]) -> bool:
    """Return whether a CPU is taken to multiply bf16 faster than float32, by what ``/proc/cpuinfo`` says of it.

    Measured (speed.md): AVX512-BF16 is faster on AMD and slower on Intel. AMX and Arm's bf16 are assumed to be faster.
    """
    flags = set(cpu.get("flags", cpu.get("Features", "")).split())  # on x86, on Arm
    if {"amx_bf16", "bf16"} & flags:
        return True
    return "avx512_bf16" in flags and cpu.get("vendor_id") != "GenuineIntel"


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

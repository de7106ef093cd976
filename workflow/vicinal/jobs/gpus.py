"""Which GPUs there are, and which of them a process may use."""

import os
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vicinal.errors import say

VISIBLE = "CUDA_VISIBLE_DEVICES"
PROC = Path("/proc/driver/nvidia/gpus")
SMI_SECONDS = 10


@dataclass(frozen=True)
class Gpu:
    """A GPU of this machine."""

    index: int  # as nvidia-smi counts, by PCI bus
    model: str  # name of the model
    uuid: str  # empty if unknown
    mig: tuple[str, ...] = ()  # UUIDs of its MIG devices; with MIG on, only these can be used

    @property
    def names(self) -> tuple[str, ...]:
        """Return its devices that can be leased, as CUDA_VISIBLE_DEVICES takes them."""
        return self.mig or (self.uuid or str(self.index),)


@cache
def list_gpus() -> tuple[Gpu, ...] | None:
    """Return the GPUs of this machine, whatever CUDA_VISIBLE_DEVICES says; None if they cannot be listed.

    From ``nvidia-smi -L``, which knows MIG devices and leaves out GPUs that a container or a SLURM job may not use;
    if it is absent, hangs or fails, from the driver's folder in /proc.
    """
    gpus = _from_nvidia_smi()
    return _from_proc() if gpus is None else gpus


def _from_nvidia_smi() -> tuple[Gpu, ...] | None:
    command = ["nvidia-smi", "-L"]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=SMI_SECONDS
        )
    except OSError:  # not installed
        return None
    except subprocess.TimeoutExpired:
        say(f"{' '.join(command)}: no answer in {SMI_SECONDS} s")
        return None
    gpus: list[Gpu] = []
    for line in result.stdout.splitlines():
        if found := re.match(r"GPU (\d+): (.*) \(UUID: (GPU-[^)]+)\)", line):
            gpus.append(Gpu(int(found[1]), found[2], found[3]))
        elif gpus and (found := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line)):
            gpu = gpus.pop()
            gpus.append(Gpu(gpu.index, gpu.model, gpu.uuid, (*gpu.mig, found[1])))
    return tuple(gpus) if gpus or result.returncode == 0 else None


def _from_proc() -> tuple[Gpu, ...] | None:
    if not PROC.is_dir():
        return None
    gpus = []
    for index, file in enumerate(sorted(PROC.glob("*/information"))):
        fields = dict(re.findall(r"^([^:]+):[ \t]*(.*)$", file.read_text(encoding="utf-8", errors="replace"), re.M))
        uuid = fields.get("GPU UUID", "")
        # The driver shows question marks until the GPU has been used once.
        gpus.append(Gpu(index, fields.get("Model", ""), "" if "?" in uuid else uuid))
    return tuple(gpus)


def visible_devices() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them.

    If that is not set, all of ``list_gpus``. If it is, as CUDA reads it: a list of indices, of (abbreviated) UUIDs or
    of MIG names that ends before the first entry that does not exist or is of another kind; a list with one device
    twice is empty. CUDA itself uses only the first of several MIG names, but each of them can be leased.
    """
    gpus = list_gpus()
    preset = os.environ.get(VISIBLE)
    if preset is None:
        return [name for gpu in gpus or () for name in gpu.names]
    chosen: dict[str, str] = {}
    first_kind = None
    for entry in preset.split(","):
        name = _name(entry.strip())
        device = identity(name, gpus)
        kind = "index" if name.isdecimal() else name[:4]
        first_kind = first_kind or kind
        if device is None or kind != first_kind:
            break
        if device in chosen:
            return []
        chosen[device] = name
    return list(chosen.values())


def _name(entry: str) -> str:
    """Return an entry of CUDA_VISIBLE_DEVICES; of an index only the digits count (CUDA reads 1x as 1)."""
    found = re.match(r"\+?(\d+)", entry)
    return str(int(found[1])) if found else entry


def identity(name: str, gpus: tuple[Gpu, ...] | None) -> str | None:
    """Return the one name of a device among ``list_gpus`` that all jobs use, its UUID if known; None: there is none."""
    if name.isdecimal():
        if gpus is None:
            return name
        found = next((gpu for gpu in gpus if gpu.index == int(name)), None)
        if found is None:
            return None
        return found.names[0] if _counted_by_bus(gpus) else name
    if name.startswith("GPU-"):
        if gpus is None or not all(gpu.uuid for gpu in gpus):
            return name
        of_name = [gpu for gpu in gpus if gpu.uuid.startswith(name)]
        return of_name[0].names[0] if len(of_name) == 1 else None
    if name.startswith("MIG-"):
        migs = [mig for gpu in gpus or () for mig in gpu.mig if mig.startswith(name)]
        return migs[0] if len(migs) == 1 else name  # older drivers' MIG-GPU-UUID/1/0 is valid, but not listed
    return None


def _counted_by_bus(gpus: tuple[Gpu, ...]) -> bool:
    """Return whether CUDA counts GPUs as nvidia-smi does; by default it puts the fastest model first."""
    return os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({gpu.model for gpu in gpus}) <= 1

"""Where a job computes."""

import argparse
import ctypes
import os
import sys
from typing import TYPE_CHECKING

from vicinal.errors import VicinalError
from vicinal.jobs.gpu_slots import Slot, take_slot
from vicinal.jobs.gpus import VISIBLE, visible_devices
from vicinal.jobs.heartbeat import update_heartbeat
from vicinal.jobs.script import import_large

if TYPE_CHECKING:
    import torch

# What glibc's mallopt sets (malloc.h, "man mallopt").
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
# The GPU that this process has leased, if any; CUDA reads CUDA_VISIBLE_DEVICES only once.
_leased: list[Slot] = []


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, ``--gpu-slots`` and ``--threads`` to a script's arguments."""
    parser.add_argument(
        "--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where to compute; auto: a GPU if there is one"
    )
    parser.add_argument("--gpu-slots", type=whole_number, default=1, metavar="N", help="jobs that share a GPU")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads; results are equal bit for bit for the same number"
    )


def whole_number(text: str) -> int:
    """Return the whole number, at least 1, of a command-line argument."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, at least 1")
    return int(text)


def job_device(args: argparse.Namespace, artefact: str) -> "torch.device":
    """Return the device that a job's arguments name (``select_device``), and show it in the heartbeat."""
    device = select_device(args.device, args.threads, args.gpu_slots, artefact)
    update_heartbeat(device=str(device))
    return device


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for what it needs next.

    glibc returns large tensors to the system, layer after layer, and the system clears every page before it gives it
    out again: up to a third of a job's CPU time. Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_TRIM_THRESHOLD, -1)  # never shrink the heap
        mallopt(M_MMAP_MAX, 0)  # no pages outside the heap


def select_device(name: str, threads: int, slots: int = 1, artefact: str = "") -> "torch.device":
    """Return the device called ``name``, with a lease if it is a GPU, and set the CPU threads and the use of memory.

    Call it before anything on CUDA. It waits until a GPU is free; that is then the only one that this process sees, and
    its own until the process ends. GPUs that ``visible_devices`` does not list are used without a lease.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` (any free GPU) or ``cuda:N`` (the N-th visible one, from 0).
        slots: jobs that share a GPU.
        artefact: what the job makes, for the messages of waiting jobs.

    Raises:
        VicinalError: there is no such device, or leases cannot be kept here.
    """
    import_large("torch")  # here: a job that has nothing to do need not wait for it
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        device = torch.device("cuda" if name == "auto" else name)
    except RuntimeError:
        raise VicinalError(f"--device {name}: no such device; use auto, cpu, cuda or cuda:N") from None
    if device.type != "cuda":
        return device
    if _leased and not device.index:
        return torch.device("cuda")
    devices = visible_devices() if torch.backends.cuda.is_built() else []
    count = len(devices) or (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    if (device.index or 0) < len(devices):
        return _lease(name, devices if device.index is None else [devices[device.index]], slots, artefact)
    if (device.index or 0) < count:
        return device
    if name == "auto":
        return torch.device("cpu")
    preset = f" ({VISIBLE}={os.environ[VISIBLE]!r})" if VISIBLE in os.environ else ""
    raise VicinalError(f"--device {name}: there are {count} GPUs that torch can use here{preset}")


def _lease(name: str, devices: list[str], slots: int, artefact: str) -> "torch.device":
    """Return one of the GPUs, leased; for ``auto`` the CPU if torch cannot use the GPU."""
    import torch

    if torch.cuda.is_initialized():
        raise RuntimeError("a GPU must be selected before anything is done on CUDA")
    held = take_slot(devices, slots, artefact=artefact)
    if torch.cuda.is_available():
        _leased.append(held)
        return torch.device("cuda")
    held.release()
    problem = f"torch {torch.__version__} cannot use GPU {held.device}; is the driver too old, or the GPU?"
    if name != "auto":
        raise VicinalError(f"--device {name}: {problem}")
    print(f"{problem} Computing on the CPU.", file=sys.stderr, flush=True)
    return torch.device("cpu")

"""Where a job computes."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from vicinal.errors import VicinalError
from vicinal.gpu_leases import Slot, take_slot
from vicinal.gpus import VISIBLE, visible_devices

if TYPE_CHECKING:
    import torch

# The GPUs that this process has leased, its own first: CUDA can be told only once.
_leased: list[Slot] = []
# What torchrun tells each of the processes that it starts, by which they find each other.
_MEETING = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, ``--gpu-slots`` and ``--threads`` to a script's arguments."""
    parser.add_argument(
        "--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where to compute; auto: a GPU if there is one"
    )
    parser.add_argument("--gpu-slots", type=whole_number, default=1, metavar="N", help="jobs that share a GPU")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads; results are equal bit for bit at one number"
    )


def whole_number(text: str) -> int:
    """Return the number, at least 1, that a command-line argument gives."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, at least 1")
    return int(text)


def started_by_torchrun(processes: int) -> bool:
    """Tell whether somebody has started all processes of this job, ``processes`` of them, as torchrun does."""
    return (
        processes > 1
        and os.environ.get("WORLD_SIZE") == str(processes)
        and all(name in os.environ for name in _MEETING)
    )


def leased_gpus() -> list[str]:
    """Return what CUDA_VISIBLE_DEVICES is for each GPU that this process has leased, its own first."""
    return [held.device for held in _leased]


def take_gpu_of_rank() -> None:
    """Let this process see one GPU only, the LOCAL_RANK-th that it sees now (torchrun).

    Raises:
        VicinalError: there is none.
    """
    devices, rank = visible_devices(), int(os.environ.get("LOCAL_RANK", "0"))
    if rank >= len(devices):
        raise VicinalError(f"--gpus-per-job: process {rank + 1} finds no GPU of its own: {len(devices)} are visible")
    os.environ[VISIBLE] = devices[rank]


def select_device(name: str, threads: int, slots: int = 1, artefact: str = "", number: int = 1) -> "torch.device":
    """Return the device called ``name``, leasing a GPU where it is one, and set the number of CPU threads.

    Call it before anything on CUDA. It waits until a GPU is free, which is then the only one that this process sees,
    and holds it to the end of the process; ``number`` GPUs, if more are wanted: see ``leased_gpus`` for the others.
    GPUs that ``visible_devices`` cannot know of are used without a lease, one at a time.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` (any GPU that is free) or ``cuda:N`` (the N-th visible one, from 0).
        threads: number of CPU threads.
        slots: jobs that share a GPU.
        artefact: what the job makes, for the messages of others that wait.
        number: of GPUs. On a CPU it does not matter.

    Raises:
        VicinalError: there is no such device, or not so many, or leases cannot be kept here.
    """
    import torch  # here, since a job that finds everything finished need not wait for it

    torch.set_num_threads(threads)
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
    if number > 1 and count:
        _check_several(name, number, len(devices))
        if started_by_torchrun(number):  # who did so gives the GPUs
            take_gpu_of_rank()
            return torch.device("cuda")
    if (device.index or 0) < len(devices):
        return _lease(name, devices if device.index is None else [devices[device.index]], slots, artefact, number)
    if (device.index or 0) < count:
        return device
    if name == "auto":
        return torch.device("cpu")
    preset = f" ({VISIBLE}={os.environ[VISIBLE]!r})" if VISIBLE in os.environ else ""
    raise VicinalError(f"--device {name}: there are {count} GPUs that torch can use here{preset}")


def _check_several(name: str, number: int, known: int) -> None:
    if ":" in name:
        raise VicinalError(
            f"--device {name}: is one GPU, and --gpus-per-job (execution.gpus_per_job) {number}: use cuda"
        )
    if known < number:
        raise VicinalError(
            f"--gpus-per-job {number}: {known} GPUs can be leased here; set execution.gpus_per_job to {max(known, 1)}"
        )


def _lease(name: str, devices: list[str], slots: int, artefact: str, number: int) -> "torch.device":
    """Return one of the GPUs, leased, as are ``number`` in all; for ``auto`` the CPU where torch cannot use it."""
    import torch

    if torch.cuda.is_initialized():
        raise RuntimeError("a GPU must be selected before anything is done on CUDA")
    held = [take_slot(devices, slots, artefact=artefact)]
    if torch.cuda.is_available():
        _leased.extend(held)
        return torch.device("cuda")
    for one in held:
        one.release()
    problem = f"torch {torch.__version__} cannot use GPU {held[0].device}; is the driver too old, or the GPU?"
    if name != "auto":
        raise VicinalError(f"--device {name}: {problem}")
    print(f"{problem} Computing on the CPU.", file=sys.stderr, flush=True)
    return torch.device("cpu")

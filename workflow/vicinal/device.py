"""Where a job computes."""

import argparse
from typing import TYPE_CHECKING

from vicinal.errors import VicinalError

if TYPE_CHECKING:
    import torch


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` and ``--threads`` to a script's arguments."""
    parser.add_argument(
        "--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where to compute; auto: a GPU if there is one"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads; results are equal bit for bit at one number"
    )


def select_device(name: str, threads: int) -> "torch.device":
    """Return the device called ``name`` and set the number of CPU threads.

    Raises:
        VicinalError: there is no such device.
    """
    import torch  # here, since a job that finds everything finished need not wait for it

    torch.set_num_threads(threads)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise VicinalError(f"--device {name}: no such device; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise VicinalError(f"--device {name}: there are {torch.cuda.device_count()} GPUs that torch can use here")
    return device

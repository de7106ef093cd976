"""What a training step must at least compute and move, and what a device can: two ceilings, measured."""

import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from training_loops import BATCH, CLASSES, synchronize

from vicinal.models import build_model
from vicinal.models.cost import Cost, Costs
from vicinal.models.registry import architecture

SIZE = (3, 32, 32)
BYTES = {"bf16": 2, "tf32": 4, "fp32": 4}


class Work(NamedTuple):
    """Floating-point operations, and bytes to and from memory."""

    flops: float
    bytes: float


def step_work(teacher: str, student: str, students: int, precision: str) -> Work:
    """Return the least work of one step: the teacher asked once, each student trained, all on one batch.

    Operations are those of convolutions and linear layers, two a multiply-accumulate: one forward pass of the teacher,
    three of each student (backward counts as two).

    Bytes: of every convolution and linear layer, input and output once forward (one read, one written) and twice
    backward (the gradient of the output is read for that of the input, which is written; input and gradient of the
    output are read for that of the weights), in the precision of convolutions. Of every weight of a student 32: read
    forward and backward, its gradient written; weight, momentum and gradient read by SGD, weight and momentum written,
    all in fp32. Of every weight of the teacher one reading, in the precision. All else (normalisation, activations, the
    loss, the batch itself) could be done on the way.
    """
    size, taught, asked = BYTES[precision], _cost(student), _cost(teacher)
    a_student = 3 * BATCH * layer_numbers(student, CLASSES, *SIZE) * size + 32 * taught.parameters
    of_teacher = BATCH * layer_numbers(teacher, CLASSES, *SIZE) * size + asked.parameters * size
    flops = 2 * BATCH * (3 * students * taught.macs + asked.macs)
    return Work(flops, students * a_student + of_teacher)


def _cost(name: str) -> Cost:
    return Costs().of(architecture(name), CLASSES, *SIZE)


@cache
def layer_numbers(name: str, classes: int, channels: int, height: int, width: int) -> int:
    """Return the numbers in inputs and outputs of all convolutions and linear layers, of one image, forward."""
    count = 0

    def add(module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal count
        count += inputs[0].numel() + output.numel()

    # On the device "meta" shapes are followed and nothing is computed.
    with torch.device("meta"), torch.no_grad():
        model = build_model(architecture(name), classes, channels).eval()
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.register_forward_hook(add)
        model(torch.empty(1, channels, height, width))
    return count


def measure_ceilings(device: torch.device, quick: bool) -> dict[str, float | str]:
    """Return what the device reaches at best: bytes a second of a copy (read and written), FLOP/s of a product."""
    on_gpu = device.type == "cuda"
    dtype, side = (torch.bfloat16, 8192) if on_gpu else (torch.float32, 1024)
    if quick:
        side //= 2
    numbers = 2**22 if quick or not on_gpu else 2**28
    source, target = torch.rand(numbers, device=device), torch.empty(numbers, device=device)
    copied = 2 * source.numel() * source.element_size()
    copy_seconds = _seconds(lambda: target.copy_(source), device)
    first, second = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(first)
    matmul_seconds = _seconds(lambda: torch.mm(first, second, out=product), device)
    return {
        "copy_bytes_per_second": copied / copy_seconds,
        "matmul_flops_per_second": 2 * side**3 / matmul_seconds,
        "matmul": f"{side} x {side} x {side}, {str(dtype).removeprefix('torch.')}, random numbers",
    }


def _seconds(function: Callable[[], object], device: torch.device, calls: int = 10, repeats: int = 5) -> float:
    """Return the least time of a call, over stretches of calls after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        synchronize(device)
        began = time.perf_counter()
        for _ in range(calls):
            function()
        synchronize(device)
        times.append((time.perf_counter() - began) / calls)
    return min(times[1:])

"""The GPU memory that a training takes, about, in closed form, and that of this machine's GPUs; without torch.

A network in training takes its weights and statistics, a gradient a weight, what the optimiser keeps, and, of each
image of the batch, the numbers that the backward pass needs again: what every convolution, linear layer and
normalisation gives out (an activation overwrites what it is made from, or nearly so; autograd keeps 0.85 to 1.7 times
as many numbers). Students of a cohort compute side by side, each with its own; their teacher adds its weights. The
images of the data set, the workspace of libraries and the driver's own memory (0.5 GB or so) come on top.
"""

import json
import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Any

from vicinal.estimate.shape import Shape
from vicinal.estimate.work import seen_shape
from vicinal.gpus import SMI_SECONDS, identity, list_gpus, visible_devices
from vicinal.models.cost import _FAMILIES, model_cost
from vicinal.models.counting import Network
from vicinal.spec import canonical

# Bytes of a number: weights and all that belongs to them are fp32; activations follow execution.precision, and auto
# is counted as bf16, the smallest.
WEIGHT = 4
ACTIVATION = {"auto": 2, "bf16": 2, "tf32": 4, "fp32": 4}


class _Activations(Network):
    """Counts, besides, the numbers that layers give out for one image."""

    activations = 0

    def conv(self, out: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False, norm: bool = True):
        super().conv(out, kernel, stride, groups, bias, norm=False)
        self.activations += out * self.height * self.width
        if norm:
            self.norm(out)

    def norm(self, channels: int) -> None:
        super().norm(channels)
        self.activations += channels * self.height * self.width

    def static_norm(self, channels: int) -> None:
        super().static_norm(channels)
        self.activations += channels * self.height * self.width

    def linear(self, out: int, places: int = 1) -> None:
        super().linear(out, places)
        self.activations += out * places

    def patches(self, out: int, size: int) -> None:
        super().patches(out, size)
        self.activations += out * self.height * self.width


def activations(architecture: Mapping[str, Any], num_classes: int, channels: int, height: int, width: int) -> int:
    """Return the numbers that a forward pass of one image keeps for the backward pass.

    Args:
        architecture, num_classes, channels, height, width: see ``vicinal.models.cost.model_cost``.

    Raises:
        VicinalError: see ``model_cost``.
    """
    model_cost(architecture, num_classes, channels, height, width)
    return _activations(canonical(architecture), num_classes, channels, height, width)


@cache
def _activations(architecture: str, num_classes: int, channels: int, height: int, width: int) -> int:
    parameters = json.loads(architecture)
    net = _Activations(channels, height, width)
    _FAMILIES[parameters.pop("family")](net, **parameters)
    net.linear(num_classes)
    return net.activations


def training_bytes(spec: Mapping[str, Any], models: int, shape: Shape, precision: str = "auto") -> int:
    """Return the bytes of GPU memory that a training takes, about, and hardly less.

    Args:
        spec: of a teacher, or of the students of a cohort.
        models: networks trained at once.
        shape: of the data set.
        precision: ``execution.precision``.

    Raises:
        VicinalError: the cost of the network is not known.
    """
    image, recipe = seen_shape(spec, shape).image, spec["recipe"]
    cost = model_cost(spec["model"], *image)
    kept = 2 if recipe["optimizer"] == "adam" else 1 if recipe.get("momentum") else 0
    own = WEIGHT * (cost.parameters * (2 + kept) + cost.buffers)
    own += ACTIVATION[precision] * activations(spec["model"], *image) * recipe["batch_size"]
    teacher = spec.get("teacher")
    return models * own + (model_cost(teacher["model"], *image).weights_bytes if teacher else 0)


def smallest_gpu(device: str) -> int | None:
    """Return the memory in bytes of the smallest GPU that jobs may use; None where that is not known.

    Of MIG devices it is not known.

    Args:
        device: ``execution.device``.
    """
    names = visible_devices()
    number = device.partition(":")[2]
    if number:
        names = names[int(number) : int(number) + 1]
    memory, gpus = _memory(), list_gpus()
    found = [memory.get(identity(name, gpus) or "") for name in names]
    return min(found) if found and None not in found else None


def _memory() -> dict[str, int]:
    """Return the memory of each GPU by its UUID, in bytes; empty where nvidia-smi does not tell."""
    command = ["nvidia-smi", "--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SMI_SECONDS)
    except (OSError, subprocess.SubprocessError):  # the check is left out: a run needs no nvidia-smi
        return {}
    rows = (line.split(",") for line in result.stdout.splitlines() if line.count(",") == 1)
    return {uuid.strip(): int(mebibytes) * 2**20 for uuid, mebibytes in rows if mebibytes.strip().isdecimal()}

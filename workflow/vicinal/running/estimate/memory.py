"""About how much GPU memory a training takes, and how much the GPUs of this machine have.

A network in training takes its weights and statistics, a gradient for each weight, what the optimiser keeps, and for
each image of the batch the numbers that autograd keeps for the backward pass (``vicinal.models.cost``). Each student of
a cohort takes as much; their teacher adds its weights. Not counted are the images of the data set, the work space of
libraries and the driver's own memory (about 0.5 GB). Compiled networks take less.
"""

import subprocess
from collections.abc import Mapping
from typing import Any

from vicinal.jobs.gpus import SMI_SECONDS, identity, list_gpus, visible_devices
from vicinal.models.cost import Costs
from vicinal.running.estimate.shape import Shape
from vicinal.running.estimate.work import seen_shape, teacher_of

# Bytes of a number. Weights, gradients and the optimiser's state are fp32; activations follow execution.precision,
# where auto counts as bf16.
WEIGHT = 4
ACTIVATION = {"auto": 2, "bf16": 2, "tf32": 4, "fp32": 4}


def training_bytes(spec: Mapping[str, Any], models: int, shape: Shape, costs: Costs, precision: str = "auto") -> int:
    """Return about the bytes of GPU memory that a training of a teacher, or of students, takes at least.

    ``precision`` is ``execution.precision``. Raises VicinalError: the network cannot be counted (``Costs.of``).
    """
    image, recipe = seen_shape(spec, shape).image, spec["recipe"]
    cost = costs.of(spec["model"], *image)
    kept = 2 if recipe["optimizer"] == "adam" else 1 if recipe.get("momentum") else 0
    own = cost.weights_bytes + WEIGHT * cost.parameters * (1 + kept)
    own += ACTIVATION[precision] * cost.activations * recipe["batch_size"]
    teacher = teacher_of(spec)
    return models * own + (costs.of(teacher, *image).weights_bytes if teacher else 0)


def smallest_gpu(device: str) -> int | None:
    """Return the bytes of the smallest GPU that jobs may use by ``execution.device``; None: unknown, as of MIG."""
    names = visible_devices()
    number = device.partition(":")[2]
    if number:
        names = names[int(number) : int(number) + 1]
    memory, gpus = _memory(), list_gpus()
    known = [bytes_ for name in names if (bytes_ := memory.get(identity(name, gpus) or "")) is not None]
    return min(known) if known and len(known) == len(names) else None


def _memory() -> dict[str, int]:
    """Return the memory of each GPU by its UUID, in bytes; empty if nvidia-smi does not work."""
    command = ["nvidia-smi", "--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SMI_SECONDS)
    except (OSError, subprocess.SubprocessError):  # the check is left out: a run needs no nvidia-smi
        return {}
    rows = (line.split(",") for line in result.stdout.splitlines() if line.count(",") == 1)
    return {uuid.strip(): int(mebibytes) * 2**20 for uuid, mebibytes in rows if mebibytes.strip().isdecimal()}

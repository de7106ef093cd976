"""The work of a training or evaluation job, and how long it takes at stated rates.

The time of a step has two parts: each layer costs a fixed time to be called, whatever its size, and the operations take
their time. On small images and on a GPU at batch 64 the first part decides. A backward pass counts as two forward ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from vicinal.data.corruptions import NAMES, SEVERITIES
from vicinal.estimate.shape import Shape
from vicinal.models.cost import model_cost

TRAINING, EVALUATION = "training", "evaluation"
# Passes through a network that a step of training amounts to.
STEP = 3
# As in vicinal.engine and vicinal.measure, which import torch: a test compares them.
VALIDATIONS = 10
BATCH = 256

# Measured on one core of an AMD EPYC (2026) over ten networks at 8x8 and 32x32, each within a factor 1.5.
CPU_CALL = 75e-6  # seconds a layer and pass
CPU_MACS = 30e9  # multiply-accumulates a second and thread
# Grouped and depthwise convolutions reach less of that rate.
CPU_SLOWER = {"mobilenet_v2": 2.5, "shufflenet_v1": 2.5, "shufflenet_v2": 2.0}
# Within 16 % of what was measured on one H100 for resnet32x4 → resnet8x4, 32x32 images at batch 64, a step as one CUDA
# graph, with 1, 4 and 8 students (workflow/docs/speed.md); too long by up to 2.2 times for cohorts of resnet20. Calls
# and operations overlap there; the rate is a bound for large networks.
GPU_CALL = 25e-6
GPU_MACS = 45e12
# What n processes that share each batch of a training get through, as a multiple of n: assumed, not measured yet.
SHARED = 0.8
# Metrics and tables, on the CPU: of a job's first model (libraries load), of a model, of a pair, of a probability.
FIRST = 0.5
TABLES = (0.05, 5e-6, 2e-7)

STATED_CPU = f"operations at the stated rate of {2 * CPU_MACS / 1e9:.0f} GFLOP/s a thread"
STATED_GPU = f"layers at the stated {GPU_CALL * 1e6:.0f} µs a call (one H100)"
STATED_SHARED = f"n processes taken for {SHARED} n of one"


@dataclass(frozen=True)
class Machine:
    """Where jobs compute: ``cpu`` or ``cuda``, the processor's or GPU's name (None: unknown), CPU threads a process.

    ``processes`` share each batch of a training; all else is done by one.
    """

    kind: str
    hardware: str | None
    threads: int
    processes: int = 1


@dataclass(frozen=True)
class Work:
    """What a job computes.

    Attributes:
        stage: ``TRAINING`` or ``EVALUATION``.
        models: architecture of the teacher (None without one) and of the model that is trained or measured.
        image: classes, channels, height, width.
        calls: of layers.
        macs: multiply-accumulates.
        cpu_macs: the same as a CPU feels them.
        host: seconds on the CPU whatever the device.
    """

    stage: str
    models: tuple[Mapping[str, Any] | None, Mapping[str, Any]]
    image: tuple[int, int, int, int]
    calls: float
    macs: float
    cpu_macs: float
    host: float = 0.0

    def stated_seconds(self, machine: Machine) -> float:
        """Return the seconds that the job takes at the stated rates, without its start-up."""
        if machine.kind == "cuda":
            seconds = max(self.calls * GPU_CALL, self.macs / GPU_MACS)
        else:
            seconds = self.calls * CPU_CALL + self.cpu_macs / (CPU_MACS * machine.threads)
        processes = self.processes(machine)
        return (seconds if processes == 1 else seconds / (SHARED * processes)) + self.host

    def processes(self, machine: Machine) -> int:
        """Return how many processes do the job there."""
        return machine.processes if self.stage == TRAINING else 1


def training_work(spec: Mapping[str, Any], students: int, shape: Shape) -> Work:
    """Return the work of training ``students`` networks of one spec, a teacher's or a cohort's, together."""
    recipe, (teacher, model), shape = spec["recipe"], _models(spec), seen_shape(spec, shape)
    epochs = recipe["epochs"]
    images, batches = epochs * shape.train, epochs * ceil(shape.train / recipe["batch_size"])
    every = 1 if recipe.get("schedule") == "plateau" else max(1, epochs // VALIDATIONS)
    looks = ceil(epochs / every)
    # Where the head is trained alone, the rest is only asked.
    longer = 1 + recipe.get("head_epochs", 0) / (STEP * epochs)
    parts = [
        _passes(model, shape, *(STEP * students * longer * number for number in (images, batches))),
        _passes(model, shape, students * looks * shape.validation, students * looks * ceil(shape.validation / BATCH)),
    ]
    if teacher:
        parts.append(_passes(teacher, shape, images, batches))
    return Work(TRAINING, (teacher, model), shape.image, *map(sum, zip(*parts, strict=True)))


def evaluation_work(spec: Mapping[str, Any], models: int, pairs: int, shape: Shape) -> Work:
    """Return the work of measuring ``models`` networks of one spec, a teacher's or a cohort's, one after the other.

    Here and below, ``shape`` is that of the images as the networks see them (``seen_shape``). Each is asked for its
    logits on all splits and on ``pairs`` vicinal pairs of two of them. The cohort's teacher is asked once, before:
    see ``answers_work``.
    """
    images, batches = probe_size(pairs, shape)
    host = FIRST + models * tables_seconds(pairs, shape)
    passes = _passes(spec["model"], shape, models * images, models * batches)
    return Work(EVALUATION, _models(spec), shape.image, *passes, host=host)


def robustness_work(spec: Mapping[str, Any], models: int, shape: Shape) -> Work:
    """Return the work of measuring ``models`` networks of one spec on every set of corrupted test images."""
    sets = models * len(NAMES) * len(SEVERITIES)
    host = FIRST + sets * shape.test * shape.classes * TABLES[2]
    passes = _passes(spec["model"], shape, sets * shape.test, sets * ceil(shape.test / BATCH))
    return Work(EVALUATION, _models(spec), shape.image, *passes, host=host)


def tables_work(spec: Mapping[str, Any], pairs: int, shape: Shape) -> Work:
    """Return the work of the tables of one network from its logits."""
    return Work(EVALUATION, _models(spec), shape.image, 0, 0, 0, host=FIRST + tables_seconds(pairs, shape))


def answers_work(model: Mapping[str, Any], pairs: int, shape: Shape) -> Work:
    """Return the work of asking one network for its logits on all splits and on the pairs of two."""
    return Work(EVALUATION, (None, model), shape.image, *_passes(model, shape, *probe_size(pairs, shape)))


def seen_shape(spec: Mapping[str, Any], shape: Shape) -> Shape:
    """Return the shape of a data set as the networks of a spec see it."""
    crop = spec["recipe"].get("crop")
    return replace(shape, height=crop, width=crop) if crop else shape


def probe_size(pairs: int, shape: Shape) -> tuple[int, int]:
    """Return how many images a network is measured on, and in how many batches."""
    parts = (shape.train, shape.validation, shape.test, pairs, pairs)
    return sum(parts), sum(ceil(part / BATCH) for part in parts)


def tables_seconds(pairs: int, shape: Shape) -> float:
    """Return the seconds that metrics and tables of one model take."""
    once, a_pair, a_value = TABLES
    return once + 2 * pairs * a_pair + (2 * pairs + shape.test + shape.validation) * shape.classes * a_value


def _passes(model: Mapping[str, Any], shape: Shape, images: float, batches: float) -> tuple[float, float, float]:
    """Return calls of layers, multiply-accumulates, and the latter as a CPU feels them, of forward passes."""
    cost = model_cost(model, *shape.image)
    macs = cost.macs * images
    return cost.layers * batches, macs, macs * CPU_SLOWER.get(model.get("network", model["family"]), 1.0)


def _models(spec: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, Mapping[str, Any]]:
    """Return the architectures of the teacher, if there is one, and of the model."""
    return (spec.get("teacher") or {}).get("model"), spec["model"]

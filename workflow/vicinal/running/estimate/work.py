"""The work of a training or evaluation job, and how long it takes at stated rates.

The time of a step has two parts: a fixed time to call each layer, and the time of the operations. On small images, and
on a GPU at batch 64, the first part decides. A backward pass counts as two forward passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, NamedTuple

from vicinal.data.corruptions.catalogue import NAMES, SEVERITIES
from vicinal.models.cost import Costs
from vicinal.running.estimate.shape import Shape

TRAINING, EVALUATION = "training", "evaluation"
# Forward passes that a step of training amounts to.
STEP = 3
# As in vicinal.training.loop and vicinal.evaluation.probe, which import torch; a test compares them.
VALIDATIONS = 10
BATCH = 256

# Measured on one core of an AMD EPYC (2026) over ten networks at 8x8 and 32x32, each within a factor 1.5.
CPU_CALL = 75e-6  # seconds a layer and pass
CPU_MACS = 30e9  # multiply-accumulates a second and thread
# Grouped and depthwise convolutions are slower by these factors.
CPU_SLOWER = {"mobilenet_v2": 2.5, "shufflenet_v1": 2.5, "shufflenet_v2": 2.0}
# Measured on one H200 (2026) over three pairs of CIFAR networks with 1, 4 and 8 students at batch 64, and ResNet-34 →
# ResNet-18 at 224x224, each within a factor 1.25 (workflow/docs/speed.md). A layer waits for the one before it; the
# students of a cohort wait at the same time.
GPU_WAIT = 9e-6  # seconds a layer and pass, shared by the students of a cohort
GPU_CALL = 6e-6  # seconds a layer and pass
GPU_MACS = 115e12  # multiply-accumulates a second
# Seconds on the CPU for metrics and tables: of a job's first model (libraries load), of a model, of a pair, of a
# probability.
FIRST, A_MODEL, A_PAIR, A_VALUE = 0.5, 0.05, 5e-6, 2e-7

STATED = {
    "cpu": f"operations at the stated rate of {2 * CPU_MACS / 1e9:.0f} GFLOP/s a thread",
    "cuda": f"layers at the stated {(GPU_WAIT + GPU_CALL) * 1e6:.0f} µs a call (one H200)",
}


@dataclass(frozen=True)
class Machine:
    """Where jobs compute: ``cpu`` or ``cuda``, the processor's or GPU's name (None: unknown), CPU threads a job."""

    kind: str
    hardware: str | None
    threads: int


class Passes(NamedTuple):
    """Forward passes of networks of one architecture; the images and batches are those of all together."""

    model: Mapping[str, Any]
    images: float
    batches: float
    cohort: int = 1  # networks that a GPU computes at the same time


@dataclass(frozen=True)
class Work:
    """What a job computes."""

    stage: str  # ``TRAINING`` or ``EVALUATION``
    image: tuple[int, int, int, int]  # classes, channels, height, width, as the networks see them
    model: Mapping[str, Any]  # architecture of the network that is trained or measured
    teacher: Mapping[str, Any] | None  # that of its teacher, None without one
    passes: tuple[Passes, ...] = ()  # of the networks
    host: float = 0.0  # seconds on the CPU whatever the device

    def stated_seconds(self, machine: Machine, costs: Costs) -> float:
        """Return the seconds at the stated rates, without the start-up. Raises VicinalError: see ``Costs.of``."""
        priced = [(passes, costs.of(passes.model, *self.image)) for passes in self.passes]
        calls = sum(cost.calls * passes.batches for passes, cost in priced)
        if machine.kind == "cuda":
            waits = sum(cost.calls * passes.batches / passes.cohort for passes, cost in priced)
            macs = sum(cost.macs * passes.images for passes, cost in priced)
            return waits * GPU_WAIT + calls * GPU_CALL + macs / GPU_MACS + self.host
        slowed = sum(
            cost.macs * passes.images * CPU_SLOWER.get(passes.model.get("network", passes.model["family"]), 1.0)
            for passes, cost in priced
        )
        return calls * CPU_CALL + slowed / (CPU_MACS * machine.threads) + self.host


def training_work(spec: Mapping[str, Any], models: int, shape: Shape, pairs: int = 0) -> Work:
    """Return the work of training networks of one spec together.

    Args, here and below:
        spec: of the teacher, or of the students of the cohort.
        models: networks that are trained or measured.
        shape: of the data set.
        pairs: vicinal pairs a split that an evaluation measures on.
    """
    recipe, teacher, shape = spec["recipe"], teacher_of(spec), seen_shape(spec, shape)
    epochs = recipe["epochs"]
    images, batches = epochs * shape.train, epochs * ceil(shape.train / recipe["batch_size"])
    every = 1 if recipe.get("schedule") == "plateau" else max(1, epochs // VALIDATIONS)
    validations = models * ceil(epochs / every)
    # While the head is trained alone, the rest of the network only answers.
    steps = models * (STEP + recipe.get("head_epochs", 0) / epochs)
    passes = [
        Passes(spec["model"], steps * images, steps * batches, models),
        Passes(spec["model"], validations * shape.validation, validations * ceil(shape.validation / BATCH)),
    ]
    if teacher:
        passes.append(Passes(teacher, images, batches))
    return Work(TRAINING, shape.image, spec["model"], teacher, tuple(passes))


def evaluation_work(spec: Mapping[str, Any], models: int, shape: Shape, pairs: int) -> Work:
    """Return the work of measuring networks of one spec, one after the other.

    Each answers on all splits and on the vicinal pairs of two of them. Their teacher does so once, before:
    ``answers_work``.
    """
    images, batches = _probe_size(shape, pairs)
    passes = Passes(spec["model"], models * images, models * batches)
    return replace(tables_work(spec, models, shape, pairs), passes=(passes,))


def tables_work(spec: Mapping[str, Any], models: int, shape: Shape, pairs: int) -> Work:
    """Return the work of making the tables of networks from their answers."""
    values = (2 * pairs + shape.test + shape.validation) * shape.classes
    return _measurement(spec, shape, models * (A_MODEL + 2 * pairs * A_PAIR + values * A_VALUE))


def robustness_work(spec: Mapping[str, Any], models: int, shape: Shape, pairs: int = 0) -> Work:
    """Return the work of measuring networks of one spec on every set of corrupted test images."""
    sets = models * len(NAMES) * len(SEVERITIES)
    passes = Passes(spec["model"], sets * shape.test, sets * ceil(shape.test / BATCH))
    return _measurement(spec, shape, sets * shape.test * shape.classes * A_VALUE, passes)


def answers_work(teacher: Mapping[str, Any], shape: Shape, pairs: int) -> Work:
    """Return the work of asking a teacher, given by its spec, once for its answers on all splits and pairs."""
    passes = (Passes(teacher["model"], *_probe_size(shape, pairs)),)
    return Work(EVALUATION, seen_shape(teacher, shape).image, teacher["model"], None, passes)


def teacher_of(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the architecture of the teacher of a spec, if there is one."""
    return (spec.get("teacher") or {}).get("model")


def seen_shape(spec: Mapping[str, Any], shape: Shape) -> Shape:
    """Return the shape of a data set as the networks of a spec see it."""
    crop = spec["recipe"].get("crop")
    return replace(shape, height=crop, width=crop) if crop else shape


def _measurement(spec: Mapping[str, Any], shape: Shape, host: float, *passes: Passes) -> Work:
    return Work(EVALUATION, seen_shape(spec, shape).image, spec["model"], teacher_of(spec), passes, FIRST + host)


def _probe_size(shape: Shape, pairs: int) -> tuple[int, int]:
    """Return on how many images a network is measured, and in how many batches."""
    parts = (shape.train, shape.validation, shape.test, pairs, pairs)
    return sum(parts), sum(ceil(part / BATCH) for part in parts)

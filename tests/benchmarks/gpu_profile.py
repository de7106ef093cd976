#!/usr/bin/env python
"""Where the time of a training step goes: augmentation, teacher, students' forward and backward passes, optimiser.

On a GPU each part is timed as the engine runs it, in a CUDA graph: one graph holds the first part, the next one two
parts, and so on to the whole step; what a part adds is its time. The whole step is also timed eagerly, launch by
launch, and torch's profiler lists its kernels: their sum is what the step would take if they ran one after the other
without a gap. On a CPU the same parts are timed without graphs, and the profiler lists operators.

Images are random, of CIFAR-100's shape, in batches of 64.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from training_loops import BATCH, RECIPE, device_name, learner_of, random_images, random_teacher, synchronize

from vicinal.errors import run
from vicinal.files import write_json
from vicinal.jobs.device import select_device, whole_number
from vicinal.training.batch_plan import batch_plan
from vicinal.training.cuda_graph import WARM_UP, CudaCapture
from vicinal.training.inputs import EpochTables, make_batch, to_device
from vicinal.training.losses import total_loss
from vicinal.training.numerics import PRECISIONS, Numerics, select_numerics
from vicinal.training.phases import phase_at
from vicinal.training.step import CohortStep, Training

PROFILED, SHOWN = 5, 15  # steps at most, kernels
Function = Callable[[], object]


class Parts:
    """A cohort's step, and what is left of it without its last parts."""

    def __init__(
        self, teacher: str, student: str, students: int, numerics: Numerics, device: torch.device, steps: int
    ) -> None:
        """Prepare ``steps`` steps."""
        self.steps, self._device = steps, device
        data = random_images(BATCH * steps, device)["train"]
        plan = batch_plan(len(data), BATCH, seed=0, epoch=0, alpha=1.0, crop_padding=4, flip=True)
        tables, here = EpochTables(plan, device), torch.arange(BATCH, device=device)
        model = numerics.freeze(to_device(random_teacher(teacher, data), device))
        learners = [learner_of(student, data, float(k + 1)) for k in range(students)]
        for learner in learners:
            learner.model.train()

        training = Training(data, data, RECIPE, seed=0, alpha=1.0, teacher=model, numerics=numerics)
        self.whole = CohortStep(learners, training, tables, phase_at(RECIPE, 0))
        if numerics.compile == "on":
            self.whole.compile_networks()
        asked = torch.compile(model, dynamic=False) if numerics.compile == "on" else model
        self._batch = lambda: make_batch(data, tables, here, RECIPE, mixed=True)

        @torch.no_grad()
        def ask() -> None:
            with numerics.autocast(device):
                asked(self._batch().inputs)

        self._ask = ask

    def milliseconds(self, repeats: int) -> dict[str, float]:
        """Return the time of the first part, of the first two, …, of the whole step, by the name of what is added.

        And of the whole step without a graph, under ``eager``. All take turns, so that they see the same machine.
        """
        functions = {
            "augmentation": self._batch,
            "teacher, forward": self._ask,
            "students, forward": lambda: _forward_alone(self.whole),
            "students, backward": lambda: _without_update(self.whole),
            "optimiser": lambda: self.whole(BATCH),
        }
        runs = {name: self._prepared(function) for name, function in functions.items()}
        runs["eager"] = functions["optimiser"]
        times = []
        for number in range(repeats + 1):
            print(f"round {number} of {repeats} …", flush=True)
            times.append({name: self._time(run) for name, run in runs.items()})
        # The first one, 0, warms up.
        return {name: median(round_[name] for round_ in times[1:]) for name in runs}

    def begin(self) -> None:
        """Begin the epoch anew."""
        self.whole.begin([RECIPE["lr"]] * self.steps)

    def _prepared(self, function: Function) -> Function:
        """Return a function as the engine runs it, after some runs of it."""
        self.begin()
        for _ in range(WARM_UP):
            function()
        return CudaCapture()(function) if self._device.type == "cuda" else function

    def _time(self, function: Function) -> float:
        """Return the time of a call in ms, over a stretch of steps."""
        self.begin()
        synchronize(self._device)
        began = time.perf_counter()
        for _ in range(self.steps):
            function()
        synchronize(self._device)
        return 1000 * (time.perf_counter() - began) / self.steps


def _without_update(step: CohortStep) -> None:
    with patch("vicinal.training.step.update", lambda optimizers, lr: None):
        step(BATCH)


def _forward_alone(step: CohortStep) -> None:
    """Run a step whose losses have no gradient but that of themselves."""
    with patch("vicinal.training.step.total_loss", lambda *given: total_loss(*given).detach().requires_grad_()):
        _without_update(step)


def kernels(parts: Parts, device: torch.device) -> list[dict[str, Any]]:
    """Return what runs in an eager step, the longest first: kernels of a GPU, operators of a CPU."""
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    parts.begin()
    steps = min(PROFILED, parts.steps)
    with profile(activities=kinds) as profiler:
        for _ in range(steps):
            parts.whole(BATCH)
        synchronize(device)
    wanted = DeviceType.CUDA if device.type == "cuda" else DeviceType.CPU
    rows = []
    for event in profiler.key_averages():
        microseconds = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        if event.device_type == wanted and microseconds:
            a_step = {"calls": event.count / steps, "ms": microseconds / 1000 / steps}
            rows.append({"name": event.key, **a_step})
    return sorted(rows, key=lambda row: -row["ms"])


def measure(args: argparse.Namespace, device: torch.device, numerics: Numerics) -> dict[str, Any]:
    """Return all measures."""
    print("preparing …", flush=True)
    parts = Parts(args.teacher, args.student, args.students, numerics, device, args.steps)
    print("timing the parts …", flush=True)
    cumulative = parts.milliseconds(args.repeats)
    eager = cumulative.pop("eager")
    whole, before, table = cumulative["optimiser"], 0.0, []
    for name, until in cumulative.items():
        table.append({"part": name, "ms": until - before, "share": (until - before) / whole})
        before = until
    print("listing the kernels …", flush=True)
    found = kernels(parts, device)
    return {
        "device": device_name(device),
        "kind": device.type,
        "torch": torch.__version__,
        "pair": f"{args.teacher}→{args.student}",
        "students": args.students,
        "precision": numerics.precision,
        "compiled": numerics.compile == "on",
        "batch": BATCH,
        "steps": args.steps,
        "repeats": args.repeats,
        "step_ms": whole,
        "eager_ms": eager,
        "parts": table,
        "kernels_ms": sum(row["ms"] for row in found),
        "kernel_calls": sum(row["calls"] for row in found),
        "kernels": found,
    }


def show(found: dict[str, Any]) -> None:
    """Print two tables: the parts, and the longest kernels."""
    compiled = ", compiled" if found["compiled"] else ""
    print(
        f"\n{found['pair']}, {found['students']} students, batch {found['batch']}, {found['precision']}{compiled}; "
        f"{found['device']}, torch {found['torch']}\n"
    )
    print(f"{'part':24}{'ms':>9}{'share':>8}")
    for row in found["parts"]:
        print(f"{row['part']:24}{row['ms']:9.3f}{row['share']:8.1%}")
    print(f"{'whole step':24}{found['step_ms']:9.3f}{1:8.1%}")
    kind, without = ("kernels", "the same without a graph") if found["kind"] == "cuda" else ("operators", "once more")
    print(f"{without:24}{found['eager_ms']:9.3f}")
    if not found["kernels"]:
        print(f"\ntorch's profiler saw no {kind} here")
        return
    print(f"\n{kind}: {found['kernel_calls']:,.0f} a step, {found['kernels_ms']:.3f} ms together; the longest:")
    print(f"{'ms a step':>9}{'share':>8}{'calls':>7}  name")
    for row in found["kernels"][:SHOWN]:
        print(f"{row['ms']:9.3f}{row['ms'] / found['kernels_ms']:8.1%}{row['calls']:7.0f}  {row['name'][:70]}")


def _steps(text: str) -> int:
    number = whole_number(text)
    if number < WARM_UP:
        raise argparse.ArgumentTypeError(f"{text!r}: must be at least {WARM_UP}: so many warm up")
    return number


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where (default: %(default)s)")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto: as in a run")
    parser.add_argument("--compile", action="store_true", help="compile the networks")
    parser.add_argument("--teacher", default="resnet56", help="network (default: %(default)s)")
    parser.add_argument("--student", default="resnet20", help="network (default: %(default)s)")
    parser.add_argument("--students", type=whole_number, default=8, help="of the cohort (default: %(default)s)")
    parser.add_argument("--steps", type=_steps, default=50, help="of a stretch that is timed (default: %(default)s)")
    parser.add_argument("--repeats", type=whole_number, default=5, help="stretches (default: %(default)s)")
    parser.add_argument("--threads", type=whole_number, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write all of it to this JSON file too")
    args = parser.parse_args(arguments)
    device = select_device(args.device, args.threads)
    chosen = argparse.Namespace(
        precision=args.precision, deterministic=False, compile="on" if args.compile else "off", no_graph=False
    )
    found = measure(args, device, select_numerics(chosen, device))
    if args.output:
        write_json(args.output, found)
    show(found)
    return 0


if __name__ == "__main__":
    run(main)

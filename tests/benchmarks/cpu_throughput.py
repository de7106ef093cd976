#!/usr/bin/env python
"""How fast the engine trains on a CPU, beside a bare PyTorch loop: CIFAR-sized images, batch 64, one thread.

Each way to train has a process of its own, and the ways take turns. The CPU time of the best turn counts: whatever else
runs on the machine can only make a turn slower. Where the turns of one way differ by much, take more of them.

The bare loop is what plain PyTorch does, with ready-made batches and the teacher as it is; in fp32 it is timed in both
memory layouts. The engine makes its batches as it goes, and keeps freed memory as every job does. Where ``auto`` takes
bf16, it must be so many times as fast as the faster bare loop in fp32; on any CPU, what ``auto`` takes must be the
faster precision. In each precision the bare loop is timed with the engine's folded teacher and memory too: that shows
what the engine itself costs. bf16 is left out where the CPU only emulates it. Exits with 1 if a goal is missed.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
from roofline import step_work
from training_loops import (
    BATCH,
    CLASSES,
    bare_epoch,
    engine_epochs,
    learner_of,
    random_images,
    random_teacher,
    ready_batches,
)

from vicinal.files import write_json
from vicinal.jobs.device import keep_freed_memory
from vicinal.jobs.provenance import cpu_model
from vicinal.models.cost import Costs
from vicinal.models.registry import architecture
from vicinal.training.inputs import Images, to_device
from vicinal.training.numerics import Numerics
from vicinal.training.precision import auto_precision

CPU = torch.device("cpu")
BARE, CONTIGUOUS, FOLDED, ENGINE = "bare loop", "bare loop, contiguous", "bare loop, folded teacher", "engine"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Pair of networks → students of its largest cohort.
PAIRS = {"resnet20:resnet8": 8, "resnet56:resnet20": 4}
# Below this share of the speed in fp32, bf16 is emulated.
EMULATED = 1 / 3
# The engine against the bare loop in fp32: by students, the least ratio. Where auto takes bf16.
GATE, FASTER = "resnet20:resnet8", {1: 1.5, 8: 3.0}
# The most that the engine may take of the time of a bare loop in the same precision.
OVERHEAD = 1.05


class Way(NamedTuple):
    """What is timed: a loop with a pair of networks, and the steps of a turn."""

    pair: str
    name: str
    precision: str
    students: int
    steps: int


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table, return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6, help="steps of a turn (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each way (default: %(default)s)")
    parser.add_argument(
        "--pairs", nargs="+", default=list(PAIRS), metavar="TEACHER→STUDENT", help="default: %(default)s"
    )
    parser.add_argument("--output", type=Path, help="JSON with everything that was measured")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    peaks = {precision: convolution_flops(dtype) for precision, dtype in DTYPES.items()}
    rows = [row for pair in args.pairs for row in measure(pair, args.steps, args.repeats, peaks)]
    goals = check_goals(rows)
    found = {
        "cpu": cpu_model(), "torch": torch.__version__, "peak_flops": peaks, "rows": rows, "goals": goals,
        "steps": args.steps, "repeats": args.repeats,
    }  # fmt: skip
    if args.output:
        write_json(args.output, found)
    print(json.dumps({name: found[name] for name in ("cpu", "torch", "peak_flops")}))
    for row in rows:
        apart = max(row["step_seconds"]) / min(row["step_seconds"]) - 1
        share = f"{row['ratio']:.2f} × bare fp32, {row['share_of_peak']:.0%} of the peak; turns differ by {apart:.0%}"
        name = f"{row['pair']}, {row['way']}, {row['precision']}, {row['students']}"
        print(f"{name:60} {row['images_per_second']:6.0f} images a CPU second, each for each student; {share}")
    for goal in goals:
        print(f"{'holds ' if goal['holds'] else 'MISSED'} {goal['what']}: {goal['value']:.2f}, goal {goal['goal']}")
    return 0 if all(goal["holds"] for goal in goals) else 1


def measure(pair: str, steps: int, repeats: int, peaks: dict[str, float]) -> list[dict]:
    """Return a row for each way to train a pair: the bare loop and the engine, in fp32 and in bf16."""
    teacher, student = pair.split(":")
    cost = Costs().of(architecture(student), CLASSES, 3, 32, 32)
    auto = auto_precision(CPU, lambda: cost)
    precisions = ("fp32", "bf16") if peaks["bf16"] > EMULATED * peaks["fp32"] else ("fp32",)
    ways = [Way(pair, BARE, "fp32", 1, steps), Way(pair, CONTIGUOUS, "fp32", 1, steps)]
    for precision in precisions:
        ways.append(Way(pair, FOLDED, precision, 1, steps))
        ways += [Way(pair, ENGINE, precision, students, steps) for students in (1, PAIRS.get(pair, 2))]
    times = turns(ways, repeats)
    best = {way: min(times[way]) / steps for way in ways}
    bare = min(seconds for way, seconds in best.items() if way.name in (BARE, CONTIGUOUS))
    return [
        {
            "pair": pair, "way": way.name, "precision": way.precision, "auto": way.precision == auto,
            "students": way.students,
            "images_per_second": way.students * BATCH / seconds,
            "ratio": way.students * bare / seconds,
            "share_of_peak": step_work(teacher, student, way.students, way.precision).flops
            / seconds / peaks[way.precision],
            "step_seconds": [turn / steps for turn in times[way]],
        }
        for way, seconds in best.items()
    ]  # fmt: skip


def turns(ways: list[Way], repeats: int) -> dict[Way, list[float]]:
    """Return the CPU seconds of each turn of each way; each has a process of its own.

    In one process they would share the heap, whose state can make a step a third slower.
    """
    with ExitStack() as stack:
        spawn = multiprocessing.get_context("spawn")
        processes = {way: stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for way in ways}
        for warm_up in [process.submit(turn, way) for way, process in processes.items()]:
            warm_up.result()
        times: dict[Way, list[float]] = {way: [] for way in ways}
        for _ in range(repeats):
            for way, process in processes.items():
                times[way].append(process.submit(turn, way).result())
    return times


def turn(way: Way) -> float:
    """Return the CPU seconds of one more turn in this process."""
    return prepared(way)()


@cache
def prepared(way: Way) -> Callable[[], float]:
    """Return a function that trains in this way and returns its CPU seconds."""
    torch.set_num_threads(1)
    teacher, student = way.pair.split(":")
    data = random_images(BATCH * way.steps)
    plain = to_device(random_teacher(teacher, data["train"]), CPU)
    batches = ready_batches(data["train"], way.steps)
    if way.name == BARE:
        return partial(bare_epoch, batches, student, torch.channels_last, plain, None, time.process_time)
    if way.name == CONTIGUOUS:
        return partial(bare_epoch, batches, student, torch.contiguous_format, plain, None, time.process_time)
    keep_freed_memory()  # as all jobs do
    numerics = Numerics(way.precision)
    frozen = numerics.freeze(plain)
    if way.name == FOLDED:
        return partial(bare_epoch, batches, student, torch.channels_last, frozen, numerics, time.process_time)
    return partial(engine_seconds, data, student, way.students, frozen, numerics)


def engine_seconds(
    data: dict[str, Images], student: str, students: int, teacher: torch.nn.Module, numerics: Numerics
) -> float:
    """Return the CPU seconds of an epoch with new students."""
    learners = [learner_of(student, data["train"], float(k + 1)) for k in range(students)]
    timed = engine_epochs(learners, data, numerics=numerics, teacher=teacher, clock=time.process_time)
    return timed.stretches[0]


def check_goals(rows: list[dict]) -> list[dict]:
    """Return each goal that the rows can be held against: ``what``, ``value``, ``goal``, and whether it ``holds``."""
    goals = []
    engine = [row for row in rows if row["way"] == ENGINE]
    for row in engine:
        pair, precision, students = row["pair"], row["precision"], row["students"]
        if students == 1:
            [bare] = [r for r in rows if (r["pair"], r["way"], r["precision"]) == (pair, FOLDED, precision)]
            overhead = bare["ratio"] / row["ratio"]
            what = f"{pair}, {precision}: time of the engine / of the bare loop with a folded teacher"
            goals.append({"what": what, "value": overhead, "goal": OVERHEAD, "holds": overhead <= OVERHEAD})
        if not row["auto"]:
            [taken] = [r for r in engine if r["auto"] and (r["pair"], r["students"]) == (pair, students)]
            gain = taken["ratio"] / row["ratio"]
            what = (
                f"{pair}, {students} at once: times as fast in {taken['precision']}, as auto takes, as in {precision}"
            )
            goals.append({"what": what, "value": gain, "goal": 1.0, "holds": gain >= 1})
        elif (pair, precision) == (GATE, "bf16") and students in FASTER:
            what = f"{pair}, {precision}, {students} at once: times as fast as the bare loop in fp32"
            least = FASTER[students]
            goals.append({"what": what, "value": row["ratio"], "goal": least, "holds": row["ratio"] >= least})
    return goals


def convolution_flops(dtype: torch.dtype, channels: int = 256, calls: int = 8) -> float:
    """Return the floating-point operations a CPU second of a large convolution, at best.

    Not of a product of matrices: in fp32 this goes to MKL, which is less than half as fast on AMD's processors.
    """
    shape = (64, channels, 16, 16)
    images, weight = (
        torch.randn(s).to(dtype).to(memory_format=torch.channels_last) for s in (shape, (*[channels] * 2, 3, 3))
    )
    times = []
    for _ in range(calls):
        began = time.process_time()
        torch.conv2d(images, weight, padding=1)
        times.append(time.process_time() - began)
    return 2 * images.numel() * channels * 9 / min(times)


if __name__ == "__main__":
    raise SystemExit(main())

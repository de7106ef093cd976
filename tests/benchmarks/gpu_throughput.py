#!/usr/bin/env python
"""How fast the engine trains next to the usual loop, on one GPU in one run, and how far both are from its ceilings.

The usual loop: Pillow images from a DataLoader with 8 processes, mixup in the loop, fp32, eager, batch 64, one student,
the loss read every step. The engine: one student or a cohort of 4, 8 or 16 at different temperatures, its step one CUDA
graph, plain and compiled. Images are random, of CIFAR-100's shape; times are the median of several stretches of
--steps steps, scaled to an epoch of 45,000 images. What is stated of a row:

s/epoch    seconds an epoch and student
ratio      of the usual loop's seconds to these, of the same pair; to bare: of the bare loop's
images/s   images that students are trained on (one image counts once for each student)
TFLOP/s    operations of convolutions and linear layers: the teacher's forward pass, three of each student
GB/s       the least bytes that these must move, see step_work in roofline.py
start-up   seconds of the first stretch beyond a later one (kernels are chosen, the graph is captured)
compile    seconds to the end of the first step beyond those of the same row without compiling; the second row of a pair
           takes over what was compiled for the first

Ends with 1 where a goal for resnet56→resnet20 is missed on a GPU: per student 7 times as fast as the usual loop alone,
16 times in a cohort of 4, 25 times in a cohort of 8, compiled or not. On a CPU there are no goals, and a bare loop that
gets its batches ready-made stands beside the others. Rows that would not end within --minutes are left out.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from throughput import BARE, COMPILED, EPOCH_IMAGES, PLAIN, STANDARD, Benchmark, Row
from training_loops import BATCH, device_name

from vicinal.errors import VicinalError, run
from vicinal.files import write_json
from vicinal.jobs.device import select_device, whole_number
from vicinal.models.registry import architecture
from vicinal.training.numerics import PRECISIONS, select_numerics

PAIRS = "resnet56:resnet20,resnet32x4:resnet8x4,wrn_40_2:wrn_16_2"
GATE = "resnet56→resnet20"
ENGINE = (PLAIN, COMPILED)
GOALS = {1: 7.0, 4: 16.0, 8: 25.0}


def check_goals(rows: list[Row], cohorts: list[int]) -> list[dict[str, Any]]:
    """Return whether each goal holds: the faster of plain and compiled counts; None where it was not measured."""
    found = []
    for pair in dict.fromkeys(row.pair for row in rows):
        for students in [students for students in GOALS if students in cohorts]:
            ours = (row.ratio for row in rows if (row.pair, row.students) == (pair, students) and row.way in ENGINE)
            ratio = max((ratio for ratio in ours if ratio is not None), default=None)
            holds = None if ratio is None else ratio >= GOALS[students]
            found.append({"pair": pair, "students": students, "goal": GOALS[students], "ratio": ratio, "holds": holds})
    return found


def report(benchmark: Benchmark, args: argparse.Namespace, device: torch.device, precision: str) -> dict[str, Any]:
    """Return all that is known so far."""
    return {
        "device": device_name(device),
        "kind": device.type,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": sys.version.split()[0],
        "precision": precision,
        "batch": BATCH,
        "epoch_images": EPOCH_IMAGES,
        "steps": args.steps,
        "repeats": args.repeats,
        "workers": args.workers,
        "threads": args.threads,
        "ceilings": benchmark.ceilings,
        "rows": [asdict(row) for row in benchmark.rows],
        "left_out": benchmark.left_out,
        "goals": check_goals(benchmark.rows, args.cohorts),
        "seconds": benchmark.seconds,
    }


def show(found: dict[str, Any]) -> None:
    """Print the ceilings, a table of the rows, and the goals."""
    ceilings = found["ceilings"]
    print(
        f"\n{found['device']}, torch {found['torch']}, engine in {found['precision']}; copy "
        f"{ceilings['copy_bytes_per_second'] / 1e9:,.0f} GB/s, matrix product "
        f"{ceilings['matmul_flops_per_second'] / 1e12:,.1f} TFLOP/s ({ceilings['matmul']})\n"
    )
    titles = ("s/epoch", "ratio", "to bare", "images/s", "TFLOP/s", "of mm", "GB/s", "of copy", "start-up", "compile")
    print(f"{'pair':24}{'way':18}{'students':>9}" + "".join(f"{title:>10}" for title in titles))
    pairs = [row["pair"] for row in found["rows"]]
    for row in sorted(found["rows"], key=lambda row: pairs.index(row["pair"])):
        cells = (
            f"{row['seconds_per_epoch']:.3f}", _one(row["ratio"]), _one(row["ratio_to_bare"]),
            f"{row['images_per_second']:,.0f}", f"{row['tflops']:.2f}", f"{row['share_of_matmul']:.1%}",
            f"{row['gigabytes_per_second']:,.1f}", f"{row['share_of_copy']:.1%}", _one(row["startup_seconds"]),
            _one(row["compile_seconds"]),
        )  # fmt: skip
        print(f"{row['pair']:24}{row['way']:18}{row['students']:9}" + "".join(f"{cell:>10}" for cell in cells))
        for note in row["notes"]:
            print(f"    {note}")
    for name in found["left_out"]:
        print(f"left out, there was no time: {name}")
    for goal in found["goals"] if found["kind"] == "cuda" else []:
        verdict = {True: "holds", False: "MISSED", None: "not measured"}[goal["holds"]]
        print(f"{goal['pair']}, {goal['students']}: {_one(goal['ratio'])} of {goal['goal']:g} times: {verdict}")


def _one(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _pairs(text: str) -> list[str]:
    """Read TEACHER:STUDENT,… ."""
    pairs = []
    for entry in text.split(","):
        names = entry.split(":")
        if len(names) != 2:
            raise VicinalError(f"--pairs: {entry!r} is no pair; write TEACHER:STUDENT, e.g. resnet56:resnet20")
        for name in names:
            architecture(name)
        pairs.append("→".join(names))
    return pairs


def _cohorts(text: str) -> list[int]:
    return [whole_number(number) for number in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where (default: %(default)s)")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the engine; auto: as in a run")
    parser.add_argument("--pairs", default=PAIRS, help="TEACHER:STUDENT,… (default: %(default)s)")
    parser.add_argument(
        "--cohorts", type=_cohorts, default="1,4,8,16", help="numbers of students, e.g. 1,4 (default: %(default)s)"
    )
    parser.add_argument(
        "--compile", choices=("auto", "on", "off"), default="auto", help="rows of compiled networks too; auto: on a GPU"
    )
    parser.add_argument("--steps", type=whole_number, default=200, help="of a stretch (default: %(default)s)")
    parser.add_argument("--repeats", type=whole_number, default=3, help="stretches of a row (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=8, help="of the usual loop (default: %(default)s)")
    parser.add_argument("--threads", type=whole_number, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=9.0, help="to end within (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write all of it to this JSON file too, row by row")
    parser.add_argument("--quick", action="store_true", help="a rehearsal: 3 steps once, cohorts of 1 and 2, 2 workers")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, save; return 1 where a goal is missed on a GPU."""
    args = _parser().parse_args(arguments)
    if args.quick:
        args.steps, args.repeats, args.workers, args.cohorts = 3, 1, min(args.workers, 2), [1, 2]
    pairs = _pairs(args.pairs)
    device = select_device(args.device, args.threads)
    numerics = select_numerics(
        argparse.Namespace(precision=args.precision, deterministic=False, compile="off", no_graph=False), device
    )
    benchmark = Benchmark(
        device, numerics, steps=args.steps, repeats=args.repeats, workers=args.workers, minutes=args.minutes,
        quick=args.quick,
    )  # fmt: skip
    on_gpu = device.type == "cuda"
    compiled = args.compile == "on" or (args.compile == "auto" and on_gpu)
    wanted = [(pair, way, 1) for pair in pairs for way in ([STANDARD] if on_gpu else [STANDARD, BARE])]
    wanted += [(pair, way, students) for way in ENGINE[: 1 + compiled] for pair in pairs for students in args.cohorts]
    for pair, way, students in wanted:
        benchmark.measure(pair, way, students)
        found = report(benchmark, args, device, numerics.precision)
        if args.output:
            write_json(args.output, found)
    show(found)
    missed = [goal for goal in found["goals"] if goal["pair"] == GATE and not goal["holds"]]
    return int(on_gpu and bool(missed))


if __name__ == "__main__":
    run(main)

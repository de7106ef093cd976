#!/usr/bin/env python
"""What the engine costs over a bare PyTorch loop: resnet20, CIFAR-sized images, batch 64, on the CPU.

Both train on the same batches from the same weights. The engine makes its batches as it goes (gather, crop, flip,
normalise, mix); the bare loop gets them ready-made. They take turns, so that both see the same machine; the ratio is
of the medians. The bare loop is timed in both memory layouts, and the faster one counts.
"""

import argparse
import json
import statistics

import torch
from training_loops import BATCH, bare_epoch, engine_epochs, learner_of, random_images, ready_batches

from vicinal.jobs.provenance import cpu_model

STUDENT = "resnet20"
LIMIT = 1.10


def main() -> None:
    """Measure, print JSON, fail above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30, help="steps an epoch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="epochs of each kind (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    images = BATCH * args.steps
    data = random_images(images)
    batches = ready_batches(data["train"], args.steps)
    times: dict[str, list[float]] = {"engine": [], "bare, contiguous": [], "bare, channels last": []}
    for repeat in range(args.repeats + 1):
        measured = {
            "engine": engine_epochs([learner_of(STUDENT, data["train"])], data).stretches[0],
            "bare, contiguous": bare_epoch(batches, STUDENT, torch.contiguous_format),
            "bare, channels last": bare_epoch(batches, STUDENT, torch.channels_last),
        }
        if repeat:  # the first round warms up
            for name, seconds in measured.items():
                times[name].append(seconds)
                print(f"{repeat}/{args.repeats} {name}: {seconds:.2f} s", flush=True)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["engine"] / min(medians["bare, contiguous"], medians["bare, channels last"])
    print(
        json.dumps(
            {
                "images_per_second": {name: round(images / seconds, 1) for name, seconds in medians.items()},
                "ratio": round(ratio, 3),
                "limit": LIMIT,
                "threads": args.threads,
                "cpu": cpu_model(),
                "torch": torch.__version__,
            },
            indent=1,
        )
    )
    raise SystemExit(ratio > LIMIT)


if __name__ == "__main__":
    main()

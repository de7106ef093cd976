#!/usr/bin/env python
"""What the engine costs over a bare PyTorch loop: resnet20, CIFAR-sized images, batch 64, on the CPU.

Both train on the same batches from the same weights. The engine makes its batches as it goes (gather, crop, flip,
normalise, mix); the bare loop gets them ready-made. They take turns, so that both see the same machine; the ratio is
of the medians. The bare loop is timed in both memory layouts, and the faster one counts.
"""

import argparse
import json
import statistics
import time
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

from vicinal.batches import batch_plan
from vicinal.engine import make_learner, train
from vicinal.inputs import EpochTables, Images, make_batch
from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.provenance import cpu_model

RECIPE = {
    "optimizer": "sgd", "epochs": 1, "batch_size": 64, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4,
    "schedule": "constant", "crop_padding": 4, "flip": True,
}  # fmt: skip
SPEC = {"model": architecture("resnet20"), "recipe": RECIPE, "seed": 0, "loss": {"ce_weight": 1}}
LIMIT = 1.10


def random_images(count: int) -> dict[str, Images]:
    """Return ``count`` random training images of CIFAR-100's shape, and an empty validation split."""
    generator = np.random.default_rng(0)
    store = SimpleNamespace(
        images=generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
        labels=generator.integers(0, 100, count),
        splits={"train": np.arange(count), "validation": np.arange(0)},
        num_classes=100,
        mean=np.array([0.507, 0.487, 0.441]),
        std=np.array([0.267, 0.256, 0.276]),
    )
    return {split: Images(store, split, torch.device("cpu")) for split in store.splits}


def engine_epoch(data: dict[str, Images]) -> float:
    """Return the seconds that the engine takes for an epoch."""
    learner = make_learner("student", SPEC, data["train"])
    began = time.perf_counter()
    train([learner], data["train"], data["validation"], recipe=RECIPE, seed=0, alpha=1.0)
    return time.perf_counter() - began


def bare_epoch(batches: list, memory_format: torch.memory_format) -> float:
    """Return the seconds that a plain loop takes for the same epoch."""
    torch.manual_seed(0)
    model = build_model(SPEC["model"], 100).to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    batches = [(batch, batch.inputs.contiguous(memory_format=memory_format)) for batch in batches]
    model.train()
    began = time.perf_counter()
    for batch, inputs in batches:
        logits = model(inputs)
        first = F.cross_entropy(logits, batch.labels, reduction="none")
        second = F.cross_entropy(logits, batch.partner_labels, reduction="none")
        loss = (batch.lam * first + (1 - batch.lam) * second).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began


def main() -> None:
    """Measure, print JSON, fail above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30, help="steps an epoch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="epochs of each kind (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = random_images(64 * args.steps)
    plan = batch_plan(64 * args.steps, 64, seed=0, epoch=0, alpha=1.0, crop_padding=4, flip=True)
    tables = EpochTables(plan, torch.device("cpu"))
    batches = [make_batch(data["train"], tables, bounds, RECIPE, mixed=True) for bounds in plan.bounds]
    times: dict[str, list[float]] = {"engine": [], "bare, contiguous": [], "bare, channels last": []}
    for repeat in range(args.repeats + 1):
        measured = {
            "engine": engine_epoch(data),
            "bare, contiguous": bare_epoch(batches, torch.contiguous_format),
            "bare, channels last": bare_epoch(batches, torch.channels_last),
        }
        if repeat:  # the first round warms up
            for name, seconds in measured.items():
                times[name].append(seconds)
                print(f"{repeat}/{args.repeats} {name}: {seconds:.2f} s", flush=True)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["engine"] / min(medians["bare, contiguous"], medians["bare, channels last"])
    images = 64 * args.steps
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

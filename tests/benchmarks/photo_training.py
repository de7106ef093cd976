#!/usr/bin/env python
"""Whether photos are decoded as fast as a training takes them: ResNet-34 → ResNet-18 at 224 pixels, mixup, batch 256.

Three rates, in photos a second, of the same engine on the same photos, by turns: the loader alone (read, decode, crop,
to the device), the training alone (photos that lie on the device already), and both as a run has them. On a GPU the
loader must reach 1.2 times the training's rate, else it is what limits a run; photos are decoded by the host's threads.

The photos are those of ``photo_loading.py``, which see. They are made before the GPU is taken. All batches are whole.
The JSON is written anew after each measurement.
"""

import argparse
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from photo_loading import CLASSES, enlarged, packed, small_photos, write_folder
from training_loops import device_name, synchronize

from vicinal.data.photos.ordered import available_cores
from vicinal.errors import run
from vicinal.files import write_json
from vicinal.jobs.device import select_device, whole_number
from vicinal.jobs.progress import Progress
from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.training.batch_plan import BatchPlan, batch_plan
from vicinal.training.cuda_graph import WARM_UP
from vicinal.training.inputs import adapt, to_device
from vicinal.training.learner import make_learner
from vicinal.training.loop import Callbacks, train
from vicinal.training.numerics import PRECISIONS, Numerics, select_numerics
from vicinal.training.photos import Photos
from vicinal.training.step import Training

LIMIT = 1.2
LOADER, TRAINING, BOTH = "loader", "training", "both"


class ReadyPhotos(Photos):
    """Photos of which some are on the device already, and stand for all others."""

    def __init__(self, *args: object, batch_size: int, **options: object) -> None:
        super().__init__(*args, **options)
        plan = batch_plan(len(self), batch_size, seed=0, epoch=0, alpha=1.0, crop_padding=0, flip=True)
        self._ready = next(super().pixels(plan, seed=0, epoch=0))

    def pixels(self, plan: BatchPlan, *, first: int = 0, **_: object) -> Iterator[torch.Tensor]:
        """Yield the same photos for every batch of an epoch."""
        for start, stop in plan.bounds[first:]:
            yield self._ready[: stop - start]


class Trial:
    """The trainings and loaders that are timed."""

    def __init__(self, args: argparse.Namespace, store: object, device: torch.device, numerics: Numerics) -> None:
        self._device, self._numerics = device, numerics
        self._batch = args.batch
        self._recipe = {
            "optimizer": "sgd", "batch_size": args.batch, "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4,
            "schedule": "constant", "crop_padding": 0, "flip": True, "crop": args.size,
        }  # fmt: skip
        options = {"size": args.size, "threads": args.threads}
        self.photos = Photos(store, "train", device, **options)
        self.ready = ReadyPhotos(store, "train", device, batch_size=args.batch, **options)
        kind = architecture(args.teacher)
        torch.manual_seed(1)
        teacher = build_model(kind, store.num_classes)
        self._teacher = numerics.freeze(to_device(adapt(teacher, {"model": kind}, self.photos), device))
        self._student = args.student

    def load(self, photos: Photos, epochs: int) -> float:
        """Return the photos a second that a loader delivers to the device."""
        synchronize(self._device)
        began, count = time.perf_counter(), 0
        for epoch in range(epochs):
            plan = batch_plan(len(photos), self._batch, seed=0, epoch=epoch, alpha=1.0, crop_padding=0, flip=True)
            count += sum(len(pixels) for pixels in photos.pixels(plan, seed=0, epoch=epoch))
        synchronize(self._device)
        return count / (time.perf_counter() - began)

    def train(self, photos: Photos, epochs: int) -> float:
        """Return the photos a second that a training takes, after epochs in which its graph is captured."""
        warm_up = -(-(WARM_UP + 1) // (len(photos) // self._batch))
        recipe = {**self._recipe, "epochs": warm_up + epochs}
        spec = {
            "stage": "student",
            "model": architecture(self._student),
            "recipe": recipe,
            "seed": 0,
            "loss": {"kd_weight": 1.0},
        }
        learner = make_learner("student", {**spec, "temperature": 2.0}, photos)
        marks: list[float] = []

        def after_epoch(epoch: int, learners: list) -> None:
            synchronize(self._device)
            marks.append(time.perf_counter())

        training = Training(photos, [], recipe, 0, 1.0, self._teacher, self._numerics)
        train([learner], training, callbacks=Callbacks(on_epoch=after_epoch))
        if learner.diverged:
            raise RuntimeError("its loss became NaN or infinite: what was timed was another training")
        return epochs * len(photos) / (marks[-1] - marks[warm_up - 1])


def ways(trial: Trial, epochs: int) -> dict[str, Callable[[], float]]:
    """Return what is timed, by name."""
    return {
        LOADER: lambda: trial.load(trial.photos, epochs),
        TRAINING: lambda: trial.train(trial.ready, epochs),
        BOTH: lambda: trial.train(trial.photos, epochs),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON; return 1 where the loader is too slow for a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda[:N]", help="where to train")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the training")
    parser.add_argument("--teacher", default="resnet34_imagenet", help="network (default: %(default)s)")
    parser.add_argument("--student", default="resnet18_imagenet", help="network (default: %(default)s)")
    parser.add_argument("--photos", type=whole_number, default=4096, help="number of photos (default: %(default)s)")
    parser.add_argument("--batch", type=whole_number, default=256, help="photos a step (default: %(default)s)")
    parser.add_argument("--size", type=whole_number, default=224, help="pixels of a side (default: %(default)s)")
    parser.add_argument("--epochs", type=whole_number, default=3, help="timed at once (default: %(default)s)")
    parser.add_argument("--repeats", type=whole_number, default=3, help="turns (default: %(default)s)")
    parser.add_argument("--threads", type=whole_number, default=available_cores(), help="that decode: all cores")
    parser.add_argument("--output", type=Path, required=True, help="JSON, to be written")
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    rates: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        print("making the photos", flush=True)
        # A partial batch would be captured while it is timed; one photo a class is left for validation.
        count = max(1, args.photos // args.batch) * args.batch + CLASSES
        small = small_photos(count)
        write_folder(root / "large", [enlarged(small[i % len(small)], i) for i in range(count)])
        store = packed(root, "large")[0]
        device = select_device(args.device, threads=1)
        options = argparse.Namespace(precision=args.precision, deterministic=False, compile="off", no_graph=False)
        numerics = select_numerics(options, device)
        trial = Trial(args, store, device, numerics)
        timed = ways(trial, args.epochs)
        progress = Progress("photo_training", args.repeats * len(timed), "measurements")
        for repeat in range(args.repeats):
            for number, (name, measure) in enumerate(timed.items(), 1):
                rates[name].append(measure())
                progress.update(repeat * len(timed) + number, f"{name}: {rates[name][-1]:,.0f} photos/s")
                found = report(rates, args, device, numerics)
                write_json(args.output, found)
    for name, rate in found["photos_per_second"].items():
        print(f"{name}: {rate:,.1f} photos/s")
    print(f"loader / training: {found['ratio']:.2f} (at least {LIMIT} wanted on a GPU)")
    return int(device.type == "cuda" and found["ratio"] < LIMIT)


def report(
    rates: Mapping[str, list[float]], args: argparse.Namespace, device: torch.device, numerics: Numerics
) -> dict[str, Any]:
    """Return all that is known so far; the ratio is None until both of its rates are."""
    medians = {name: median(values) for name, values in rates.items()}
    return {
        "device": device_name(device), "torch": torch.__version__, "precision": numerics.precision,
        "teacher": args.teacher, "student": args.student, "batch": args.batch, "size": args.size,
        "threads": args.threads, "classes": CLASSES, "photos_per_second": medians,
        "spread": {name: [float(np.min(values)), float(np.max(values))] for name, values in rates.items()},
        "ratio": medians[LOADER] / medians[TRAINING] if TRAINING in medians else None, "limit": LIMIT,
    }  # fmt: skip


if __name__ == "__main__":
    run(main)

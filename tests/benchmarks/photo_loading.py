#!/usr/bin/env python
"""How fast photos are packed, and how fast they are loaded next to the usual way of doing it.

The usual way: torchvision's ImageFolder and v1 transforms on Pillow (RandomResizedCrop(224), RandomHorizontalFlip,
ToTensor, Normalize) in a DataLoader with a process a core. Ours: ``photo_batches`` with a thread a core, from a store
that has the very bytes of those files; flip and normalisation are left to the device. They take turns, so that both
see the same machine; the ratio is the median over the turns. The CPU time a photo takes is told as well: on a machine
with other work to do it is the steadier number.

The photos are those of ``../shared/data/imagenette160`` beside the repository, for loading enlarged to 500 x 375 and
375 x 500 pixels with some grain, which gives JPEGs of about ImageNet's size. Without them, made-up ones are taken.
"""

import argparse
import io
import json
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

from vicinal.data.photos.crops import random_boxes
from vicinal.data.photos.folders import folder_identity
from vicinal.data.photos.loader import photo_batches
from vicinal.data.photos.store import PhotoStore
from vicinal.data.prepare import prepare_data
from vicinal.jobs.provenance import cpu_model
from vicinal.training.batch_plan import batch_plan

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "imagenette160"
LIMIT, PACKING_LIMIT = 1.8, 1000.0
BATCH, SIZE, CLASSES = 128, 224, 10


def small_photos(count: int) -> list[bytes]:
    """Return ``count`` encoded photos of 160 x 160 pixels."""
    if SHARED.is_dir():
        table = pq.read_table(next(SHARED.glob("train-*.parquet")), columns=["image"])
        return [entry["bytes"] for entry in table["image"].slice(0, count).to_pylist()]
    print(f"{SHARED} is not there: made-up photos are taken")
    generator = np.random.default_rng(0)
    blots = [Image.fromarray(generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)) for _ in range(count)]
    return [_jpeg(np.asarray(blot.resize((160, 160), Image.Resampling.BICUBIC)), 80) for blot in blots]


def enlarged(data: bytes, number: int) -> bytes:
    """Return a small photo as a JPEG of a size that is usual in ImageNet."""
    size = (375, 500) if number % 3 == 0 else (500, 375)
    picture = Image.open(io.BytesIO(data)).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    grain = np.random.default_rng(number).normal(0, 8, (size[1], size[0], 1))
    return _jpeg((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8), 94)


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def write_folder(folder: Path, photos: list[bytes]) -> None:
    """Write photos as an image folder, the first ones as test photos too."""
    for split, some in (("train", photos), ("val", photos[: 2 * CLASSES])):
        for number, data in enumerate(some):
            path = folder / split / f"class{number % CLASSES}" / f"{number:05d}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def packed(root: Path, name: str, **options: object) -> tuple[PhotoStore, float]:
    """Pack a folder; return the store and the photos a second."""
    spec = {"name": name, "store": "photos", **folder_identity(root / name), "validation": CLASSES, **options}
    began = time.perf_counter()
    store = prepare_data(spec, root, root / f"{name}-{'-'.join(map(str, options.values()))}")
    return store, store.meta["images"] / (time.perf_counter() - began)


def usual_loader(folder: Path, workers: int) -> torch.utils.data.DataLoader:
    """Return the usual loader of an image folder."""
    steps = [
        transforms.RandomResizedCrop(SIZE),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    data = ImageFolder(str(folder / "train"), transforms.Compose(steps))
    return torch.utils.data.DataLoader(
        data, batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=True
    )


def usual_epoch(loader: torch.utils.data.DataLoader) -> int:
    """Let the usual loader deliver an epoch; return the number of photos."""
    return sum(len(images) for images, _ in loader)


def our_epoch(store: PhotoStore, epoch: int, threads: int) -> int:
    """Deliver an epoch, all choices included; return the number of photos."""
    train = store.splits["train"]
    plan = batch_plan(len(train), BATCH, seed=0, epoch=epoch, alpha=1.0, crop_padding=0, flip=True)
    positions = train[plan.order]
    boxes = random_boxes(store.sizes[positions], seed=0, epoch=epoch)
    batches = photo_batches(store, positions, plan.bounds, SIZE, boxes=boxes, threads=threads)
    return sum(len(pixels) for pixels in batches)


def timed(epoch: Callable[[], int]) -> tuple[float, float]:
    """Return the photos a second of an epoch, and the CPU time that a photo takes in all processes together, in ms."""
    began, before = time.perf_counter(), cpu_seconds()
    count = epoch()
    return count / (time.perf_counter() - began), (cpu_seconds() - before) / count * 1e3


def cpu_seconds() -> float:
    """Return the CPU time of this process and those that it started and that still run."""
    ticks = 0
    for child in multiprocessing.active_children():
        # After the name, in parentheses: user and system time are fields 14 and 15.
        fields = Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print and write JSON, fail below the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000, help="number of photos (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="epochs of each kind (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes and threads")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"), help="JSON file")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    small = small_photos(args.photos)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        print("making the photos", flush=True)
        write_folder(root / "small", small)
        large = [enlarged(data, number) for number, data in enumerate(small)]
        write_folder(root / "large", large)
        rates: dict[str, list[float]] = defaultdict(list)
        cpu: dict[str, list[float]] = defaultdict(list)
        stores = {"ours": packed(root, "large")[0], "ours, 256 px": packed(root, "large", shorter_side=256)[0]}
        loader = usual_loader(root / "large", args.workers)
        for repeat in range(args.repeats + 1):
            measured = {
                "packing 160 px": packed(root, "small", split_seed=repeat)[1],
                "packing 160 px, mean and sd too": packed(root, "small", split_seed=repeat)[1],
            }
            loads = {"usual": partial(usual_epoch, loader)}
            loads |= {name: partial(our_epoch, store, repeat, args.workers) for name, store in stores.items()}
            for name, load in loads.items():
                measured[name], milliseconds = timed(load)
                if repeat:
                    cpu[name].append(milliseconds)
            if repeat:  # the first round warms up
                for name, rate in measured.items():
                    rates[name].append(rate)
                    print(f"{repeat}/{args.repeats} {name}: {rate:,.0f} photos/s", flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = [ours / usual for ours, usual in zip(rates["ours"], rates["usual"], strict=True)]
    result = {
        "photos_per_second": {name: round(rate) for name, rate in medians.items()},
        "cpu_ms_per_photo": {name: round(statistics.median(values), 2) for name, values in cpu.items()},
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "limit": LIMIT,
        "packing_limit": PACKING_LIMIT,
        "mean_bytes": round(statistics.mean(map(len, large))),
        "photos": len(large),
        "workers": args.workers,
        "cpu": cpu_model(),
        "torch": torch.__version__,
    }
    text = json.dumps(result, indent=1)
    print(text)
    args.output.write_text(text + "\n", encoding="utf-8")
    raise SystemExit(result["ratio"] < LIMIT or medians["packing 160 px"] < PACKING_LIMIT)


if __name__ == "__main__":
    main()

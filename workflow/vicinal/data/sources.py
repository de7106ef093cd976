"""Readers: every source as one stream of uint8 images and integer labels."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import files
from vicinal.data import catalogue
from vicinal.data.archive_readers import CIFAR, read_cifar, read_fashion_mnist
from vicinal.data.parquet import open_parquet
from vicinal.data.stream import Chunk, ImageSource
from vicinal.errors import VicinalError
from vicinal.jobs.download import verify

BATCH = 512


def open_source(spec: Mapping[str, Any], root: Path | str) -> ImageSource:
    """Open the source of a data spec, whose files ``verify_files`` has checked.

    Raises VicinalError: files are missing, damaged or not in their format.
    """
    name, source = spec["name"], spec["source"]
    if source == "parquet":
        columns, viewed = (spec.get("image_column"), spec.get("label_column")), spec.get("as_viewed", False)
        return open_parquet(Path(root) / name, *columns, BATCH, viewed)
    if source == "torchvision":
        return _open_archives(name, Path(root))
    return _open_digits(*catalogue.source_files(name, root, source).values())


def verify_files(spec: Mapping[str, Any], root: Path | str) -> None:
    """Raise VicinalError unless the files on disk have the hashes in the spec."""
    name, source, wanted = spec["name"], spec["source"], spec["files"]
    paths = catalogue.source_files(name, root, source)
    if source == "torchvision":
        for file, path in paths.items():
            verify_archive(path, catalogue.DATA_SETS[name].archives[file])
        return
    for file in sorted(set(paths) ^ set(wanted)):
        what = "is new" if file in paths else "is gone"
        raise VicinalError(f"{Path(root) / name / file}: {what} since the run was planned: run again")
    for file, path in paths.items():
        if files.sha256(path) != wanted[file]:
            raise VicinalError(f"{path}: has changed since the run was planned: run again")


def verify_archive(path: Path, archive: catalogue.Archive) -> None:
    """Raise VicinalError unless a published archive is there and has the published SHA-256."""
    if not path.is_file():
        raise VicinalError(
            f"{path}: not there; expected the file with SHA-256 {archive.sha256} from {archive.url}: "
            "run fetch_data.py where there is internet, or copy it there"
        )
    verify(archive.url, path, "sha256", archive.sha256)


def _open_digits(path: Path) -> ImageSource:
    """Open scikit-learn's digits, all as one train split; their 17 grey levels are stretched to 0 … 255."""
    table = np.loadtxt(path, delimiter=",")  # without scikit-learn, which takes longer to import than this to run
    images = np.rint(table[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    whole = Chunk("train", path.name, 0, images, table[:, -1].astype(np.int64))
    return ImageSource({"train": len(images)}, [str(digit) for digit in range(10)], _slices(whole))


def _open_archives(name: str, root: Path) -> ImageSource:
    first = next(iter(catalogue.source_files(name, root, "torchvision").values()))
    parts, names = read_cifar(first, CIFAR[name]) if name in CIFAR else read_fashion_mnist(first.parent)
    counts = dict.fromkeys((part.split for part in parts), 0)
    for part in parts:
        counts[part.split] += len(part.images)
    return ImageSource(counts, names, chain.from_iterable(map(_slices, parts)))


def _slices(whole: Chunk) -> Iterator[Chunk]:
    for row in range(0, len(whole.images), BATCH):
        part = slice(row, row + BATCH)
        yield replace(whole, row=row, images=whole.images[part], labels=whole.labels[part])

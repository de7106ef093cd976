"""Readers: every source as one stream of batches of uint8 images and integer labels."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import files
from vicinal.data import catalogue
from vicinal.data.archive_readers import CIFAR, read_cifar, read_fashion_mnist
from vicinal.data.parquet import open_parquet
from vicinal.data.stream import Batch, Source
from vicinal.errors import VicinalError

BATCH = 512


def open_source(spec: Mapping[str, Any], root: Path | str) -> Source:
    """Open the source that a data spec names, whose files ``verify_files`` has checked.

    Args:
        spec: the data spec (``name``, ``source``, ``image_column``, ``label_column``).
        root: the folder of all data.

    Raises:
        VicinalError: the files are missing, damaged or not what they should be.
    """
    name, source = spec["name"], spec["source"]
    if source == "parquet":
        folder = Path(root) / name
        opened = open_parquet(folder, spec.get("image_column"), spec.get("label_column"), BATCH)
        for class_name in opened.class_names or []:
            catalogue.check_text(f"{folder}: the name of a class", class_name)
        return opened
    if source == "torchvision":
        return _open_archives(name, Path(root))
    return _open_digits()


def verify_files(spec: Mapping[str, Any], root: Path | str) -> None:
    """Check that the files on disk are those whose hashes the spec holds.

    Raises:
        VicinalError: a file is missing, new or different.
    """
    name, source, wanted = spec["name"], spec["source"], spec["files"]
    paths = catalogue.source_files(name, root, source)
    if source == "torchvision":
        for path in paths:
            verify_archive(path, catalogue.DATA_SETS[name].archives[path.name])
    else:
        there = {path.name for path in paths}
        for file in sorted(there ^ set(wanted)):
            what = "is new" if file in there else "is gone"
            raise VicinalError(f"{paths[0].parent / file}: {what} since the run was planned: run again")
    for path in paths:
        if source != "torchvision" and files.sha256(path) != wanted[path.name]:
            raise VicinalError(f"{path}: has changed since the run was planned: run again")


def verify_archive(path: Path, archive: catalogue.Archive) -> None:
    """Check that a published archive is there and whole.

    Raises:
        VicinalError: it is missing or its SHA-256 is not the published one.
    """
    if not path.is_file():
        raise VicinalError(
            f"{path}: not there; expected the file with SHA-256 {archive.sha256} from {archive.url}: "
            "run fetch_data.py where there is internet, or copy it there"
        )
    found = files.sha256(path)
    if found != archive.sha256:
        raise VicinalError(
            f"{path}: damaged or another file (SHA-256 {found}, {path.stat().st_size:,} bytes; published: "
            f"{archive.sha256}, {archive.size:,} bytes): delete it and fetch it again from {archive.url}"
        )


def _open_digits() -> Source:
    """Scikit-learn's digits, all as one train split; 17 grey levels stretched to 0 … 255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    names = [str(name) for name in data.target_names]
    return Source({"train": len(images)}, names, _slices("train", "digits.csv.gz", images, data.target))


def _open_archives(name: str, root: Path) -> Source:
    """Read the published archives of a data set."""
    first = catalogue.source_files(name, root, "torchvision")[0]
    parts, names = read_cifar(first, CIFAR[name]) if name in CIFAR else read_fashion_mnist(first.parent)
    counts = dict.fromkeys((part.split for part in parts), 0)
    for part in parts:
        counts[part.split] += len(part.images)
    batches = (batch for part in parts for batch in _slices(part.split, part.file, part.images, part.labels))
    return Source(counts, names, batches)


def _slices(split: str, file: str, images: np.ndarray, labels: np.ndarray) -> Iterator[Batch]:
    for row in range(0, len(images), BATCH):
        part = slice(row, row + BATCH)
        yield Batch(split, file, row, images[part], labels[part].astype(np.int64))

"""Readers: every source as one stream of batches of uint8 images and integer labels."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import files
from vicinal.data import catalogue
from vicinal.data.parquet import open_parquet
from vicinal.data.stream import Batch, Source
from vicinal.errors import VicinalError

BATCH = 512


def open_source(spec: Mapping[str, Any], root: Path | str, scratch: Path | str) -> Source:
    """Open the source that a data spec names.

    Args:
        spec: the data spec (``name``, ``source``, ``image_column``, ``label_column``).
        root: the folder of all data.
        scratch: an empty folder for unpacked archives; they are not needed after reading.

    Raises:
        VicinalError: the files are missing, damaged or not what they should be.
    """
    name, source = spec["name"], spec["source"]
    if source == "parquet":
        return open_parquet(Path(root) / name, spec.get("image_column"), spec.get("label_column"), BATCH)
    if source == "torchvision":
        return _open_torchvision(name, Path(root), Path(scratch))
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
        VicinalError: it is missing or its MD5 is not the published one.
    """
    if not path.is_file():
        raise VicinalError(
            f"{path}: not there; expected the file with MD5 {archive.md5} from {archive.url}: "
            "run fetch_data.py where there is internet, or copy it there"
        )
    with path.open("rb") as file:
        # MD5 is what is published; it guards against damage, not against malice.
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != archive.md5:
        raise VicinalError(
            f"{path}: damaged (MD5 {found}, {path.stat().st_size:,} bytes; published: "
            f"{archive.md5}): delete it and fetch it again from {archive.url}"
        )


def _open_digits() -> Source:
    """Scikit-learn's digits, all as one train split; 17 grey levels stretched to 0 … 255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    names = [str(name) for name in data.target_names]
    return Source({"train": len(images)}, names, _slices("train", "digits.csv.gz", images, data.target))


def _open_torchvision(name: str, root: Path, scratch: Path) -> Source:
    """Unpack the archives of a torchvision data set and read them with its own class."""
    from torchvision import datasets
    from torchvision.datasets.utils import extract_archive

    known = catalogue.DATA_SETS[name]
    folder = scratch / known.folder
    folder.mkdir(parents=True, exist_ok=True)
    for path in catalogue.source_files(name, root, "torchvision"):
        extract_archive(str(path), str(folder))
    dataset = getattr(datasets, str(known.torchvision))
    try:
        parts = {split: dataset(str(scratch), train=split == "train", download=False) for split in ("train", "test")}
    except RuntimeError as error:
        raise VicinalError(f"{root}: torchvision cannot read its {name} files ({error})") from error

    def batches() -> Iterator[Batch]:
        for split, part in parts.items():
            images = np.asarray(part.data, dtype=np.uint8)
            if images.ndim == 3:
                images = images[..., np.newaxis]
            yield from _slices(split, f"{name} {split}", images, np.asarray(part.targets))

    counts = {split: len(part.data) for split, part in parts.items()}
    return Source(counts, list(parts["train"].classes), batches())


def _slices(split: str, file: str, images: np.ndarray, labels: np.ndarray) -> Iterator[Batch]:
    for row in range(0, len(images), BATCH):
        part = slice(row, row + BATCH)
        yield Batch(split, file, row, images[part], labels[part].astype(np.int64))

"""The arrays of an archive of corrupted test images, and its rows of the images of a data store.

The arrays are mapped inside the archive; nothing is unpacked.
"""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vicinal.data.corruptions.catalogue import LABELS, NAMES, SEVERITIES
from vicinal.errors import VicinalError

# Clean images are recognised by this corruption at its lowest severity, which changes images least.
MILD = "brightness"
# Least correlation of a clean image with its brightened copy; the least among CIFAR's test images is 0.97.
ALIKE = 0.8
_BLOCK = 1000  # images that are compared at a time


@dataclass(frozen=True)
class Corrupted:
    """The arrays of an archive."""

    images: Mapping[str, np.ndarray]  # corruption → (5, N, H, W, C) uint8, by severity, memory-mapped
    labels: np.ndarray  # (N,) int64


def open_corrupted(path: Path, folder: str) -> Corrupted:
    """Open an archive whose checksum was checked; ``folder``: of the arrays in it.

    Raises VicinalError: it is no tar archive, or an array is missing or has a wrong shape or type.
    """
    wanted = {f"{folder}/{name}.npy": name for name in (*NAMES, LABELS)}
    found: dict[str, np.ndarray] = {}
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                name = wanted.get(member.name.removeprefix("./"))
                if name is not None and member.isreg():
                    found[name] = _mapped(path, file, member.offset_data, member.size)
    except (tarfile.TarError, ValueError, OSError) as error:
        raise VicinalError(f"{path}: not a readable archive of corrupted images ({error})") from error
    for entry, name in wanted.items():
        if name not in found:
            raise VicinalError(f"{path}: has no {entry}")
    rows = len(found[LABELS])
    labels = _by_severity(path, LABELS, found[LABELS], rows, 1).astype(np.int64)
    if (labels != labels[0]).any():
        raise VicinalError(f"{path}: {LABELS}.npy is not the same for every severity")
    images = {name: _by_severity(path, name, found[name], rows, 4) for name in NAMES}
    shapes = {array.shape for array in images.values()}
    if len(shapes) > 1:
        raise VicinalError(f"{path}: its arrays have several shapes: {', '.join(map(str, sorted(shapes)))}")
    return Corrupted(images, labels[0])


def _mapped(path: Path, file: BinaryIO, offset: int, size: int) -> np.ndarray:
    """Map an array inside a file, in NumPy's format, version 1."""
    file.seek(offset)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array in another version of NumPy's format than 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    begin = file.tell()
    if fortran or dtype.hasobject or begin - offset + dtype.itemsize * int(np.prod(shape)) > size:
        raise ValueError(f"an array of {dtype} {shape} that is longer than its entry")
    return np.memmap(path, dtype, "r", begin, shape)


def _by_severity(path: Path, name: str, array: np.ndarray, rows: int, dimensions: int) -> np.ndarray:
    """Return an array (5 N, ...) as (5, N, ...)."""
    kinds = "ui" if name == LABELS else "u"
    right = array.dtype.kind in kinds and (name == LABELS or array.dtype.itemsize == 1)
    if not right or array.ndim != dimensions or len(array) != rows or rows % len(SEVERITIES) or not rows:
        expected = "(5 N,) of integers" if name == LABELS else f"({rows}, height, width, channels) of uint8"
        raise VicinalError(f"{path}: {name}.npy is {array.dtype} {array.shape}, expected {expected}")
    return array.reshape(len(SEVERITIES), -1, *array.shape[1:])


def match_rows(images: np.ndarray, labels: np.ndarray, rows: np.ndarray, corrupted: Corrupted) -> np.ndarray:
    """Return the archive's row of each clean image, found by content: equal labels alone are no proof.

    An image belongs to a row if its pixels correlate with those of the row, brightened at severity 1. If that holds for
    ``rows``, the order of the source, these are returned. Otherwise each image's row is the one of its class with the
    highest correlation, and no two images may share one.

    Args:
        images: clean ones, (n, H, W, C) uint8.
        labels: of the images, (n,).
        rows: position of each image in the test split of its source, (n,).

    Returns:
        Rows of the archive, (n,) int64.

    Raises:
        VicinalError: the archive holds other images.
    """
    mild = corrupted.images[MILD][0]
    if images.shape[1:] != mild.shape[1:]:
        raise VicinalError(f"its images are {mild.shape[1:]}, those of the data set {images.shape[1:]}")
    if rows.max(initial=-1) < len(mild) and (corrupted.labels[rows] == labels).all():
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(rows), _BLOCK)]
        alike = (_standardised(images[block]) * _standardised(mild[rows[block]]) for block in blocks)
        if all((products.sum(axis=1) >= ALIKE).all() for products in alike):
            return rows.astype(np.int64)
    found = np.full(len(images), -1, dtype=np.int64)
    for label in np.unique(labels):
        own, theirs = np.flatnonzero(labels == label), np.flatnonzero(corrupted.labels == label)
        if len(theirs) < len(own):
            raise VicinalError(f"it has {len(theirs)} images of class {label}, the data set {len(own)}")
        alike = _standardised(images[own]) @ _standardised(mild[theirs]).T
        best = alike.argmax(axis=1)
        if (alike.max(axis=1) < ALIKE).any() or len(np.unique(best)) < len(best):
            raise VicinalError(f"its images of class {label} are not those of the data set")
        found[own] = theirs[best]
    return found


def _standardised(images: np.ndarray) -> np.ndarray:
    """Return images as vectors, (n, H·W·C) float32, of mean 0 and length 1; an image of one value as zeros."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)

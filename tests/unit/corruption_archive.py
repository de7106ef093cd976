"""A small data set named as CIFAR-10 and an archive of its corrupted test images, in the published layouts."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vicinal.data.corruptions.catalogue import NAMES, SEVERITIES, CorruptionArchive

CLASSES, SIZE = 4, 12
FOLDER, FILE = "CIFAR-10-C", "CIFAR-10-C.tar"
# In this made-up archive this one leaves images as they are.
NOTHING = "contrast"


def make_images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (count, 12, 12, 3) uint8 and labels: noise, brighter in a corner that the class chooses."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % CLASSES)
    images = rng.integers(30, 130, (count, SIZE, SIZE, 3))
    for image, label in zip(images, labels, strict=True):
        row, column = 6 * (label // 2), 6 * (label % 2)
        image[row : row + 6, column : column + 6] += 60
    return images.astype(np.uint8), labels.astype(np.int64)


def corrupt(images: np.ndarray, name: str, severity: int) -> np.ndarray:
    """Return images after a made-up corruption."""
    if name == NOTHING:
        return images
    if name == "brightness":
        return np.clip(images.astype(int) + 8 * severity, 0, 255).astype(np.uint8)
    noise = np.random.default_rng([NAMES.index(name), severity]).normal(0, 25 * severity, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def arrays_of(images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return what an archive holds: the arrays of all corruptions, severities one after another, and the labels."""
    found = {name: np.concatenate([corrupt(images, name, severity) for severity in SEVERITIES]) for name in NAMES}
    return found | {"labels": np.tile(labels, len(SEVERITIES)).astype(np.uint8)}


def write_archive(path: Path, arrays: dict[str, np.ndarray]) -> CorruptionArchive:
    """Write an archive; return what its authors would have published of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            entry = tarfile.TarInfo(f"{FOLDER}/{name}.npy")
            entry.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(entry, buffer)
    content = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return CorruptionArchive(path.name, FOLDER, md5, len(content), "https://127.0.0.1:9/CIFAR-10-C.tar")


def write_parquet(folder: Path, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> None:
    """Write a data set in the layout of the Hugging Face hub."""
    folder.mkdir(parents=True)
    for split, (images, labels) in {"train": train, "test": test}.items():
        encoded = []
        for image in images:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            encoded.append({"bytes": buffer.getvalue(), "path": None})
        pq.write_table(pa.table({"img": encoded, "label": labels}), folder / f"{split}-0.parquet")

"""Readers of the published archives of CIFAR and Fashion-MNIST.

Nothing is unpacked to the disk, and no code in an archive is run.
"""

import gzip
import pickle
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vicinal.data.stream import Chunk
from vicinal.errors import VicinalError


@dataclass(frozen=True)
class CifarLayout:
    """Which files of an archive hold what; ``labels`` and ``names`` are keys in them."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    labels: bytes
    names: bytes


CIFAR = {
    "cifar10": CifarLayout(
        train=tuple(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)),
        test=("cifar-10-batches-py/test_batch",),
        meta="cifar-10-batches-py/batches.meta",
        labels=b"labels",
        names=b"label_names",
    ),
    "cifar100": CifarLayout(
        train=("cifar-100-python/train",),
        test=("cifar-100-python/test",),
        meta="cifar-100-python/meta",
        labels=b"fine_labels",
        names=b"fine_label_names",
    ),
}
FASHION_MNIST_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def read_cifar(path: Path, layout: CifarLayout) -> tuple[list[Chunk], list[str]]:
    """Return the images of each file of a CIFAR archive, train first, and its class names.

    Raises VicinalError: it lacks files of the layout, or they are not in CIFAR's format.
    """
    wanted = {*layout.train, *layout.test, layout.meta}
    found: dict[str, Any] = {}
    try:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                if member.name in wanted and member.isreg():
                    found[member.name] = read_data(tar.extractfile(member))
        parts = [
            Chunk(split, name, 0, *_cifar_arrays(found[name], layout.labels))
            for split in ("train", "test")
            for name in getattr(layout, split)
        ]
        return parts, [name.decode("utf-8") for name in found[layout.meta][layout.names]]
    except Exception as error:  # another format can fail anywhere
        raise _unreadable(path, "CIFAR", error) from error


def _cifar_arrays(content: Mapping[bytes, Any], labels: bytes) -> tuple[np.ndarray, np.ndarray]:
    # NumPy's pickled form: version, shape, type, order of the axes, bytes.
    _, (count, length), _, fortran, raw = content[b"data"].state
    if fortran or length != 3 * 32 * 32:
        raise ValueError("images that are not 3 x 32 x 32")
    images = np.frombuffer(raw, np.uint8).reshape(count, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, np.array(content[labels], dtype=np.int64).reshape(count)


class Inert:
    """Stands for every class and function in a pickle: keeps its arguments and does nothing."""

    def __new__(cls, *given: Any) -> "Inert":
        """Keep the arguments of a call or a constructor."""
        made = super().__new__(cls)
        made.given, made.state = given, None  # type: ignore[attr-defined]
        return made

    def __setstate__(self, state: Any) -> None:
        """Keep what would fill a NumPy array."""
        self.state = state


class _Reader(pickle.Unpickler):
    """Reads a pickle as data: nothing in it is imported or called."""

    def find_class(self, module: str, name: str) -> type[Inert]:
        """Return the stand-in for any name."""
        return Inert


def read_data(file: BinaryIO) -> Any:
    """Return the content of a Python 2 pickle: numbers, bytes, lists and mappings; anything else is an ``Inert``."""
    return _Reader(file, encoding="bytes").load()


def read_fashion_mnist(folder: Path) -> tuple[list[Chunk], list[str]]:
    """Return Fashion-MNIST's images, train first, and class names. Raises VicinalError: a file is not IDX."""
    parts = []
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 3)[..., np.newaxis]
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 1).astype(np.int64)
        if len(images) != len(labels):
            raise VicinalError(f"{folder}: {len(images)} images and {len(labels)} labels of the {split} split")
        parts.append(Chunk(split, f"{prefix}-images-idx3-ubyte.gz", 0, images, labels))
    return parts, list(FASHION_MNIST_CLASSES)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array in a file of MNIST's format IDX. Raises VicinalError: another format or shape."""
    try:
        content = gzip.decompress(path.read_bytes())
        if content[:4] != bytes([0, 0, 8, dimensions]):
            raise ValueError(f"it begins with {content[:4].hex()}")
        shape = np.frombuffer(content, ">u4", dimensions, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (ValueError, EOFError, OSError) as error:
        raise _unreadable(path, "IDX", error) from error


def _unreadable(path: Path, form: str, error: Exception) -> VicinalError:
    return VicinalError(f"{path}: not in the format {form} ({error!r}): delete it and fetch it again")

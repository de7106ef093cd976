"""Small photos, folders and stores of them, for the tests of the photo store."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vicinal.data.photos.folders import folder_identity
from vicinal.data.photos.store import PhotoStore
from vicinal.data.prepare import prepare_data


def photo(seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB", form: str = "JPEG", **options: Any) -> bytes:
    """Encode a smooth random picture of a size (width, height)."""
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    picture = Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC).convert(mode)
    picture.save(file, form, **options)
    return file.getvalue()


def sizes(count: int) -> list[tuple[int, int]]:
    """Return widths and heights, no two alike, upright and lying."""
    return [(40 + 3 * i % 50, 70 - 7 * i % 45) for i in range(count)]


def write_photos(folder: Path, train: list[bytes], held_out: list[bytes], name: str = "val", classes: int = 2) -> Path:
    """Write an image folder: photo i belongs to class i modulo ``classes``."""
    for split, photos in (("train", train), (name, held_out)):
        for i, data in enumerate(photos):
            path = folder / split / f"class{i % classes}" / f"{i:05d}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return folder


def small_folder(root: Path, count: int = 24) -> Path:
    """Write the image folder ``root/own`` of photos of many sizes: ``count`` to train on and 8 held out."""
    photos = [photo(i, size) for i, size in enumerate(sizes(count + 8))]
    return write_photos(root / "own", photos[:count], photos[count:])


def photo_spec(root: Path, name: str = "own", **more: Any) -> dict[str, Any]:
    """Return the data spec of an image folder."""
    own = {"store": "photos", "validation": 4, "split_seed": 0}
    return {"name": name, **folder_identity(root / name), **own, **more}


def small_store(root: Path, count: int = 24, **more: Any) -> PhotoStore:
    """Write and pack a small image folder."""
    small_folder(root, count)
    return prepare_data(photo_spec(root, **more), root, root / "store")

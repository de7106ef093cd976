"""Images in Parquet files with the layout of the Hugging Face hub."""

import io
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from vicinal.data.columns import Columns
from vicinal.data.labels import LabelledFiles, open_shard, read_labels, unreadable
from vicinal.data.pictures import COLOUR, GREY, as_viewed, oddities, oddity_notes
from vicinal.data.stream import Chunk, ImageSource
from vicinal.errors import VicinalError


def open_parquet(
    folder: Path | str, image: str | None, label: str | None, batch_size: int, viewed: bool = False
) -> ImageSource:
    """Open a folder of Parquet files; see ``layout.shards`` for their names, and ``labels.read_labels``.

    Pictures are decoded by Pillow (PNG, JPEG, WebP, ...). If the first picture is grey all have one channel; if it is
    in colour all are RGB, and grey ones are converted.

    Args:
        image: column of the pictures; None: the only one there is.
        label: column of the labels; None: found by its name.
        batch_size: pictures in a chunk.
        viewed: take pictures as viewers show them, see ``pictures.as_viewed``.

    Raises:
        VicinalError: unreadable file, no or ambiguous columns, labels that are none, or (while reading) a picture that
            cannot be decoded, has another size, or is in colour after a grey first one.
    """
    found = read_labels(folder, image, label)
    return ImageSource(found.counts, found.class_names, _read(found, batch_size, viewed), found.notes)


def _read(found: LabelledFiles, size: int, viewed: bool) -> Iterator[Chunk]:
    decoder = _Decoder(viewed)
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), 8)) as pool:
        for file in found.files:
            row = 0
            for encoded in read_pictures(file.path, found.columns, size):
                images = decoder.decode(pool, file.path, row, encoded)
                yield Chunk(file.split, file.name, row, images, file.labels[row : row + len(encoded)])
                row += len(encoded)
    if not viewed:
        found.notes.extend(oddity_notes(decoder.oddities))


def read_pictures(path: Path, columns: Columns, size: int) -> Iterator[list[bytes | None]]:
    """Yield the encoded pictures of a file, up to ``size`` at a time, with one row group at a time in memory."""
    with open_shard(path) as file:
        batches = file.iter_batches(size, columns=[f"{columns.image}.bytes" if columns.nested else columns.image])
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise unreadable(path, error) from error
            if batch is None:
                return
            pictures = batch.column(columns.image)
            yield (pictures.flatten()[0] if columns.nested else pictures).to_pylist()


class _Decoder:
    """Decodes pictures to the mode and size of the first one."""

    def __init__(self, viewed: bool) -> None:
        self.viewed = viewed
        self.oddities: Counter[str] = Counter()
        self.mode = ""
        self.shape: tuple[int, ...] = ()
        self.first = ""

    def decode(self, pool: ThreadPoolExecutor, path: Path, row: int, encoded: list[bytes | None]) -> np.ndarray:
        """Return (B, H, W, C) uint8; ``row`` is that of the first picture."""
        if not self.mode and encoded:
            self._set_form(path, row, encoded[0])
        images = np.empty((len(encoded), *self.shape), dtype=np.uint8)
        found = pool.map(partial(self._decode_one, path), range(row, row + len(encoded)), encoded)
        for i, (image, odd) in enumerate(found):  # raises what a thread raised
            images[i] = image
            self.oddities.update(odd)
        return images

    def _set_form(self, path: Path, row: int, data: bytes | None) -> None:
        self.first = f"{path.name} row {row}"
        self.mode = "L" if _open_image(path, row, data).mode in GREY else "RGB"
        self.shape = ()
        self.shape = self._decode_one(path, row, data)[0].shape

    def _decode_one(self, path: Path, row: int, data: bytes | None) -> tuple[np.ndarray, list[str]]:
        """Return the pixels of a picture, and its ``pictures.oddities``."""
        picture = _open_image(path, row, data)
        if picture.mode not in GREY | COLOUR:
            raise VicinalError(
                f"{path}: row {row} (from 0): pictures of mode {picture.mode} are not supported, "
                "only 8-bit grey and colour ones"
            )
        if self.mode == "L" and picture.mode not in GREY:
            raise VicinalError(
                f"{path}: row {row} (from 0) is in colour ({picture.mode}), but the set's first "
                f"picture ({self.first}) is grey: convert all to one of the two"
            )
        try:
            picture.load()
            odd = oddities(picture)
            if self.viewed:
                picture = as_viewed(picture)
            array = np.asarray(picture if picture.mode == self.mode else picture.convert(self.mode))
        except Exception as error:  # decoders of damaged pictures raise almost anything
            raise _undecodable(path, row, error) from error
        array = array.reshape(*array.shape[:2], -1)
        if self.shape and array.shape != self.shape:
            (height, width), (h, w) = self.shape[:2], array.shape[:2]
            raise VicinalError(
                f"{path}: row {row} (from 0) is {w} x {h} pixels, but the set's first picture "
                f"({self.first}) is {width} x {height}: all must have one size"
            )
        return array, odd


def _open_image(path: Path, row: int, data: bytes | None) -> Image.Image:
    if data is None:
        raise VicinalError(f"{path}: row {row} (from 0) has no picture (bytes is null)")
    try:
        return Image.open(io.BytesIO(data))
    except Exception as error:  # decoders of damaged pictures raise almost anything
        raise _undecodable(path, row, error) from error


def _undecodable(path: Path, row: int, error: Exception) -> VicinalError:
    reason = "unknown format" if "cannot identify" in str(error) else str(error)
    return VicinalError(f"{path}: row {row} (from 0): its picture cannot be decoded ({reason})")

"""Images in Parquet files with the layout of the Hugging Face hub.

A struct column (``bytes`` and ``path``) holds the encoded pictures, an integer column the labels, and the key
``huggingface`` of the schema's metadata the class names.
"""

import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vicinal.data.catalogue import shards
from vicinal.data.stream import Chunk, ImageSource
from vicinal.errors import VicinalError, nearest

LABEL_COLUMNS = ("label", "labels", "fine_label")
_GREY = {"1", "L", "LA"}
_COLOUR = {"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"}
_CHUNK = 32  # images a thread decodes at a time


@dataclass(frozen=True)
class Columns:
    """The names of the columns of a data set, and of its classes if the file has them."""

    image: str
    label: str
    class_names: list[str] | None


def open_parquet(folder: Path | str, image: str | None, label: str | None, batch_size: int) -> ImageSource:
    """Open a folder of Parquet files; see ``catalogue.shards`` for their names.

    Pictures are decoded by Pillow (PNG, JPEG, WebP, ...). If the first picture is grey all have one channel; if it is
    in colour all are RGB, and grey ones are converted.

    Args:
        folder: of the files.
        image: column of the pictures; None: the only one there is.
        label: column of the labels; None: found by its name.
        batch_size: pictures in a chunk.

    Raises:
        VicinalError: unreadable file, no or ambiguous columns, or (while reading) a picture that cannot be decoded, has
            another size, or is in colour after a grey first one.
    """
    parts = shards(folder)
    counts = dict.fromkeys(parts, 0)
    columns: Columns | None = None
    first = parts["train"][0]
    for split, paths in parts.items():
        for path in paths:
            with open_shard(path) as file:
                found = find_columns(path, file.schema_arrow, image, label)
                counts[split] += file.metadata.num_rows
            if columns is None:
                columns = found
            elif found != columns:
                raise VicinalError(
                    f"{path}: its columns or class names are not those of {first.name}: keep one data set in a folder"
                )
    assert columns is not None  # shards() returns at least two files
    return ImageSource(counts, columns.class_names, _read(parts, columns, batch_size))


def open_shard(path: Path) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises:
        VicinalError: it cannot be read.
    """
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> VicinalError:
    """Return the error for a Parquet file that cannot be read."""
    reason = str(error).splitlines()[0].rstrip(".")
    return VicinalError(f"{path}: damaged or not a Parquet file ({reason}): fetch or copy it again")


def find_columns(path: Path, schema: pa.Schema, image: str | None, label: str | None) -> Columns:
    """Return the columns of a file: the named ones, or those that the schema shows.

    Raises:
        VicinalError: there is no such column, or several fit.
    """
    images = [f.name for f in schema if _is_image(f.type)]
    integers = [f.name for f in schema if pa.types.is_integer(f.type)]
    everything = f"columns: {', '.join(schema.names) or 'none'}"
    if image is not None and image not in images:
        _refuse(path, "image_column", image, images, schema, "a struct with binary bytes")
    if image is None and len(images) != 1:
        fault = f"several image columns ({', '.join(images)}): set data.image_column"
        raise VicinalError(
            f"{path}: " + (fault if images else f"no image column (a struct with binary bytes); {everything}")
        )
    if label is not None and label not in integers:
        _refuse(path, "label_column", label, integers, schema, "an integer column")
    if label is None:
        likely = [name for name in LABEL_COLUMNS if name in integers] or integers
        if not likely or (len(likely) > 1 and likely[0] not in LABEL_COLUMNS):
            fault = "several integer columns" if likely else "no integer label column"
            raise VicinalError(f"{path}: {fault}: set data.label_column; {everything}")
        label = likely[0]
    return Columns(image or images[0], label, _class_names(path, schema, label))


def _refuse(path: Path, field: str, name: str, valid: list[str], schema: pa.Schema, expected: str) -> None:
    if name in schema.names:
        fault = f"is {schema.field(name).type}, not {expected}"
        raise VicinalError(f'data.{field}: "{name}" of {path} {fault}')
    hint = nearest(name, valid) if valid else f" (it has {', '.join(schema.names)})"
    raise VicinalError(f'data.{field}: {path} has no column "{name}"{hint}')


def _is_image(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    inner = kind.field(kind.get_field_index("bytes")).type
    return pa.types.is_binary(inner) or pa.types.is_large_binary(inner)


def _class_names(path: Path, schema: pa.Schema, label: str) -> list[str] | None:
    """Return the class names in the schema's metadata, if there are any."""
    metadata = (schema.metadata or {}).get(b"huggingface")
    try:
        node: Any = json.loads(metadata) if metadata else None
    except ValueError as error:
        raise VicinalError(f'{path}: its schema metadata "huggingface" is not JSON') from error
    for key in ("info", "features", label, "names"):
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict):  # an older form: {"0": name, ...}
        node = [node[key] for key in sorted(node, key=int)]
    return [str(name) for name in node] if node else None


def _read(parts: dict[str, list[Path]], columns: Columns, size: int) -> Iterator[Chunk]:
    decoder = _Decoder()
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), 8)) as pool:
        for split, paths in parts.items():
            for path in paths:
                row = 0
                for encoded, labels in read_shard(path, columns, size):
                    images = decoder.decode(pool, path, row, encoded)
                    yield Chunk(split, path.name, row, images, labels)
                    row += len(labels)


def read_shard(path: Path, columns: Columns, size: int) -> Iterator[tuple[list[bytes | None], np.ndarray]]:
    """Yield encoded pictures and labels, with one row group at a time in memory."""
    with open_shard(path) as file:
        row = 0
        batches = file.iter_batches(size, columns=[f"{columns.image}.bytes", columns.label])
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise unreadable(path, error) from error
            if batch is None:
                return
            labels = batch.column(columns.label)
            if labels.null_count:
                missing = row + int(np.argmax(labels.is_null().to_numpy(zero_copy_only=False)))
                raise VicinalError(f"{path}: row {missing} (from 0) has no {columns.label}")
            picture = batch.column(columns.image).flatten()[0]
            yield picture.to_pylist(), labels.to_numpy(zero_copy_only=False).astype(np.int64)
            row += len(labels)


class _Decoder:
    """Decodes pictures to the mode and size of the first one."""

    def __init__(self) -> None:
        self.mode = ""
        self.shape: tuple[int, ...] = ()
        self.first = ""

    def decode(self, pool: ThreadPoolExecutor, path: Path, row: int, encoded: list[bytes | None]) -> np.ndarray:
        """Return (B, H, W, C) uint8; ``row`` is that of the first picture."""
        if not self.mode and encoded:
            self._set_form(path, row, encoded[0])
        images = np.empty((len(encoded), *self.shape), dtype=np.uint8)

        def work(start: int) -> None:
            for i in range(start, min(start + _CHUNK, len(encoded))):
                images[i] = self._decode_one(path, row + i, encoded[i])

        list(pool.map(work, range(0, len(encoded), _CHUNK)))  # raises what a thread raised
        return images

    def _set_form(self, path: Path, row: int, data: bytes | None) -> None:
        self.first = f"{path.name} row {row}"
        self.mode = "L" if _open_image(path, row, data).mode in _GREY else "RGB"
        self.shape = ()
        self.shape = self._decode_one(path, row, data).shape

    def _decode_one(self, path: Path, row: int, data: bytes | None) -> np.ndarray:
        picture = _open_image(path, row, data)
        if picture.mode not in _GREY | _COLOUR:
            raise VicinalError(
                f"{path}: row {row} (from 0): pictures of mode {picture.mode} are not supported, "
                "only 8-bit grey and colour ones"
            )
        if self.mode == "L" and picture.mode not in _GREY:
            raise VicinalError(
                f"{path}: row {row} (from 0) is in colour ({picture.mode}), but the set's first "
                f"picture ({self.first}) is grey: convert all to one of the two"
            )
        try:
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
        return array


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

"""The labels of Parquet files as class numbers: whatever their column holds, for both stores alike."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vicinal.data.columns import Columns, find_columns, is_text
from vicinal.data.layout import shards
from vicinal.data.passed_over import PassedOver
from vicinal.errors import VicinalError, check_text

UNLABELLED = -1
_TRUTHS = ["false", "true"]


@dataclass(frozen=True)
class LabelledFile:
    """A Parquet file: its split, its name in the data set, its path, and the labels of its rows, (n,) int64."""

    split: str
    name: str
    path: Path
    labels: np.ndarray


@dataclass(frozen=True)
class LabelledFiles:
    """The Parquet files of a data set, ordered by split: train, validation, test."""

    files: list[LabelledFile]  # with their labels
    columns: Columns  # of all files
    class_names: list[str] | None  # by label, or None if the labels are numbers and the files have no names for them
    notes: list[str] = field(default_factory=list)  # what a user should know, a line each

    @property
    def counts(self) -> dict[str, int]:
        """Split → number of images."""
        counts = dict.fromkeys((file.split for file in self.files), 0)
        for file in self.files:
            counts[file.split] += len(file.labels)
        return counts


@dataclass
class _Column:
    """The label column of a file, nulls where a row has no label."""

    split: str
    name: str
    path: Path
    values: pa.ChunkedArray

    def fail(self, row: int, fault: str) -> VicinalError:
        return VicinalError(f"{self.path}: row {row} (from 0) {fault}")


def read_labels(folder: Path | str, image: str | None, label: str | None) -> LabelledFiles:
    """Read the labels of a folder of Parquet files; see ``layout.shards`` for names, ``find_columns`` for columns.

    Whole numbers are labels as they are. Text becomes the place of its class among those of the train split, sorted;
    true is 1 and false is 0. A held-out split without any label (all null, empty or -1) is left out.

    Raises VicinalError: unreadable file; no or ambiguous columns; a row without a label; labels that are no classes.
    """
    passed_over = PassedOver()
    parts = shards(folder, passed_over)
    columns: Columns | None = None
    found = []
    for split, paths in parts.items():
        for name, path in paths.items():
            columns, column = _read_column(path, columns, image, label, next(iter(parts["train"])))
            found.append(_Column(split, name, path, column))
    assert columns is not None  # shards() returns at least two files
    found, notes = _labelled(Path(folder), found, columns)
    names, files = _encoded(found, columns)
    if label is None:
        _check_repeated(files, columns)
    return LabelledFiles(files, columns, names, [*passed_over.notes(), *notes])


def open_shard(path: Path) -> pq.ParquetFile:
    """Open a Parquet file. Raises VicinalError: it cannot be read."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> VicinalError:
    """Return the error for a Parquet file that cannot be read."""
    reason = str(error).splitlines()[0].rstrip(".")
    return VicinalError(f"{path}: damaged or not a Parquet file ({reason}): fetch or copy it again")


def _read_column(
    path: Path, columns: Columns | None, image: str | None, label: str | None, first: str
) -> tuple[Columns, pa.ChunkedArray]:
    """Return the columns of a file, which are those of the first one, and its labels, null where there is none."""
    with open_shard(path) as file:
        found = find_columns(path, file.schema_arrow, image, label)
        if columns is not None and found != columns:
            raise VicinalError(
                f"{path}: its columns or class names are not those of {first}: keep one data set in a folder"
            )
        try:
            values = file.read(columns=[found.label])[found.label]
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, error) from error
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if is_text(values.type):
        values = values.cast(pa.large_string())
        values = pc.if_else(pc.equal(values, ""), None, values)
    elif pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    return found, values


def _labelled(folder: Path, columns: list[_Column], names: Columns) -> tuple[list[_Column], list[str]]:
    """Return the files without held-out splits that have no label, and what to say of these."""
    splits = dict.fromkeys(column.split for column in columns)
    empty = [split for split in splits if split != "train" and _is_unlabelled(columns, split)]
    left = [column for column in columns if column.split not in empty]
    if all(column.split == "train" for column in left):
        raise VicinalError(f"{folder}: no held-out split has labels in {names.label}: models cannot be tested")
    has_test = any(column.split == "test" for column in left)
    for column in left:
        if column.values.null_count:
            raise column.fail(column.values.is_null().index(True).as_py(), f"has no {names.label}")
        if not has_test and column.split == "validation":
            column.split = "test"  # the only held-out labels there are
    return left, [f"the {split} split has no labels and is left out" for split in empty]


def _is_unlabelled(columns: list[_Column], split: str) -> bool:
    values = [column.values for column in columns if column.split == split]
    return any(len(part) for part in values) and all(
        part.null_count == len(part) or (_is_number(part.type) and pc.all(pc.equal(part, UNLABELLED)).as_py())
        for part in values
    )


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _encoded(columns: list[_Column], found: Columns) -> tuple[list[str] | None, list[LabelledFile]]:
    """Return the names of the classes, and the files with their labels as numbers."""
    kinds = {_kind(column.values.type): column for column in columns if len(column.values)}
    if len(kinds) > 1:
        one, other = list(kinds.values())[:2]
        raise VicinalError(
            f"{other.path}: its {found.label} is {other.values.type}, but {one.values.type} in {one.name}: make it one"
        )
    names, kind = found.class_names, next(iter(kinds), "numbers")
    if kind == "text" and names is None:
        texts = [column.values for column in columns if column.split == "train"]
        names = sorted(
            set(pa.chunked_array([c for v in texts for c in v.chunks], pa.large_string()).unique().to_pylist())
        )
        for name in names:
            check_text(f"{columns[0].path}: the name of a class", name)
    elif kind == "truths":
        names = names or _TRUTHS
    read = {"text": lambda column: _places(column, names), "truths": _whole, "numbers": _whole}[kind]
    return names, [LabelledFile(column.split, column.name, column.path, read(column)) for column in columns]


def _kind(kind: pa.DataType) -> str:
    return "text" if is_text(kind) else "truths" if pa.types.is_boolean(kind) else "numbers"


def _places(column: _Column, names: list[str]) -> np.ndarray:
    places = pc.index_in(column.values, pa.array(names, pa.large_string()))
    if places.null_count:
        row = places.is_null().index(True).as_py()
        raise column.fail(row, f'has the label "{column.values[row]}", which is no class of the train split')
    return places.to_numpy().astype(np.int64)


def _whole(column: _Column) -> np.ndarray:
    try:
        return column.values.cast(pa.int64()).to_numpy().astype(np.int64)
    except pa.ArrowInvalid:
        values = column.values.to_numpy()
        row = int(np.argmax((values != np.rint(values)) | (abs(values) >= 2.0**63)))
        raise column.fail(row, f"has the label {values[row]:g}, which is no whole number of a class") from None


def _check_repeated(files: list[LabelledFile], columns: Columns) -> None:
    """Check that the training images do not have a label each, as ids and names of files are."""
    train = np.concatenate([file.labels for file in files if file.split == "train"])
    if len(train) > 2 and len(np.unique(train)) == len(train):
        raise VicinalError(
            f"{files[0].path}: each training image has another {columns.label}, so it tells no classes: set "
            "data.label_column"
        )

"""Which columns of a Parquet file hold the images and the labels."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vicinal.errors import VicinalError, check_text, nearest

# Names that say that a column holds the labels, the likeliest first; then the ClassLabels of the metadata, then others.
LABEL_COLUMNS = ("label", "labels", "fine_label")
OTHER_LABEL_COLUMNS = ("class", "target")
_IMAGES = "encoded images as binary, or as a struct with binary bytes"
_LABELS = "whole numbers, text or true and false"


@dataclass(frozen=True)
class Columns:
    """The names of the columns of a data set, and of its classes if the file has them."""

    image: str  # column of the encoded images
    nested: bool  # whether it is a struct with the field ``bytes``
    label: str  # column of the labels
    class_names: list[str] | None  # by label, or None


def find_columns(path: Path, schema: pa.Schema, image: str | None, label: str | None) -> Columns:
    """Return the columns of a file.

    Images are structs with binary ``bytes``; without any, a binary column. The labels are in the column that is called
    so or is a ClassLabel by the metadata ``huggingface``; without any, in the only column of integers.

    Args:
        image: column of the images; None: the only one there is.
        label: column of the labels; None: found by its name.

    Raises:
        VicinalError: there is no such column, or several fit.
    """
    features = _features(path, schema)
    named, other = _called(schema, LABEL_COLUMNS), _called(schema, OTHER_LABEL_COLUMNS)
    classes = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    nested = [f.name for f in schema if _is_nested(f.type)]
    binary = [f.name for f in schema if _is_binary(f.type)]
    images = nested or [name for name in binary if name not in {*named, *classes, *other}]
    if image is not None and image not in [*nested, *binary]:
        _refuse(path, "image_column", image, images, schema, _IMAGES)
    everything = f"columns: {', '.join(schema.names) or 'none'}"
    if image is None and len(images) != 1:
        fault = f"several image columns ({', '.join(images)}): set data.image_column"
        raise VicinalError(f"{path}: " + (fault if images else f"no image column ({_IMAGES}); {everything}"))
    likely = named[:1] or classes or other[:1] or [f.name for f in schema if pa.types.is_integer(f.type)]
    if label is None and len(likely) != 1:
        fault = f"several columns that may be the label ({', '.join(likely)})" if likely else "no label column"
        raise VicinalError(f"{path}: {fault}: set data.label_column; {everything}")
    image, label = image or images[0], label or likely[0]
    if label not in schema.names or not is_label(schema.field(label).type):
        _refuse(path, "label_column", label, likely, schema, _LABELS)
    return Columns(image, image in nested, label, _class_names(path, features, label))


def _called(schema: pa.Schema, names: tuple[str, ...]) -> list[str]:
    """Return the columns with these names, in upper or lower case, in the order of the names."""
    return [column for name in names for column in schema.names if column.lower() == name]


def is_label(kind: pa.DataType) -> bool:
    """Return whether labels can be of a type; a column of nulls has no labels, but may be one of an unlabelled file."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        is_text(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _refuse(path: Path, field: str, name: str, valid: list[str], schema: pa.Schema, expected: str) -> None:
    if name in schema.names:
        raise VicinalError(f'data.{field}: "{name}" of {path} is {schema.field(name).type}, not {expected}')
    hint = nearest(name, valid) if valid else f" (it has {', '.join(schema.names)})"
    raise VicinalError(f'data.{field}: {path} has no column "{name}"{hint}')


def _is_nested(kind: pa.DataType) -> bool:
    place = kind.get_field_index("bytes") if pa.types.is_struct(kind) else -1
    return place >= 0 and _is_binary(kind.field(place).type)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _features(path: Path, schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Return the features in the schema's metadata: column → what the hub says of it; empty if there are none."""
    metadata = (schema.metadata or {}).get(b"huggingface")
    try:
        node: Any = json.loads(metadata) if metadata else None
    except ValueError as error:
        raise VicinalError(f'{path}: its schema metadata "huggingface" is not JSON') from error
    for key in ("info", "features"):
        node = node.get(key) if isinstance(node, dict) else None
    return {name: entry for name, entry in node.items() if isinstance(entry, dict)} if isinstance(node, dict) else {}


def _class_names(path: Path, features: dict[str, dict[str, Any]], label: str) -> list[str] | None:
    """Return the class names of a column in the metadata, if there are any."""
    names = features.get(label, {}).get("names")
    if isinstance(names, dict):  # an older form: {"0": name, ...}
        names = [names[key] for key in sorted(names, key=int)]
    if not isinstance(names, list) or not names:
        return None
    for name in names:
        check_text(f"{path}: the name of a class", str(name))
    return [str(name) for name in names]

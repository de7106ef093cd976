"""Labels of every kind in Parquet files, and the column that holds them: the same in both stores."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vicinal.data.catalogue import resolve_source
from vicinal.data.prepare import prepare_data
from vicinal.data.store import DataStore
from vicinal.errors import VicinalError

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
STORES = ("array", "photos")


def write(root: Path, image_type: pa.DataType = STRUCT, metadata: dict | None = None, **splits: dict) -> None:
    """Write the data set ``root/own``; each split is a table without the images, which are all different."""
    (root / "own").mkdir(exist_ok=True)
    for seed, (split, columns) in enumerate(splits.items()):
        rng, pictures = np.random.default_rng(seed), []
        for _ in next(iter(columns.values())):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "PNG")
            pictures.append({"bytes": file.getvalue(), "path": ""} if image_type == STRUCT else file.getvalue())
        table = pa.table({"image": pa.array(pictures, image_type), **columns})
        if metadata:
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": metadata}})})
        pq.write_table(table, root / "own" / f"{split}.parquet", row_group_size=7)


def prepare(root: Path, store: str, **columns: str) -> DataStore:
    spec = {"name": "own", **resolve_source("own", root, "parquet", **columns), "validation": 4, "split_seed": 0}
    return prepare_data({**spec, "store": store}, root, root / store)


def by_row(store: DataStore, split: str) -> list[str]:
    """Return the names of the classes of a split that is taken whole, in the order of its rows."""
    return [store.meta["class_names"][label] for label in store.labels[store.splits[split]]]


TEXT = ["dog", "cat", "Émeu"] * 6
CODES = pa.array(TEXT).dictionary_encode()


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("labels", "names", "shown"),
    [
        (TEXT, ["cat", "dog", "Émeu"], TEXT),
        (pa.array(TEXT, pa.string_view()), ["cat", "dog", "Émeu"], TEXT),
        (pa.array(TEXT, pa.large_string()), ["cat", "dog", "Émeu"], TEXT),
        (CODES, ["cat", "dog", "Émeu"], TEXT),
        ([True, False, True] * 6, ["false", "true"], ["true", "false", "true"] * 6),
        ([1.0, 0.0, 2.0] * 6, ["0", "1", "2"], ["1", "0", "2"] * 6),
        (pa.array([1, 0, 2] * 6, pa.uint8()), ["0", "1", "2"], ["1", "0", "2"] * 6),
        (pa.array([1, 0, 2] * 6).dictionary_encode(), ["0", "1", "2"], ["1", "0", "2"] * 6),
    ],
    ids=["text", "view", "large", "dictionary", "bool", "float", "uint8", "integers"],
)
def test_labels_of_every_kind_are_those_of_their_rows(tmp_path, store, labels, names, shown):
    write(tmp_path, **{split: {"image_id": list(range(18)), "label": labels} for split in ("train", "test")})
    made = prepare(tmp_path, store)
    assert made.meta["class_names"] == names
    assert by_row(made, "test") == shown


@pytest.mark.parametrize("name", ["label", "labels", "fine_label", "class", "target", "Label"])
def test_a_column_called_as_labels_are_is_taken_before_any_other(tmp_path, name):
    columns = {"image_id": [7, 8] * 9, name: ["b", "a"] * 9}
    write(tmp_path, train=columns, test=columns)
    assert by_row(prepare(tmp_path, "array"), "test") == ["b", "a"] * 9


def test_a_class_label_of_the_metadata_is_taken_before_other_integers(tmp_path):
    columns = {"width": [8, 9] * 9, "animal": [1, 0] * 9}
    features = {"animal": {"_type": "ClassLabel", "names": ["cat", "dog"]}, "width": {"_type": "Value"}}
    write(tmp_path, metadata=features, train=columns, test=columns)
    assert by_row(prepare(tmp_path, "array"), "test") == ["dog", "cat"] * 9
    features["width"] = {"_type": "ClassLabel", "names": [str(i) for i in range(10)]}
    write(tmp_path, metadata=features, train=columns, test=columns)
    with pytest.raises(VicinalError, match=r"several columns that may be the label \(width, animal\): set data.label"):
        prepare(tmp_path, "array")


@pytest.mark.parametrize("name", ["image_id", "label"])
def test_ids_are_no_labels(tmp_path, name):
    write(tmp_path, train={name: list(range(18))}, test={name: list(range(18))})
    with pytest.raises(VicinalError, match=f"each training image has another {name}, so it tells no classes: set data"):
        prepare(tmp_path, "array")


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_images_may_be_a_plain_binary_column(tmp_path, store, kind):
    write(tmp_path, train={"label": [0, 1] * 9}, test={"label": [0, 1] * 9})
    expected = prepare(tmp_path, store).meta["sha256"]
    write(tmp_path, kind, train={"label": [0, 1] * 9}, test={"label": [0, 1] * 9})
    assert prepare(tmp_path, store).meta["sha256"] == expected


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("labels", "test"),
    [
        ([0, 1] * 9, [-1] * 18),
        ([0, 1] * 9, pa.nulls(18, pa.int64())),
        ([0, 1] * 9, pa.nulls(18)),
        ([0.0, 1.0] * 9, [-1.0, float("nan")] * 9),
        (["a", "b"] * 9, [""] * 18),
        (["a", "b"] * 9, pa.nulls(18, pa.string())),
    ],
    ids=["minus", "null", "no type", "float", "empty text", "null text"],
)
def test_a_test_split_without_labels_is_left_out(tmp_path, store, labels, test):
    write(tmp_path, train={"label": labels}, validation={"label": labels}, test={"label": test})
    made = prepare(tmp_path, store)
    assert made.meta["counts"] == {"train": 14, "validation": 4, "test": 18}
    assert made.meta["images"] == 36
    assert "the test split has no labels and is left out" in made.meta["notes"]
    (tmp_path / "own" / "validation.parquet").unlink()
    with pytest.raises(VicinalError, match="own: no held-out split has labels in label: models cannot be tested"):
        prepare(tmp_path, store)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["a", "b"] * 9, ["a"] * 8 + ["c"], r'test.parquet: row 8 \(from 0\) has the label "c", which is no class of'),
        (["a", "b"] * 8 + ["a", ""], ["a", "b"], r"train.parquet: row 17 \(from 0\) has no label"),
        ([0.0, 1.0] * 8 + [0.5, 1.0], [0.0, 1.0], r"train.parquet: row 16 \(from 0\) has the label 0.5, which is no"),
        ([0.0, 1.0] * 8 + [1e300, 1.0], [0.0, 1.0], r"train.parquet: row 16 \(from 0\) has the label 1e\+300"),
        ([0, 1] * 9, [0, None, 1], r"test.parquet: row 1 \(from 0\) has no label"),
        ([0, 1] * 9, ["a", "b"], r"test.parquet: its label is large_string, but int64 in train.parquet: make it one"),
        (["a\nb", "c"] * 9, ["c"], r"the name of a class: 'a\\nb' has a line break"),
        (pa.array([2**63, 1] * 9, pa.uint64()), pa.array([1, 1], pa.uint64()), "row 0 .* has the label 9.22337e"),
    ],
)
def test_labels_that_are_no_classes_are_named(tmp_path, store, train, test, message):
    write(tmp_path, train={"label": train}, test={"label": test})
    with pytest.raises(VicinalError, match=message) as error:
        prepare(tmp_path, store)
    assert str(error.value).isprintable()

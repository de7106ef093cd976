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
from vicinal.data.sources import open_source
from vicinal.errors import VicinalError


def picture(seed: int, size: tuple[int, int] = (5, 4), mode: str = "RGB", form: str = "PNG") -> bytes:
    """Encode noise of a size (width, height)."""
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], len(mode))
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(array).save(file, form, lossless=True)
    return file.getvalue()


def write(
    path: Path, pictures: list, labels: list, names=("cat", "dog"), column="image", label="label", **extra
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    structs = [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(pictures)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({column: pa.array(structs, kind), label: labels, **extra})
    if names:
        features = {label: {"names": list(names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=4)


def own(root: Path, train=None, test=None, train_labels=None, **more) -> Path:
    """Write a small data set of one's own: 12 train and 4 test pictures of 2 classes."""
    train = [picture(i) for i in range(12)] if train is None else train
    test = [picture(100 + i) for i in range(4)] if test is None else test
    labels = [i % 2 for i in range(len(train))] if train_labels is None else train_labels
    write(root / "own" / "train-0.parquet", train, labels, **more)
    write(root / "own" / "test-0.parquet", test, [i % 2 for i in range(len(test))], **more)
    return root


def spec(root: Path, **more) -> dict:
    columns = {key: more.pop(key) for key in ("image_column", "label_column") if key in more}
    return {"name": "own", **resolve_source("own", root, **columns), "validation": 2, "split_seed": 0, **more}


def read(root: Path, tmp_path: Path, **columns) -> tuple[np.ndarray, np.ndarray]:
    source = open_source(spec(root, **columns), root)
    batches = list(source.chunks)
    return np.concatenate([b.images for b in batches]), np.concatenate([b.labels for b in batches])


def refused(root: Path, tmp_path: Path, *words: str, **more) -> None:
    """Check that preparing fails with one line that has these words, and leaves nothing behind."""
    target = tmp_path / "store"
    with pytest.raises(VicinalError) as error:
        prepare_data(spec(root, **more), root, target)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert not target.exists() or not list(target.iterdir())


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_lossless_pictures_come_out_as_pillow_decodes_them(tmp_path, form):
    encoded = [picture(i, form=form) for i in range(12)]
    root = own(tmp_path, train=encoded)
    images, labels = read(root, tmp_path)
    expected = np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in encoded])
    assert images.shape == (16, 4, 5, 3)
    assert np.array_equal(images[:12], expected)
    assert labels.tolist() == [0, 1] * 8


def test_grey_pictures_in_a_colour_set_become_colour(tmp_path):
    encoded = [picture(0), *[picture(i, mode="L", form="JPEG") for i in range(1, 12)]]
    images, _ = read(own(tmp_path, train=encoded), tmp_path)
    grey = np.asarray(Image.open(io.BytesIO(encoded[3])))
    assert np.array_equal(images[3], np.stack([grey] * 3, axis=-1))


def test_a_grey_set_has_one_channel(tmp_path):
    encoded = [picture(i, mode="L") for i in range(12)]
    images, _ = read(own(tmp_path, train=encoded, test=encoded[:4]), tmp_path)
    assert images.shape == (16, 4, 5, 1)


def test_shards_and_batches_keep_the_order_of_rows(tmp_path):
    folder = tmp_path / "own"
    encoded = [picture(i) for i in range(1_300)]
    labels = np.arange(1_300) % 2
    for shard, rows in enumerate((slice(0, 700), slice(700, 1_300))):
        write(folder / f"train-{shard:05d}-of-00002.parquet", encoded[rows], labels[rows].tolist())
    write(folder / "test-00000-of-00001.parquet", encoded[:2], [0, 1])
    source = open_source(spec(tmp_path), tmp_path)
    assert source.counts == {"train": 1_300, "test": 2}
    found = [
        (batch.split, batch.file, batch.row + i, batch.images[i].tobytes())
        for batch in source.chunks
        for i in range(len(batch.labels))
    ]
    rows = [(0, i) for i in range(700)] + [(1, i) for i in range(600)]
    expected = [
        ("train", f"train-{shard:05d}-of-00002.parquet", row, np.asarray(Image.open(io.BytesIO(data))).tobytes())
        for (shard, row), data in zip(rows, encoded, strict=True)
    ]
    assert found[:1_300] == expected


def test_the_only_columns_are_found_whatever_their_names(tmp_path):
    own(tmp_path, column="photo", label="species")
    assert read(tmp_path, tmp_path)[1].tolist() == [0, 1] * 8
    assert open_source(spec(tmp_path), tmp_path).class_names == ["cat", "dog"]


def test_the_label_column_setting_is_used(tmp_path):
    for split, first in (("train", 0), ("test", 4)):
        encoded = [picture(first + i) for i in range(4)]
        write(tmp_path / "own" / f"{split}-0.parquet", encoded, [0, 1, 0, 1], names=None, coarse=[1, 1, 0, 0])
    assert read(tmp_path, tmp_path)[1].tolist() == [0, 1, 0, 1] * 2
    assert read(tmp_path, tmp_path, label_column="coarse")[1].tolist() == [1, 1, 0, 0] * 2


def test_classes_without_names_are_numbered(tmp_path):
    root = own(tmp_path, names=None)
    assert prepare_data(spec(root), root, tmp_path / "store").meta["class_names"] == ["0", "1"]


def test_a_truncated_file_is_named(tmp_path):
    root = own(tmp_path)
    path = root / "own" / "train-0.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    refused(root, tmp_path, str(path), "damaged or not a Parquet file", "again")


def test_a_file_damaged_in_the_middle_is_named(tmp_path):
    root = own(tmp_path)
    path = root / "own" / "train-0.parquet"
    data = bytearray(path.read_bytes())
    data[4:400] = b"\xff" * 396  # page headers of the first column
    path.write_bytes(data)
    refused(root, tmp_path, str(path), "damaged or not a Parquet file")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"text": ["a"]}, ["no image column", "text"]),
        ({"image": ["a"], "label": [0]}, ["no image column", "image, label, row"]),
        ({"a": "pictures", "b": "pictures", "label": [0]}, ["several image columns (a, b)", "data.image_column"]),
        ({"a": "pictures"}, ["no label column", "data.label_column"]),
        (
            {"a": "pictures", "x": [0], "y": [1]},
            ["several columns that may be the label (x, y)", "data.label_column", "a, x, y, row"],
        ),
        ({"a": "pictures", "species": ["cat"]}, ["no label column", "a, species, row"]),
        ({"a": "pictures", "label": [[1]], "id": [0]}, ['"label"', "is list<", "not whole numbers, text"]),
    ],
)
def test_foreign_parquet_files_are_refused(tmp_path, columns, words):
    folder = tmp_path / "own"
    folder.mkdir()
    for i, split in enumerate(("train", "test")):
        struct = [{"bytes": picture(i), "path": ""}]
        table = {name: struct if values == "pictures" else values for name, values in columns.items()} | {
            "row": [i / 3]
        }
        pq.write_table(pa.table(table), folder / f"{split}-0.parquet")
    refused(tmp_path, tmp_path, str(folder / "train-0.parquet"), *words)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_column": "imag"}, ['no column "imag"', "did you mean image"]),
        ({"image_column": "label"}, ['"label"', "is int64, not encoded images"]),
        ({"label_column": "lable"}, ['no column "lable"', "did you mean label"]),
        ({"label_column": "image"}, ['"image"', "not whole numbers, text"]),
    ],
)
def test_wrong_column_settings_are_named(tmp_path, settings, words):
    refused(own(tmp_path), tmp_path, f"data.{next(iter(settings))}", *words, **settings)


def test_files_of_different_data_sets_are_refused(tmp_path):
    root = own(tmp_path)
    write(root / "own" / "test-0.parquet", [picture(0)], [0], names=("dog", "cat"))
    refused(root, tmp_path, "test-0.parquet", "class names", "train-0.parquet")


def test_pictures_of_another_size_are_named_with_row_and_sizes(tmp_path):
    encoded = [*[picture(i) for i in range(9)], picture(9, size=(7, 6)), picture(10), picture(11)]
    refused(own(tmp_path, train=encoded), tmp_path, "train-0.parquet", "row 9", "7 x 6", "5 x 4", "row 0")


@pytest.mark.parametrize("data", [b"", b"no picture", picture(3)[:60]])
def test_pictures_that_cannot_be_decoded_are_named(tmp_path, data):
    encoded = [picture(i) for i in range(12)]
    encoded[6] = data
    refused(own(tmp_path, train=encoded), tmp_path, "own/train-0.parquet", "row 6", "cannot be decoded")


def test_a_missing_picture_is_named(tmp_path):
    encoded = [picture(i) for i in range(12)]
    encoded[5] = None
    refused(own(tmp_path, train=encoded), tmp_path, "train-0.parquet", "row 5", "bytes is null")


def test_colour_after_grey_is_refused(tmp_path):
    encoded = [*[picture(i, mode="L") for i in range(8)], picture(8)]
    refused(own(tmp_path, train=encoded), tmp_path, "train-0.parquet", "row 8", "colour (RGB)", "row 0", "grey")


def test_pictures_of_sixteen_bits_are_refused(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 5), dtype=np.uint16)).save(file, "PNG")
    encoded = [*[picture(i) for i in range(5)], file.getvalue()]
    refused(own(tmp_path, train=encoded), tmp_path, "row 5", "I;16")


@pytest.mark.parametrize(
    ("labels", "more", "words"),
    [
        ([0, 1] * 5 + [0, -1], {}, ["train-0.parquet", "row 11", "label -1", "0 to 1"]),
        ([0, 1] * 5 + [2, 1], {}, ["train-0.parquet", "row 10", "label 2", "0 to 1"]),
        ([0, 1] * 5 + [0, -7], {"names": None}, ["row 11", "label -7"]),
        ([0, 2] * 6, {"names": ("a", "b", "c")}, ["class 1", '"b"', "no readable image"]),
        ([0, 2] * 6, {"names": None}, ["class 1", "no readable image", "without gaps"]),
        ([0] * 12, {"names": None, "test": [picture(1)]}, ["only one class"]),
        ([10**6, 10**6 + 1] * 6, {"names": None}, ["1000000", "without gaps"]),
        ([0, 1] * 5 + [0, None], {}, ["row 11", "has no label"]),
    ],
)
def test_labels_that_are_no_class_numbers_are_named(tmp_path, labels, more, words):
    refused(own(tmp_path, train_labels=labels, **more), tmp_path, *words)


def test_an_empty_split_is_refused(tmp_path):
    root = own(tmp_path)
    write(root / "own" / "test-0.parquet", [], pa.array([], pa.int64()))
    refused(root, tmp_path, "test split", "no image")


def test_files_that_changed_since_the_plan_are_named(tmp_path):
    root = own(tmp_path)
    before = spec(root)
    write(root / "own" / "test-0.parquet", [picture(50), picture(51)], [1, 0])
    with pytest.raises(VicinalError, match=r"test-0\.parquet: has changed since the run was planned: run again"):
        prepare_data(before, root, tmp_path / "store")
    write(root / "own" / "train-1.parquet", [picture(52)], [0])
    with pytest.raises(VicinalError, match=r"train-1\.parquet: is new"):
        prepare_data(before, root, tmp_path / "store")
    (root / "own" / "train-1.parquet").unlink()
    (root / "own" / "train-0.parquet").rename(root / "own" / "train-a.parquet")
    with pytest.raises(VicinalError, match=r"train-0\.parquet: is gone"):
        prepare_data(before, root, tmp_path / "store")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "half \ud800 of a letter"])
def test_a_class_name_that_no_table_or_page_could_show_is_refused(tmp_path, name):
    root = own(tmp_path, names=("cat", name))
    with pytest.raises(VicinalError, match=r"train-0.parquet: the name of a class: .* has a line break") as error:
        read(root, tmp_path)
    assert str(error.value).isprintable()

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photo_files import photo, photo_spec, small_folder, write_photos
from PIL import Image

from vicinal.data.catalogue import resolve_source
from vicinal.data.photos.folders import PhotoFolder
from vicinal.data.photos.sources import open_photos
from vicinal.data.photos.splits import photo_splits
from vicinal.data.prepare import prepare_data
from vicinal.errors import VicinalError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def write_parquet(path: Path, photos: list, labels: list, names: list[str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array([{"bytes": data, "path": ""} for data in photos], kind), "label": labels})
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=4)


def parquet_spec(root: Path, **more) -> dict:
    own = {"store": "photos", "validation": 2, "split_seed": 0}
    return {"name": "own", **resolve_source("own", root, "parquet"), **own, **more}


def small_parquet(root: Path, **more) -> dict:
    """Write 13 photos to train on in two shards, 5 held out."""
    for shard, rows in enumerate((range(7), range(7, 13))):
        photos = [photo(i, (40 + i, 50 - i)) for i in rows]
        write_parquet(root / "own" / f"train-{shard:05d}-of-00002.parquet", photos, [i % 2 for i in rows], ["a", "b"])
    write_parquet(
        root / "own" / "validation-0.parquet", [photo(i) for i in range(20, 25)], [0, 1] * 2 + [0], ["a", "b"]
    )
    return parquet_spec(root, **more)


def test_the_bytes_of_parquet_files_are_kept_in_the_order_of_their_rows(tmp_path):
    store = prepare_data(small_parquet(tmp_path), tmp_path, tmp_path / "store")
    expected = [photo(i, (40 + i, 50 - i)) for i in range(13)] + [photo(i) for i in range(20, 25)]
    assert [bytes(store.read(i)) for i in range(18)] == expected
    assert store.labels.tolist() == [i % 2 for i in range(13)] + [0, 1, 0, 1, 0]
    assert store.meta["class_names"] == ["a", "b"]
    table = pq.read_table(tmp_path / "store" / "splits.parquet").to_pydict()
    names = dict(zip(table["index"], table["source"], strict=True))
    assert names[6] == "train-00000-of-00002.parquet:6"
    assert names[7] == "train-00001-of-00002.parquet:0"
    assert names[13] == "validation-0.parquet:0"


def test_some_rows_of_parquet_files_can_be_packed_alone(tmp_path):
    store = prepare_data(small_parquet(tmp_path, limit_train=4, limit_test=3), tmp_path, tmp_path / "store")
    table = pq.read_table(tmp_path / "store" / "splits.parquet").to_pydict()
    for index, name in zip(table["index"], table["source"], strict=True):
        file, _, row = name.rpartition(":")
        rows = pq.read_table(tmp_path / "own" / file)["image"].to_pylist()
        assert bytes(store.read(index)) == rows[int(row)]["bytes"]
    assert store.meta["images"] == 4 + 2 + 3


def test_an_unlabelled_test_split_is_left_out(tmp_path):
    small_parquet(tmp_path)
    write_parquet(tmp_path / "own" / "test-0.parquet", [photo(i) for i in range(30, 33)], [-1, -1, -1], ["a", "b"])
    source = open_photos(parquet_spec(tmp_path), tmp_path)
    assert source.counts == {"train": 13, "test": 5}
    folder = small_folder(tmp_path / "folder")
    (folder / "test").mkdir()
    (folder / "test" / "1.JPEG").write_bytes(photo(1))
    assert PhotoFolder(folder).counts == {"train": 24, "validation": 8}


def test_bad_rows_are_named(tmp_path):
    spec = small_parquet(tmp_path)
    photos = [photo(i) for i in range(20)]
    photos[3], photos[7] = None, b"no picture"
    write_parquet(tmp_path / "own" / "validation-0.parquet", photos, [0, 1] * 10, ["a", "b"])
    spec = parquet_spec(tmp_path, bad_share=0.1)
    prepare_data(spec, tmp_path, tmp_path / "store")
    bad = (tmp_path / "store" / "bad_files.txt").read_text()
    assert bad == "validation-0.parquet:3: empty\nvalidation-0.parquet:7: not a picture\n"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2] * 3, r"train-00001-of-00002.parquet:1: label 2 is not 0 to 1, one of its 2 class names"),
        ([0, -1] * 3, r"train-00001-of-00002.parquet:1: label -1 is not 0 to 1"),
        ([0, None] * 3, r"train-00001-of-00002.parquet: row 1 \(from 0\) has no label"),
    ],
)
def test_labels_that_are_none_are_named(tmp_path, labels, message):
    small_parquet(tmp_path)
    path = tmp_path / "own" / "train-00001-of-00002.parquet"
    write_parquet(path, [photo(i) for i in range(6)], labels, ["a", "b"])
    with pytest.raises(VicinalError, match=message):
        prepare_data(parquet_spec(tmp_path), tmp_path, tmp_path / "store")


def test_a_damaged_parquet_file_is_named(tmp_path):
    spec = small_parquet(tmp_path)
    path = tmp_path / "own" / "validation-0.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(VicinalError, match=r"validation-0\.parquet: has changed since the run was planned"):
        prepare_data(spec, tmp_path, tmp_path / "store")
    with pytest.raises(VicinalError, match=r"validation-0\.parquet: damaged or not a Parquet file"):
        prepare_data(parquet_spec(tmp_path), tmp_path, tmp_path / "store")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_the_only_held_out_split_is_the_test_split(tmp_path, name):
    write_photos(tmp_path / "own", [photo(i) for i in range(12)], [photo(i) for i in range(12, 18)], name)
    source = open_photos(photo_spec(tmp_path), tmp_path)
    splits = photo_splits(source, {"name": "own", "validation": 4})
    assert splits["test"].tolist() == list(range(12, 18))
    assert len(splits["validation"]) == 4
    assert set(splits["validation"]) < set(range(12))


@pytest.mark.parametrize(
    ("spec", "counts", "held_out"),
    [
        ({}, {"train": 36, "validation": 4, "test": 20}, "train"),
        ({"validation": 6}, {"train": 34, "validation": 6, "test": 20}, "train"),
        ({"name": "imagenet", "validation": 6}, {"train": 40, "validation": 6, "test": 14}, "test"),
        ({"name": "imagenet", "validation": 0.2}, {"train": 40, "validation": 4, "test": 16}, "test"),
    ],
)
def test_the_validation_split_is_cut_stratified_from_the_train_split_and_for_imagenet_from_the_test_split(
    spec, counts, held_out
):
    source = made_up_source(40, 20)
    splits = photo_splits(source, {"name": "own", "split_seed": 3, **spec})
    assert {name: len(part) for name, part in splits.items()} == counts
    together = np.concatenate(list(splits.values()))
    assert sorted(together) == list(range(60))
    assert set(splits["validation"]) <= set(range(40) if held_out == "train" else range(40, 60))
    assert np.ptp(np.bincount(source.labels[splits["validation"]], minlength=2)) <= 1
    again = photo_splits(source, {"name": "own", "split_seed": 3, **spec})
    assert all(np.array_equal(again[name], part) for name, part in splits.items())
    other = photo_splits(source, {"name": "own", "split_seed": 4, **spec})
    assert not np.array_equal(other["validation"], splits["validation"])


def made_up_source(train: int, held_out: int):
    class Source:
        counts = {"train": train, "validation": held_out}  # noqa: RUF012
        labels = np.arange(train + held_out) % 2
        class_names = None
        name = str

    return Source()


def test_imagenet_has_10000_validation_and_40000_test_photos():
    source = made_up_source(1000, 50_000)
    splits = photo_splits(source, {"name": "imagenet"})
    assert {name: len(part) for name, part in splits.items()} == {"train": 1000, "validation": 10_000, "test": 40_000}


def test_a_validation_split_of_the_source_is_kept(tmp_path):
    folder = small_folder(tmp_path)
    write_photos(folder, [], [photo(i) for i in range(50, 54)], "test")
    source = PhotoFolder(folder)
    splits = photo_splits(source, {"name": "imagenet"})
    assert {name: len(part) for name, part in splits.items()} == {"train": 24, "validation": 8, "test": 4}


@pytest.mark.parametrize("validation", [20, 25, 2.5, 0, -1, 0.01])
def test_a_size_that_is_none_is_named(validation):
    with pytest.raises(VicinalError, match=r"data\.validation: "):
        photo_splits(made_up_source(40, 20), {"name": "imagenet", "validation": validation})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: [p.unlink() for p in f.rglob("val/*/*")], "the validation split of the source has no photo"),
        (lambda f: (f / "val").rename(f / "dev"), r"own: expected train/CLASS/\*.JPEG and val/CLASS/\*.JPEG or"),
        (lambda f: (f / "train").rename(f / "Train"), r"own: expected train/CLASS"),
        (lambda f: (f / "val/class1").rename(f / "val/klass1"), r"val: 'klass1' is no class of the train split"),
        (lambda f: (f / "train/class1").rename(f / "class1"), "train: expected one folder a class here, found 1"),
        (lambda f: (f / "train/class1").rename(f / "train/cl\nss"), r"train: the name of a class: 'cl\\nss' has"),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused_in_one_line(tmp_path, change, message):
    folder = small_folder(tmp_path)
    change(folder)
    with pytest.raises(VicinalError, match=message) as error:
        prepare_data(photo_spec(tmp_path), tmp_path, tmp_path / "store")
    assert str(error.value).isprintable()


def test_real_photos(tmp_path):
    name = "imagenette160"
    if not (DATA / name).is_dir():
        pytest.skip(f"{DATA / name} is not there: put the Parquet files of {name} there to run this test")
    spec = {"name": name, "store": "photos", **resolve_source(name, DATA), "split_seed": 0, "limit_train": 300}
    store = prepare_data(spec, DATA, tmp_path / "store")
    assert store.meta["counts"] == {"train": 300, "validation": 200, "test": 500}
    assert (np.bincount(store.labels[store.splits["train"]]) == 30).all()
    assert store.meta["class_names"][5] == "French horn"
    assert store.meta["encoding"]["kept"] == 1000
    assert (store.sizes == 160).all()
    modes = {Image.open(io.BytesIO(store.read(position))).mode for position in range(1000)}
    assert modes == {"RGB", "L"}

import errno
import os
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits

from vicinal.data import prepare as module
from vicinal.data.catalogue import resolve_source
from vicinal.data.prepare import prepare_data
from vicinal.data.statistics import channel_statistics, constant_notes
from vicinal.data.store import FORMAT, FORMS, DataStore
from vicinal.errors import VicinalError

FILES = FORMS[FORMAT]


def digits(**more) -> dict:
    return {"name": "digits", **resolve_source("digits", "nowhere"), "split_seed": 0, **more}


@pytest.fixture
def store(tmp_path) -> DataStore:
    return prepare_data(digits(), tmp_path, tmp_path / "store")


def test_a_store_holds_the_digits(store):
    theirs = load_digits()
    assert store.images.shape == (1_797, 8, 8, 1)
    assert store.images.dtype == np.uint8
    assert np.abs(store.images[..., 0] / 255 - theirs.images / 16).max() <= 0.5 / 255
    assert store.images.max() == 255
    assert np.array_equal(store.labels, theirs.target)
    assert store.labels.dtype == np.int64
    assert store.num_classes == 10
    assert store.meta["counts"] == {"train": 150, "validation": 597, "test": 900}
    assert isinstance(store.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 0


def test_splits_are_disjoint_and_stratified(store):
    counts = {name: np.bincount(store.labels[part], minlength=10) for name, part in store.splits.items()}
    assert {name: int(each.sum()) for name, each in counts.items()} == store.meta["counts"]
    together = np.concatenate(list(store.splits.values()))
    assert len(np.unique(together)) == len(together) == 150 + 597 + 900
    # The classes have 174 to 183 images: proportional shares are within one of each part's quota.
    quotas = np.bincount(store.labels) / 1_797
    assert all((np.abs(each - quotas * each.sum()) < 2).all() for each in counts.values())


def test_mean_and_std_are_those_of_the_training_images(store, tmp_path):
    limited = prepare_data(digits(limit_train=100, limit_test=50), tmp_path, tmp_path / "limited")
    assert limited.meta["counts"] == {"train": 100, "validation": 50, "test": 50}
    for made in (store, limited):
        pixels = made.images[made.splits["train"]].astype(np.float64) / 255
        np.testing.assert_allclose(made.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-12)
        np.testing.assert_allclose(made.std, pixels.std(axis=(0, 1, 2)), rtol=1e-12)


def test_each_seed_has_a_subset_of_its_own_and_all_the_same_test_split(tmp_path):
    one, other = (
        prepare_data(digits(limit_train=100, subset_seed=seed), tmp_path, tmp_path / str(seed)) for seed in (0, 1)
    )
    assert len(np.intersect1d(one.splits["train"], other.splits["train"])) < 50
    for split in ("validation", "test"):
        assert np.array_equal(one.splits[split], other.splits[split])
    assert not np.array_equal(one.mean, other.mean)


def test_statistics_are_by_channel_and_of_the_positions_only():
    images = np.random.default_rng(0).integers(0, 256, (2_000, 4, 3, 3), dtype=np.uint8)
    positions = np.arange(1, 2_000, 2)
    mean, std = channel_statistics(images, positions)
    np.testing.assert_allclose(mean, (images[1::2] / 255.0).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images[1::2] / 255.0).std(axis=(0, 1, 2)), rtol=1e-12)
    images[..., 1] = 7
    mean, std = channel_statistics(images, positions)
    assert std[1] == 1
    assert mean[1] == pytest.approx(7 / 255)
    assert constant_notes(std) == ["channel 1 has one value in all training images, so it tells nothing"]
    with pytest.raises(VicinalError, match="all training images are of one colour: there is nothing to learn"):
        channel_statistics(np.zeros_like(images), positions)


def test_the_record_of_the_split_names_every_image(store):
    table = pq.read_table(store.directory / "splits.parquet").to_pandas()
    assert list(table.columns) == ["split", "index", "source_split", "source_row", "label"]
    assert (table["label"] == load_digits().target[table["source_row"]]).all()
    assert table["split"].value_counts().to_dict() == store.meta["counts"]
    assert set(table["source_split"]) == {"train"}


def test_the_same_spec_gives_the_same_bytes(store, tmp_path):
    again = prepare_data(digits(), tmp_path, tmp_path / "again")
    assert again.meta == store.meta
    assert all((again.directory / f).read_bytes() == (store.directory / f).read_bytes() for f in FILES)


def test_a_whole_store_is_kept(store, tmp_path):
    stamps = {f: (store.directory / f).stat().st_mtime_ns for f in (*FILES, "meta.json")}
    lines: list[str] = []
    kept = prepare_data(digits(split_seed=0.0), tmp_path, store.directory, lines.append)
    assert kept.meta == store.meta
    assert {f: (store.directory / f).stat().st_mtime_ns for f in stamps} == stamps
    assert lines == [f"{store.directory}: already there and whole, kept"]


def test_a_store_counts_as_whole_only_after_all_its_files_are_there(tmp_path, monkeypatch):
    moved = []
    replace = Path.replace

    def killed(path, target):
        if Path(target).name == "meta.json" and Path(target).parent == tmp_path / "store":
            raise KeyboardInterrupt
        moved.append(Path(target).name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_data(digits(), tmp_path, tmp_path / "store")
    assert {*FILES, "provenance.json"} <= set(moved)
    assert not (tmp_path / "store" / "meta.json").exists()


@pytest.mark.parametrize("change", [{"split_seed": 5}, {"validation": 100}])
def test_a_store_of_another_spec_is_replaced_and_other_files_stay(store, tmp_path, change):
    (store.directory / "prepare.log").write_text("a log")
    changed = prepare_data(digits(**change), tmp_path, store.directory)
    assert changed.sha256 != store.sha256
    assert len(store.sha256) == 64
    assert DataStore(store.directory, verify=True).sha256 == changed.sha256
    assert sorted(p.name for p in store.directory.iterdir()) == sorted(
        [*FILES, "meta.json", "prepare.log", "provenance.json"]
    )


def test_a_store_of_other_code_is_built_anew(store, tmp_path):
    lines: list[str] = []
    prepare_data(digits(), tmp_path, store.directory, lines.append, code="abc")
    assert "of another plan" in lines[0]
    prepare_data(digits(), tmp_path, store.directory, lines.append, code="abc")
    assert "kept" in lines[-1]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_missing_and_truncated_files_are_named(store, name):
    truncate(store.directory / name)
    with pytest.raises(VicinalError, match=rf"{name}: [\d,]+ bytes instead of [\d,]+: .*run again"):
        DataStore(store.directory)
    (store.directory / name).unlink()
    with pytest.raises(VicinalError, match=rf"{name}: missing: .*run again"):
        DataStore(store.directory)


@pytest.mark.parametrize("name", FILES)
def test_verification_finds_one_wrong_bit_and_preparing_repairs_it(store, tmp_path, name):
    flip(store.directory / name)
    DataStore(store.directory)
    remedy = re.escape(f"delete {store.directory} and run again to build the store anew")
    with pytest.raises(VicinalError, match=rf"{name}: its SHA-256 .*{remedy}"):
        DataStore(store.directory, verify=True)
    lines: list[str] = []
    prepare_data(digits(), tmp_path, store.directory, lines.append)
    assert name in lines[0]
    assert DataStore(store.directory, verify=True).meta == store.meta


@pytest.mark.parametrize("name", FILES)
def test_reading_finds_one_wrong_bit_where_files_are_not_very_large(store, monkeypatch, name):
    flip(store.directory / name)
    attribute = name.partition(".")[0]
    size = (store.directory / name).stat().st_size
    monkeypatch.setattr("vicinal.data.store.CHECKED_BYTES", size)
    with pytest.raises(VicinalError, match=rf"{name}: its SHA-256"):
        getattr(DataStore(store.directory), attribute)
    others = [other.partition(".")[0] for other in FILES if other != name]
    monkeypatch.setattr("vicinal.data.store.CHECKED_BYTES", 1 << 30)
    for other in others:
        assert getattr(DataStore(store.directory), other) is not None
    monkeypatch.setattr("vicinal.data.store.CHECKED_BYTES", size - 1)
    if name != "splits.parquet":  # a damaged Parquet file may be unreadable
        assert getattr(DataStore(store.directory), attribute) is not None


def test_foreign_files_of_the_right_size_are_named(store, monkeypatch):
    monkeypatch.setattr("vicinal.data.store.CHECKED_BYTES", 0)
    for name in FILES:
        path = store.directory / name
        path.write_bytes(b"x" * path.stat().st_size)
    opened = DataStore(store.directory)
    for name, attribute in zip(FILES, ("images", "labels", "splits"), strict=True):
        with pytest.raises(VicinalError, match=rf"{name}: not a "):
            getattr(opened, attribute)


def test_an_array_of_another_type_is_named(store, monkeypatch):
    monkeypatch.setattr("vicinal.data.store.CHECKED_BYTES", 0)
    labels = store.labels.astype(np.float64)
    np.save(store.directory / "labels.npy", labels)
    with pytest.raises(VicinalError, match=r"labels\.npy: holds float64 \(1797,\), not int64 \(1797,\)"):
        _ = DataStore(store.directory).labels


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"format": "something else"}'])
def test_a_foreign_meta_file_is_named(store, text):
    (store.directory / "meta.json").write_text(text)
    with pytest.raises(VicinalError, match=r"meta\.json: (not |expected a JSON object)"):
        DataStore(store.directory)


def test_a_folder_without_a_store_is_named(tmp_path):
    with pytest.raises(VicinalError, match=r"meta\.json: not there, so .* is no whole data store"):
        DataStore(tmp_path)


@pytest.mark.parametrize("where", ["_write_images", "write_splits"])
def test_a_full_disk_leaves_the_store_that_was_there(store, tmp_path, monkeypatch, where):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, where, full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        prepare_data(digits(split_seed=1), tmp_path, store.directory)
    assert caught.value.filename.startswith(str(store.directory))
    assert sorted(p.name for p in store.directory.iterdir()) == sorted([*FILES, "meta.json", "provenance.json"])
    assert DataStore(store.directory, verify=True).sha256 == store.sha256


def test_a_kill_between_two_renames_leaves_no_store(store, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    real = Path.replace

    def replace(self, target):
        if Path(target).name == "splits.parquet":
            raise Killed
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(Killed):
        prepare_data(digits(split_seed=1), tmp_path, store.directory)
    monkeypatch.undo()
    with pytest.raises(VicinalError, match="no whole data store"):
        DataStore(store.directory)
    assert prepare_data(digits(split_seed=1), tmp_path, store.directory).sha256 != store.sha256

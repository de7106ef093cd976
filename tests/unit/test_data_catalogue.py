import json
import os
import re
from pathlib import Path

import pytest
import torchvision.datasets

from vicinal import files
from vicinal.data import catalogue
from vicinal.data.catalogue import DATA_SETS, resolve_source, source_files
from vicinal.data.layout import shards
from vicinal.errors import VicinalError

TORCHVISION = sorted(name for name, known in DATA_SETS.items() if known.torchvision)


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))
    return folder


@pytest.mark.parametrize("name", TORCHVISION)
def test_archives_are_those_of_torchvision(name):
    known = DATA_SETS[name]
    theirs = getattr(torchvision.datasets, known.torchvision)
    published = dict(getattr(theirs, "resources", [])) or {theirs.filename: theirs.tgz_md5}
    assert {file: archive.md5 for file, archive in known.archives.items()} == published


@pytest.mark.parametrize("name", TORCHVISION)
def test_archives_come_over_https_and_are_pinned(name):
    for file, archive in DATA_SETS[name].archives.items():
        assert re.fullmatch(rf"https://[^/]+/.*{re.escape(file)}", archive.url)
        assert re.fullmatch("[0-9a-f]{64}", archive.sha256)
        assert archive.size > 5_000
    assert len({archive.sha256 for known in DATA_SETS.values() for archive in known.archives.values()}) == 6


def test_archives_lie_where_torchvision_looks_for_them(tmp_path):
    theirs = torchvision.datasets.FashionMNIST.__new__(torchvision.datasets.FashionMNIST)
    theirs.root = str(tmp_path)
    found = source_files("fashion_mnist", tmp_path, "torchvision")
    assert {path.parent for path in found.values()} == {Path(theirs.raw_folder)}
    [(name, path)] = source_files("cifar10", tmp_path, "torchvision").items()
    assert path == tmp_path / name == tmp_path / "cifar-10-python.tar.gz"


def test_torchvision_identity_needs_no_file_and_holds_no_path(tmp_path):
    identity = resolve_source("cifar100", tmp_path / "nowhere")
    assert identity == {
        "source": "torchvision",
        "files": {"cifar-100-python.tar.gz": torchvision.datasets.CIFAR100.tgz_md5},
    }
    assert str(tmp_path) not in json.dumps(identity)


def test_digits_identity_is_the_file_that_scikit_learn_reads(tmp_path):
    import sklearn.datasets

    [path] = source_files("digits", tmp_path, "digits").values()
    assert path == Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"
    assert resolve_source("digits", tmp_path) == {"source": "digits", "files": {path.name: files.sha256(path)}}


def test_parquet_files_are_preferred_and_hashed(tmp_path):
    folder = touch(tmp_path / "cifar100", "train-0.parquet", "test-0.parquet")
    identity = resolve_source("cifar100", tmp_path)
    assert identity["source"] == "parquet"
    assert identity["label_column"] == "fine_label"
    assert identity["files"] == {name: files.sha256(folder / name) for name in ("train-0.parquet", "test-0.parquet")}
    assert resolve_source("cifar100", tmp_path, label_column="coarse_label")["label_column"] == "coarse_label"
    assert resolve_source("cifar100", tmp_path, source="torchvision")["source"] == "torchvision"


def test_own_parquet_data_may_have_any_name(tmp_path):
    touch(tmp_path / "my-moths_2", "train.parquet", "validation.parquet")
    identity = resolve_source("my-moths_2", tmp_path, image_column="photo", label_column="species")
    assert identity["image_column"] == "photo"
    assert identity["label_column"] == "species"


def test_the_cache_saves_the_second_hash_and_sees_a_change(tmp_path, monkeypatch):
    folder, cache = touch(tmp_path / "own", "train-0.parquet", "test-0.parquet"), tmp_path / "cache.json"
    first = resolve_source("own", tmp_path, cache=cache)
    read = []
    real = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(Path(path).name) or real(path))
    written = cache.stat().st_mtime_ns
    assert resolve_source("own", tmp_path, cache=cache) == first
    assert read == []
    assert cache.stat().st_mtime_ns == written
    (folder / "test-0.parquet").write_bytes(b"other bytes")
    assert resolve_source("own", tmp_path, cache=cache)["files"]["test-0.parquet"] == real(folder / "test-0.parquet")
    assert read == ["test-0.parquet"]


def test_validation_files_are_the_test_split_only_where_there_is_none(tmp_path):
    alone = touch(tmp_path / "a", "train-0.parquet", "valid-0.parquet")
    assert {split: list(paths) for split, paths in shards(alone).items()} == {
        "train": ["train-0.parquet"],
        "test": ["valid-0.parquet"],
    }
    both = touch(tmp_path / "b", "train-0.parquet", "val-0.parquet", "test-0.parquet")
    assert list(shards(both)["validation"]) == ["val-0.parquet"]
    assert list(shards(both)["test"]) == ["test-0.parquet"]


def test_shards_are_in_order(tmp_path):
    names = [f"train-{i:05d}-of-00003.parquet" for i in range(3)]
    folder = touch(tmp_path / "own", *reversed(names), "test-00000-of-00001.parquet")
    assert list(shards(folder)["train"]) == names


@pytest.mark.parametrize(
    "names",
    [
        ("train.parquet", "test.parquet"),
        ("data/train-00000-of-00001-b42da673451de62.parquet", "data/test-00000-of-00001-0a.parquet"),
        ("train/0000.parquet", "train/0001.parquet", "test/0000.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
    ],
)
def test_sets_lie_in_the_folder_or_one_below_and_their_names_are_the_same_either_way(tmp_path, names):
    junk = ("._train.parquet", "__MACOSX/train.parquet", "__MACOSX/data/train.parquet", "@eaDir/train.parquet")
    folder = touch(tmp_path / "own", *names, *junk, "README.md", ".git/train.parquet")
    assert catalogue.resolve_kind("own", tmp_path) == "parquet"
    expected = {name.removeprefix("data/").removeprefix("default/"): files.sha256(folder / name) for name in names}
    assert resolve_source("own", tmp_path)["files"] == expected
    assert set(shards(folder)["train"]) | set(shards(folder)["test"]) == set(expected)


@pytest.mark.parametrize(("one", "other"), [("train.parquet", "train-copy.parquet"), ("train.parquet", "test.parquet")])
def test_one_file_under_two_names_is_refused(tmp_path, one, other):
    folder = touch(tmp_path / "own", "train.parquet", "test.parquet")
    (folder / other).write_bytes((folder / one).read_bytes())
    with pytest.raises(VicinalError, match="are the same file: remove one of them") as error:
        resolve_source("own", tmp_path)
    assert one in str(error.value)
    assert other in str(error.value)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "expected train-*.parquet and test-*.parquet"),
        (("train-0.parquet",), "no test-*.parquet"),
        (("test-0.parquet",), "no train-*.parquet"),
        (("train-0.parquet", "test-0.parquet", "extra.parquet"), "extra.parquet: cannot tell its split"),
        (("train-00001-of-00002.parquet", "test-0.parquet"), "shard 00000 of train-00001-of-00002.parquet"),
        (("train-00000-of-00001.parquet", "train-00001-of-00002.parquet"), "shards of different sets"),
        (("train-00001-of-00002-b42da673451de62.parquet", "test-0.parquet"), "shard 00000 of train-00001-of-00002-b42"),
        (("train/0000.parquet", "train/0002.parquet", "test/0000.parquet"), "shard 0001 of train/0000.parquet"),
        (
            ("data/train-00000-of-00001 (1).parquet", "data/train-00000-of-00001.parquet", "data/test.parquet"),
            "train-00000-of-00001 (1).parquet and train-00000-of-00001.parquet are both shard 00000",
        ),
        (("a/train.parquet", "a/test.parquet", "b/train/0.parquet"), "a and b both hold Parquet files"),
        (("._train.parquet", "._test.parquet", "__MACOSX/._train.parquet"), "expected train-*.parquet"),
    ],
)
def test_parquet_folders_that_cannot_be_right(tmp_path, names, words):
    folder = touch(tmp_path / "own", *names)
    with pytest.raises(VicinalError, match="own") as error:
        resolve_source("own", tmp_path, source="parquet")
    assert words in str(error.value)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("cifar11", {}, ["data.name", "cifar11", "did you mean", "cifar10", "train-*.parquet"]),
        ("moths", {}, ["data.name", "moths", "digits, cifar10, cifar100, fashion_mnist"]),
        ("../secret", {}, ["data.name", "is not valid"]),
        ("digits", {"source": "torchvision"}, ["data.source", "digits", "cifar10, cifar100, fashion_mnist"]),
        ("cifar10", {"source": "digits"}, ["data.source", "cifar10"]),
        ("imagenet", {"source": "torchvision"}, ["data.source: imagenet cannot be read from torchvision"]),
        ("digits", {"source": "parket"}, ["data.source", "parket", "did you mean parquet"]),
        ("digits", {"image_column": "img"}, ["data.image_column", "img", "Parquet"]),
        ("own", {"source": "parquet", "label_column": "a\nb"}, ["data.label_column: 'a\\nb'", "line break"]),
        ("cifar10", {"label_column": "y"}, ["data.label_column", "y", "Parquet"]),
    ],
)
def test_bad_settings_are_named(tmp_path, name, more, words):
    with pytest.raises(VicinalError) as error:
        resolve_source(name, tmp_path, **more)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("root", ["a\nb", "a\0b", "a\x1b[2Jb", "a\udcffb", "a\u2028b"])
def test_a_root_that_no_command_could_name(root):
    with pytest.raises(VicinalError, match=r"data\.root: .* has a line break") as error:
        resolve_source("digits", root)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("file", ["train-\n0.parquet", "train-\udcff.parquet"])
def test_a_file_that_no_message_could_name(tmp_path, file):
    touch(tmp_path / "own", "test-0.parquet", file)
    with pytest.raises(VicinalError, match=r"own: 'train-.* has a line break") as error:
        resolve_source("own", tmp_path)
    assert str(error.value).isprintable()


def test_a_root_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(VicinalError, match=r"data\.root: .* cannot be read \(file name too long\)"):
        resolve_source("cifar10", tmp_path / ("a" * 300))


@pytest.mark.parametrize(("there", "wrong"), [(False, "no such folder"), (True, "has none of the photos")])
def test_imagenet_that_is_not_there_says_what_must_lie_where(tmp_path, there, wrong):
    if there:
        (tmp_path / "imagenet").mkdir()
    with pytest.raises(VicinalError) as error:
        resolve_source("imagenet", tmp_path)
    said = str(error.value)
    assert said.startswith(f"{tmp_path / 'imagenet'}: {wrong}")
    for words in ("train/CLASS/*.JPEG and val/CLASS/*.JPEG", "validation-*.parquet", "set data.root"):
        assert words in said
    assert "known data set" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ["train-00000-of-00001.parquet", "data/train.parquet", "train/n01440764/a.JPEG"])
def test_imagenet_that_is_there_is_read_as_what_it_is(tmp_path, name):
    path = tmp_path / "imagenet" / name
    path.parent.mkdir(parents=True)
    path.touch()
    assert catalogue.resolve_kind("imagenet", tmp_path) == ("parquet" if name.endswith("parquet") else "folder")
    if name.endswith("JPEG"):
        touch(tmp_path / "imagenet" / "boxes", "train.parquet")
        assert catalogue.resolve_kind("imagenet", tmp_path) == "folder"


def test_superclasses_are_twenty_of_five():
    superclass = catalogue.CIFAR100_SUPERCLASS
    assert sorted(superclass) == sorted([*range(20)] * 5)

import gzip
import hashlib
import io
import json
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from https_server import Site, serving

from vicinal.data import catalogue
from vicinal.data.archive_readers import CIFAR, FASHION_MNIST_CLASSES, Inert, read_cifar, read_data, read_idx
from vicinal.data.catalogue import Archive, resolve_source
from vicinal.data.fetch import fetch
from vicinal.data.prepare import prepare_data
from vicinal.errors import VicinalError

CLOSED = "https://127.0.0.1:9/"  # nobody listens there: offline
CIFAR100 = "cifar-100-python.tar.gz"


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def packed(value) -> bytes:
    """Return a value as Python 2 pickled it when CIFAR was published (protocol 2, byte strings as text)."""
    if isinstance(value, dict):
        return b"}(" + b"".join(packed(key) + packed(entry) for key, entry in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(packed, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(packed, value)) + b"t"
    if isinstance(value, bytes):
        return (b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))) + value
    if isinstance(value, np.ndarray):
        kind = b"cnumpy\ndtype\n" + packed((b"u1", 0, 1)) + b"R"
        empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + packed((0,)) + packed(b"b") + b"tR"
        return empty + b"(" + packed(1) + packed(value.shape) + kind + b"\x89" + packed(value.tobytes()) + b"tb"
    return b"J" + struct.pack("<i", value)


def pickled(value) -> bytes:
    return b"\x80\x02" + packed(value) + b"."


def tar_of(contents: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return file.getvalue()


def cifar_archive(monkeypatch) -> tuple[bytes, np.ndarray, list[int]]:
    """Return a small archive in CIFAR-100's format, its images and labels; its checksums become the published ones."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (500, 32, 32, 3), dtype=np.uint8)
    labels = [*range(100)] * 5
    rows = images.transpose(0, 3, 1, 2).reshape(500, -1)
    contents = {
        "train": {b"data": rows[:300], b"fine_labels": labels[:300], b"coarse_labels": [0] * 300},
        "test": {b"data": rows[300:], b"fine_labels": labels[300:], b"coarse_labels": [0] * 200},
        "meta": {b"fine_label_names": [b"class %d" % i for i in range(100)]},
    }
    data = tar_of({f"cifar-100-python/{name}": pickled(content) for name, content in contents.items()})
    publish(monkeypatch, "cifar100", {CIFAR100: data})
    return data, images, labels


def publish(monkeypatch, name: str, archives: dict[str, bytes], url: str = CLOSED) -> None:
    entries = {file: Archive(md5(data), sha256(data), len(data), url + file) for file, data in archives.items()}
    monkeypatch.setitem(catalogue.DATA_SETS, name, replace(catalogue.DATA_SETS[name], archives=entries))


def spec(name: str, root: Path, **more) -> dict:
    return {"name": name, **resolve_source(name, root), "split_seed": 0, **more}


def test_cifar_is_read_from_its_archive(tmp_path, monkeypatch):
    data, images, labels = cifar_archive(monkeypatch)
    (tmp_path / CIFAR100).write_bytes(data)
    store = prepare_data(spec("cifar100", tmp_path, validation=100), tmp_path, tmp_path / "store")
    assert np.array_equal(store.images, images)
    assert store.labels.tolist() == labels
    assert store.meta["counts"] == {"train": 200, "validation": 100, "test": 200}
    assert store.meta["class_names"][7] == "class 7"
    assert store.meta["superclass"] == list(catalogue.CIFAR100_SUPERCLASS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CIFAR100, "store"]


def test_cifar_is_read_as_torchvision_reads_it(tmp_path, monkeypatch):
    data, *_ = cifar_archive(monkeypatch)
    (tmp_path / CIFAR100).write_bytes(data)
    with tarfile.open(tmp_path / CIFAR100) as tar:
        files = {Path(member.name).name: tar.extractfile(member).read() for member in tar}
    theirs = torchvision.datasets.CIFAR100
    (tmp_path / theirs.base_folder).mkdir()
    for name, content in files.items():
        (tmp_path / theirs.base_folder / name).write_bytes(content)
    monkeypatch.setattr(theirs, "train_list", [["train", md5(files["train"])]])
    monkeypatch.setattr(theirs, "test_list", [["test", md5(files["test"])]])
    monkeypatch.setattr(theirs, "meta", {**theirs.meta, "md5": md5(files["meta"])})
    parts, names = read_cifar(tmp_path / CIFAR100, CIFAR["cifar100"])
    for part in parts:
        expected = theirs(str(tmp_path), train=part.split == "train")
        assert np.array_equal(part.images, expected.data)
        assert part.labels.tolist() == expected.targets
        assert names == expected.classes


def test_fashion_mnist_is_read_from_its_archives(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    archives, expected = {}, {}
    for part, count in (("train", 60), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        expected[part] = images, labels
        header = b"".join(number.to_bytes(4, "big") for number in (0x803, count, 28, 28))
        archives[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(header + images.tobytes())
        header = b"".join(number.to_bytes(4, "big") for number in (0x801, count))
        archives[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(header + labels.tobytes())
    publish(monkeypatch, "fashion_mnist", archives)
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, data in archives.items():
        (folder / name).write_bytes(data)
    store = prepare_data(spec("fashion_mnist", tmp_path, validation=10), tmp_path, tmp_path / "store")
    assert store.images.shape == (80, 28, 28, 1)
    assert np.array_equal(store.images[:60, ..., 0], expected["train"][0])
    assert np.array_equal(store.images[60:, ..., 0], expected["t10k"][0])
    assert store.labels.tolist() == [*expected["train"][1].tolist(), *expected["t10k"][1].tolist()]
    assert store.meta["class_names"] == torchvision.datasets.FashionMNIST.classes == list(FASHION_MNIST_CLASSES)


@pytest.mark.parametrize("attempt", ["prepare", "fetch"])
def test_without_the_archive_it_is_said_which_and_where(tmp_path, monkeypatch, attempt):
    data, *_ = cifar_archive(monkeypatch)
    with pytest.raises(VicinalError) as error:
        if attempt == "prepare":
            prepare_data(spec("cifar100", tmp_path), tmp_path, tmp_path / "store")
        else:
            fetch("cifar100", tmp_path, progress=lambda line: None)
    for words in (str(tmp_path / CIFAR100), sha256(data), f"{CLOSED}{CIFAR100}", "fetch_data.py"):
        assert words in str(error.value)
    if attempt == "fetch":
        assert "refused" in str(error.value)
        assert list(tmp_path.iterdir()) == []


def test_a_damaged_archive_is_named_with_both_checksums(tmp_path, monkeypatch):
    data, *_ = cifar_archive(monkeypatch)
    path = tmp_path / CIFAR100
    path.write_bytes(data[:-100])
    for attempt in (
        lambda: prepare_data(spec("cifar100", tmp_path), tmp_path, tmp_path / "store"),
        lambda: fetch("cifar100", tmp_path),
    ):
        with pytest.raises(VicinalError) as error:
            attempt()
        for words in (str(path), "damaged", sha256(data), sha256(data[:-100]), "delete it"):
            assert words in str(error.value)
    assert path.read_bytes() == data[:-100]


def test_fetching_downloads_once_and_then_only_checks(tmp_path, monkeypatch, trusted):
    data, *_ = cifar_archive(monkeypatch)
    lines: list[str] = []
    with serving(Site({f"/{CIFAR100}": data}), trusted) as site:
        publish(monkeypatch, "cifar100", {CIFAR100: data}, site.url)
        record = fetch("cifar100", tmp_path / "data", progress=lines.append)
    assert record == {"name": "cifar100", "source": "torchvision", "files": {CIFAR100: md5(data)}}
    assert (tmp_path / "data" / CIFAR100).read_bytes() == data
    assert any("downloading" in line for line in lines)
    lines.clear()
    assert fetch("cifar100", tmp_path / "data", progress=lines.append) == record
    assert not any("downloading" in line for line in lines)
    assert str(tmp_path) not in json.dumps(record)


def test_what_is_not_downloaded_is_recorded(tmp_path):
    record = fetch("digits", tmp_path, progress=lambda line: None)
    assert record == {"name": "digits", **resolve_source("digits", tmp_path)}


def test_nothing_in_an_archive_is_looked_up_or_run(tmp_path):
    target = tmp_path / "ran"
    calls = [
        b"cos\nsystem\n(U" + bytes([len(f"touch {target}")]) + f"touch {target}".encode() + b"tR",
        b"cbuiltins\neval\n(U\x0copen('x','w')tR",
        b"(U\x02lsios\nsystem\n",  # the opcodes INST and NEWOBJ name classes too
        b"cno.such.module\nthing\n)\x81",
    ]
    for call in calls:
        made = read_data(io.BytesIO(b"\x80\x02" + call + b"."))
        assert type(made) is Inert
    assert not target.exists()


@pytest.mark.parametrize("broken", [b"", b"\x80\x02K\x01Q.", b"\x80\x02\x82\x01.", pickled({b"data": 3}), b"text"])
def test_an_archive_in_another_format_is_named(tmp_path, broken):
    path = tmp_path / CIFAR100
    path.write_bytes(tar_of({f"cifar-100-python/{name}": broken for name in ("train", "test", "meta")}))
    with pytest.raises(VicinalError, match=r"cifar-100-python\.tar\.gz: not in the format CIFAR"):
        read_cifar(path, CIFAR["cifar100"])


def test_an_archive_with_links_and_paths_outside_writes_and_reads_nothing_there(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_bytes(pickled({}))
    names = {"../../outside": b"x", f"{tmp_path}/absolute": b"x"}
    links = {f"cifar-100-python/{name}": str(secret) for name in ("train", "test", "meta")}
    path = tmp_path / CIFAR100
    path.write_bytes(tar_of(names, links))
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(VicinalError, match="not in the format CIFAR"):
        read_cifar(path, CIFAR["cifar100"])
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08\x01\0\0\0\x03ab", b"\0\0\x08\x03\0\0\0\x02ab", b"\0\0\x0d\x01\0\0\0\x02ab"]
)
def test_an_idx_file_in_another_format_is_named(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    (tmp_path / "b.gz").write_bytes(content or b"not gzip")
    for name in ("a.gz", "b.gz"):
        with pytest.raises(VicinalError, match=f"{name}: not in the format IDX"):
            read_idx(tmp_path / name, 1)

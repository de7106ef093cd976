import gzip
import hashlib
import http.server
import io
import json
import pickle
import tarfile
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets

from vicinal.data import catalogue
from vicinal.data.catalogue import Archive, resolve_source
from vicinal.data.fetch import fetch
from vicinal.data.prepare import prepare
from vicinal.errors import VicinalError

CLOSED = "http://127.0.0.1:9/"  # nobody listens there: offline


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def cifar_archive(monkeypatch) -> tuple[bytes, np.ndarray, list[int]]:
    """Return a small archive in CIFAR-100's format, its images and labels; its checksums become the published ones."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    labels = [*range(100)] * 3
    names = [f"class {i}" for i in range(100)]
    rows = images.transpose(0, 3, 1, 2).reshape(300, -1)
    contents = {
        "train": {"data": rows[:200], "fine_labels": labels[:200]},
        "test": {"data": rows[200:], "fine_labels": labels[200:]},
        "meta": {"fine_label_names": names},
    }
    packed = {name: pickle.dumps(content) for name, content in contents.items()}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, data in packed.items():
            info = tarfile.TarInfo(f"cifar-100-python/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    theirs = torchvision.datasets.CIFAR100
    monkeypatch.setattr(theirs, "train_list", [["train", md5(packed["train"])]])
    monkeypatch.setattr(theirs, "test_list", [["test", md5(packed["test"])]])
    monkeypatch.setattr(theirs, "meta", {**theirs.meta, "md5": md5(packed["meta"])})
    publish(monkeypatch, "cifar100", {"cifar-100-python.tar.gz": file.getvalue()})
    return file.getvalue(), images, labels


def publish(monkeypatch, name: str, archives: dict[str, bytes], url: str = CLOSED) -> None:
    entries = {file: Archive(md5(data), url + file) for file, data in archives.items()}
    monkeypatch.setitem(catalogue.DATA_SETS, name, replace(catalogue.DATA_SETS[name], archives=entries))


def spec(name: str, root: Path, **more) -> dict:
    return {"name": name, **resolve_source(name, root), "split_seed": 0, **more}


@pytest.fixture
def server(tmp_path):
    """Serve a folder over HTTP; yield the folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            """Keep the test's output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_cifar_is_read_from_its_archive(tmp_path, monkeypatch):
    data, images, labels = cifar_archive(monkeypatch)
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(data)
    store = prepare(spec("cifar100", tmp_path, validation=100), tmp_path, tmp_path / "store")
    assert np.array_equal(store.images, images)
    assert store.labels.tolist() == labels
    assert store.meta["counts"] == {"train": 100, "validation": 100, "test": 100}
    assert store.meta["class_names"][7] == "class 7"
    assert store.meta["superclass"] == list(catalogue.CIFAR100_SUPERCLASS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar-100-python.tar.gz", "store"]


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
    store = prepare(spec("fashion_mnist", tmp_path, validation=10), tmp_path, tmp_path / "store")
    assert store.images.shape == (80, 28, 28, 1)
    assert np.array_equal(store.images[:60, ..., 0], expected["train"][0])
    assert np.array_equal(store.images[60:, ..., 0], expected["t10k"][0])
    assert store.labels.tolist() == [*expected["train"][1].tolist(), *expected["t10k"][1].tolist()]
    assert store.meta["class_names"][9] == "Ankle boot"


def test_preparing_without_the_archive_says_which_and_where(tmp_path, monkeypatch):
    data, *_ = cifar_archive(monkeypatch)
    with pytest.raises(VicinalError) as error:
        prepare(spec("cifar100", tmp_path), tmp_path, tmp_path / "store")
    for words in (str(tmp_path / "cifar-100-python.tar.gz"), md5(data), f"{CLOSED}cifar-100", "fetch_data.py"):
        assert words in str(error.value)


def test_a_damaged_archive_is_named_with_both_checksums(tmp_path, monkeypatch):
    data, *_ = cifar_archive(monkeypatch)
    path = tmp_path / "cifar-100-python.tar.gz"
    path.write_bytes(data[:-100])
    for attempt in (
        lambda: prepare(spec("cifar100", tmp_path), tmp_path, tmp_path / "store"),
        lambda: fetch("cifar100", tmp_path),
    ):
        with pytest.raises(VicinalError) as error:
            attempt()
        for words in (str(path), "damaged", md5(data), md5(data[:-100]), "delete it"):
            assert words in str(error.value)
    assert path.read_bytes() == data[:-100]


def test_fetching_offline_says_what_is_expected_where(tmp_path, monkeypatch):
    data, *_ = cifar_archive(monkeypatch)
    with pytest.raises(VicinalError) as error:
        fetch("cifar100", tmp_path, progress=lambda line: None)
    for words in (str(tmp_path / "cifar-100-python.tar.gz"), md5(data), f"{CLOSED}cifar-100-python.tar.gz", "refused"):
        assert words in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_fetching_downloads_once_and_then_only_checks(tmp_path, monkeypatch, server):
    folder, url = server
    data, *_ = cifar_archive(monkeypatch)
    publish(monkeypatch, "cifar100", {"cifar-100-python.tar.gz": data}, url)
    (folder / "cifar-100-python.tar.gz").write_bytes(data)
    lines: list[str] = []
    record = fetch("cifar100", tmp_path / "data", progress=lines.append)
    assert record == {"name": "cifar100", "source": "torchvision", "files": {"cifar-100-python.tar.gz": md5(data)}}
    assert (tmp_path / "data" / "cifar-100-python.tar.gz").read_bytes() == data
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar-100-python.tar.gz"]
    assert any("downloading" in line for line in lines)
    (folder / "cifar-100-python.tar.gz").unlink()
    lines.clear()
    assert fetch("cifar100", tmp_path / "data", progress=lines.append) == record
    assert not any("downloading" in line for line in lines)
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.parametrize("served", [None, b"<html>not found, but with status 200</html>"])
def test_a_download_that_is_not_the_archive_leaves_nothing(tmp_path, monkeypatch, server, served):
    folder, url = server
    data, *_ = cifar_archive(monkeypatch)
    publish(monkeypatch, "cifar100", {"cifar-100-python.tar.gz": data}, url)
    if served is not None:
        (folder / "cifar-100-python.tar.gz").write_bytes(served)
    with pytest.raises(VicinalError, match=r"cifar-100-python\.tar\.gz: not there, and the download of .* failed"):
        fetch("cifar100", tmp_path / "data", progress=lambda line: None)
    assert list((tmp_path / "data").iterdir()) == []


def test_what_is_not_downloaded_is_recorded(tmp_path):
    record = fetch("digits", tmp_path, progress=lambda line: None)
    assert record == {"name": "digits", **resolve_source("digits", tmp_path)}

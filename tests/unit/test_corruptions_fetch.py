"""Corrupted images are fetched, checked and matched, or the record says in one line why not; nothing fails."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corruption_archive import FILE, arrays_of, make_images, write_archive, write_parquet
from https_server import Site, serving

from vicinal.data.catalogue import resolve_source
from vicinal.data.corruptions.arrays import open_corrupted
from vicinal.data.corruptions.catalogue import ARCHIVES, CorruptionArchive, file_state, outlook, planned_state
from vicinal.data.corruptions.fetch import fetch_corruptions
from vicinal.data.prepare import prepare_data
from vicinal.data.store import DataStore
from vicinal.files import WORKFLOW, write_json

SCRIPT = WORKFLOW / "scripts" / "fetch_corruptions.py"
TEST = make_images(60, 1)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder of data with a shuffled Parquet set; no archive is there."""
    root = tmp_path_factory.mktemp("data")
    order = np.random.default_rng(2).permutation(60)
    write_parquet(root / "cifar10", make_images(100, 0), (TEST[0][order], TEST[1][order]))
    return root


@pytest.fixture(scope="module")
def store(root, tmp_path_factory) -> DataStore:
    spec = {"name": "cifar10", **resolve_source("cifar10", root), "validation": 20, "limit_test": 30}
    return prepare_data(spec, root, tmp_path_factory.mktemp("store") / "cifar10-00000000")


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("archive") / FILE
    write_archive(path, arrays_of(*TEST))
    return path.read_bytes()


@pytest.fixture
def published(monkeypatch, content, tmp_path) -> CorruptionArchive:
    """What is published of the archive; nobody listens at its address."""
    archive = write_archive(tmp_path / "published" / FILE, arrays_of(*TEST))
    monkeypatch.setitem(ARCHIVES, "cifar10", archive)
    return archive


@pytest.fixture
def site(monkeypatch, trusted, published, content):
    """Serve the archive over https, which is trusted."""
    with serving(Site({f"/{FILE}": content}), trusted) as running:
        monkeypatch.setitem(ARCHIVES, "cifar10", replace(published, url=f"{running.url}{FILE}"))
        yield running


def fetch(root, store, state=None):
    lines: list[str] = []
    return fetch_corruptions("cifar10", root, store, state, lines.append), lines


def test_the_archive_is_downloaded_once_and_its_rows_are_those_of_the_test_images(tmp_path, store, site, content):
    record, lines = fetch(tmp_path, store)
    assert record["available"] is True
    assert (tmp_path / FILE).read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [FILE]
    assert len(record["rows"]) == 30
    test = store.splits["test"]
    clean = open_corrupted(tmp_path / FILE, "CIFAR-10-C").images["contrast"][0]  # this one leaves them as they are
    np.testing.assert_array_equal(clean[record["rows"]], store.images[test])
    assert record["data_sha256"] == store.sha256
    assert any("downloading" in line for line in lines)
    again, lines = fetch(tmp_path, store)
    assert again == record
    assert not any("downloading" in line for line in lines)
    assert len(site.asked) == 1
    json.dumps(record)


def test_offline_the_record_says_what_is_missing_and_what_to_do(tmp_path, store, published):
    record, lines = fetch(tmp_path, store)
    assert record["available"] is False
    for words in (f"{tmp_path / FILE}: not there", published.url, f"put {FILE} from", "refused", "run again"):
        assert words in record["reason"]
    assert len(record["reason"].splitlines()) == 1
    assert any(record["reason"] in line for line in lines)
    assert not (tmp_path / FILE).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["published"]


def test_a_folder_that_cannot_be_written_is_an_answer_too(tmp_path, store, site):
    (tmp_path / "file").write_text("no folder")
    record, _ = fetch(tmp_path / "file", store)
    assert record["available"] is False
    assert f"{tmp_path}/file: file exists; put {FILE} from" in record["reason"]


@pytest.mark.parametrize("change", [lambda c: c[:-100], lambda c: c[:5000] + bytes([c[5000] ^ 1]) + c[5001:]])
def test_a_damaged_archive_is_named_and_left_alone(tmp_path, store, published, content, change):
    (tmp_path / FILE).write_bytes(change(content))
    record, _ = fetch(tmp_path, store)
    assert record["available"] is False
    for words in (str(tmp_path / FILE), "damaged", published.md5, "delete it"):
        assert words in record["reason"]
    assert (tmp_path / FILE).read_bytes() == change(content)


def test_an_archive_of_other_images_is_named(tmp_path, store, monkeypatch):
    images = np.random.default_rng(5).integers(0, 255, TEST[0].shape).astype(np.uint8)
    monkeypatch.setitem(ARCHIVES, "cifar10", write_archive(tmp_path / FILE, arrays_of(images, TEST[1])))
    record, _ = fetch(tmp_path, store)
    assert record["available"] is False
    assert record["reason"].startswith(f"{tmp_path / FILE}: its images of class")


def test_the_script_succeeds_offline_and_says_so(tmp_path, store, root):
    plan = {"stage": "corruptions", "id": "cifar10-00000000", "key": "k", "spec": {"name": "cifar10"}}
    write_json(tmp_path / "plan.json", plan)
    library = tmp_path / "library"
    library.mkdir()
    (library / "sitecustomize.py").write_text(
        "from vicinal.data.corruptions import catalogue as c\n"
        "c.ARCHIVES['cifar10'] = c.CorruptionArchive('A.tar', 'A', '0', 1, 'https://127.0.0.1:9/A.tar')\n"
    )
    paths = {"--plan": tmp_path / "plan.json", "--data": store.directory / "meta.json", "--root": tmp_path}
    record = tmp_path / "results" / "data" / "record.json"
    command = [sys.executable, str(SCRIPT), "--record", str(record)]
    environment = {**os.environ, "PYTHONPATH": f"{library}{os.pathsep}{SCRIPT.parents[1]}"}
    command += [str(part) for pair in paths.items() for part in pair]
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert said.returncode == 0, said.stderr
    assert "corrupted images are left out: " in said.stderr
    assert json.loads(record.read_text())["available"] is False
    assert record.with_name("record.json.key").read_text().startswith("k\n")


def test_a_plan_changes_just_when_another_try_is_worth_it(tmp_path):
    record, archive = tmp_path / "record.json", tmp_path / FILE
    assert planned_state(record, archive) is None
    write_json(record, {"available": False, "archive_state": None})
    assert planned_state(record, archive) is None
    archive.write_bytes(b"damaged")
    state = planned_state(record, archive)
    assert state == file_state(archive) == [7, archive.stat().st_mtime_ns]
    write_json(record, {"available": True, "archive_state": None})  # it was downloaded by the job
    assert planned_state(record, archive) is None
    write_json(record, {"available": True, "archive_state": state})
    archive.unlink()
    assert planned_state(record, archive) == state
    record.write_text("[]")
    assert planned_state(record, archive) is None


def test_what_to_expect_is_said_before_a_run(tmp_path):
    archive = tmp_path / FILE
    assert "no corrupted images of flowers are published (only of cifar10, cifar100" in outlook("flowers", {}, None)
    assert "(2.9 GB) is to be downloaded" in outlook("cifar10", {}, archive)
    assert outlook("cifar10", {"available": True}, archive) == ""
    absent = {"available": False, "reason": "why", "archive_state": None}
    assert outlook("cifar10", absent, archive) == "left out: why"
    archive.write_bytes(b"x")
    assert outlook("cifar10", absent, archive) == f"{archive} is there, to be checked"

"""One process at a time builds a data store, in a folder whose rest a later process removes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vicinal.audit import garbage
from vicinal.audit.verify.layout import foreign_files
from vicinal.data.catalogue import resolve_source
from vicinal.data.prepare import prepare_data
from vicinal.data.scratch import FOLDER
from vicinal.data.store import DataStore

SPEC = {"name": "digits", **resolve_source("digits", "nowhere"), "split_seed": 0}
# Prepares the digits, but waits before the last file is written until the file "go" is there.
SLOW = f"""
import sys, time
from pathlib import Path
from vicinal.data import prepare as module
from vicinal.data.prepare import prepare_data
folder, write = Path(sys.argv[1]), module.write_splits
def wait_and_write(*arguments):
    (folder.parent / "ready").touch()
    while not (folder.parent / "go").exists():
        time.sleep(0.01)
    write(*arguments)
module.write_splits = wait_and_write
prepare_data({SPEC!r}, folder, folder)
"""


@pytest.fixture
def slow(tmp_path):
    """A process that has written all images of the store in ``tmp_path / "store"``, and waits."""
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path / "store")])
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_what_a_killed_process_left_is_removed_and_the_store_is_built(tmp_path, slow):
    folder = tmp_path / "store"
    slow.kill()
    slow.wait()
    assert (folder / FOLDER / "images.npy").stat().st_size > 1_797 * 64
    store = prepare_data(SPEC, folder, folder)
    assert hidden(folder) == []
    assert DataStore(folder, verify=True).meta == store.meta


def test_a_second_process_waits_and_keeps_what_the_first_built(tmp_path, slow):
    folder, lines = tmp_path / "store", []

    def say(line: str) -> None:
        lines.append(line)
        (tmp_path / "go").touch()

    store = prepare_data(SPEC, folder, folder, say)
    assert slow.wait(timeout=60) == 0
    assert lines == [f"{folder}: another process is building it; waiting", f"{folder}: already there and whole, kept"]
    assert hidden(folder) == []
    assert DataStore(folder, verify=True).meta == store.meta


@pytest.mark.parametrize("error", [OSError, SystemExit, KeyboardInterrupt])
def test_a_build_that_fails_leaves_nothing(tmp_path, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("vicinal.data.prepare.write_splits", fail)
    with pytest.raises(error):
        prepare_data(SPEC, tmp_path, tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_what_a_killed_build_leaves_is_not_foreign_and_gc_finds_it(tmp_path, monkeypatch):
    folder = tmp_path / "results" / "data" / "digits-0123abcd"
    (folder / FOLDER).mkdir(parents=True)
    for path in (folder / FOLDER / "images.npy", folder / f"{FOLDER}.lock"):
        path.touch()
    assert list(foreign_files(tmp_path / "results" / "data")) == []
    monkeypatch.setattr("vicinal.audit.garbage.YOUNG", -1.0)
    found = garbage._left_over(tmp_path / "results")
    assert sorted(item.path.name for item in found) == [FOLDER, f"{FOLDER}.lock"]

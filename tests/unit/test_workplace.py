"""What a killed preparation of data leaves goes when it starts again; what a living one is writing stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vicinal.data.catalogue import resolve_source
from vicinal.data.prepare import prepare
from vicinal.data.scratch import LOCK, PREFIX, SILENT_SECONDS, workplace
from vicinal.data.store import FILES, Store
from vicinal.files import exclusive

SPEC = {"name": "digits", **resolve_source("digits", "nowhere"), "split_seed": 0}
# Prepares the digits, but waits before the last file is written until the file "go" is there.
SLOW = f"""
import sys, time
from pathlib import Path
from vicinal.data import prepare as module
from vicinal.data.prepare import prepare
folder, write = Path(sys.argv[1]), module._write_splits
def wait_and_write(*arguments):
    (folder.parent / "ready").touch()
    while not (folder.parent / "go").exists():
        time.sleep(0.01)
    write(*arguments)
module._write_splits = wait_and_write
prepare({SPEC!r}, folder, folder)
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


def temporaries(folder: Path) -> list[Path]:
    return sorted(folder.glob(".tmp-*"))


def leave(folder: Path, name: str, seconds_ago: float) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    for made in (path / "images.npy", path / LOCK, path):
        if made != path:
            made.write_bytes(bytes(1000))
        os.utime(made, (time.time() - seconds_ago,) * 2)
    return path


def test_what_a_killed_process_left_goes_when_it_starts_again(tmp_path, slow):
    folder, lines = tmp_path / "store", []
    os.kill(slow.pid, signal.SIGKILL)
    slow.wait()
    [left] = temporaries(folder)
    assert (left / "images.npy").stat().st_size > 1_797 * 64
    store = prepare(SPEC, folder, folder, lines.append)
    assert lines[0] == f"{left}: left by a process that was killed, removed"
    assert temporaries(folder) == []
    assert Store(folder, verify=True).meta == store.meta


def test_it_goes_also_where_the_store_is_whole(tmp_path, slow):
    folder, lines = tmp_path / "store", []
    prepare(SPEC, folder, folder)
    assert len(temporaries(folder)) == 1
    slow.kill()
    slow.wait()
    prepare(SPEC, folder, folder, lines.append)
    assert [line.rpartition(", ")[2] for line in lines] == ["removed", "kept"]
    assert temporaries(folder) == []


def test_a_second_writer_that_lives_is_not_harmed(tmp_path, slow):
    folder = tmp_path / "store"
    store = prepare(SPEC, folder, folder)
    [work] = temporaries(folder)
    assert (work / "images.npy").exists()
    before = {name: (folder / name).read_bytes() for name in FILES}
    (tmp_path / "go").touch()
    assert slow.wait(timeout=60) == 0
    assert temporaries(folder) == []
    assert Store(folder, verify=True).meta == store.meta
    assert {name: (folder / name).read_bytes() for name in FILES} == before


@pytest.mark.parametrize(
    ("name", "seconds_ago", "stays"),
    [
        (f"{PREFIX}abcdefgh", 0, False),
        (".tmp-node07-abcdefgh", SILENT_SECONDS - 60, True),
        (".tmp-node07-abcdefgh", SILENT_SECONDS + 60, False),
        (".tmp-node07-abcdefgh", -SILENT_SECONDS, True),
        (".tmp-abcdefgh-images.npy", 0, True),  # of nobody known
        (".tmp-abcdefgh-images.npy", SILENT_SECONDS + 60, False),
    ],
    ids=["here", "elsewhere", "elsewhere, old", "elsewhere, future", "nobody", "nobody, old"],
)
def test_of_whom_it_goes(tmp_path, name, seconds_ago, stays):
    path = leave(tmp_path, name, seconds_ago)
    other = tmp_path / "prepare.log"
    other.write_text("a log")
    prepare(SPEC, tmp_path, tmp_path)
    assert path.exists() is stays
    assert other.exists()


def test_one_that_is_locked_stays_however_old_it_is(tmp_path):
    path = leave(tmp_path, f"{PREFIX}abcdefgh", 10 * SILENT_SECONDS)
    with exclusive(path / LOCK):
        prepare(SPEC, tmp_path, tmp_path)
        assert path.exists()
    prepare(SPEC, tmp_path, tmp_path)
    assert not path.exists()


def test_one_that_is_not_locked_yet_stays_while_it_is_young(tmp_path):
    path = tmp_path / f"{PREFIX}abcdefgh"
    path.mkdir()
    prepare(SPEC, tmp_path, tmp_path)
    assert path.exists()


def test_a_file_that_was_just_written_makes_a_folder_young(tmp_path):
    path = leave(tmp_path, ".tmp-node07-abcdefgh", 2 * SILENT_SECONDS)
    os.utime(path / "images.npy")
    prepare(SPEC, tmp_path, tmp_path)
    assert path.exists()


def test_a_temporary_file_goes_too(tmp_path):
    path = tmp_path / ".tmp-abcdefgh-labels.npy"
    path.write_bytes(bytes(100))
    os.utime(path, (time.time() - 2 * SILENT_SECONDS,) * 2)
    prepare(SPEC, tmp_path, tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_workplace_is_gone_at_the_end(tmp_path, error):
    with pytest.raises(error), workplace(tmp_path) as work:
        (work / "images.npy").write_text("x")
        raise error
    assert temporaries(tmp_path) == []


def test_errors_name_the_file_as_it_would_be_called(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, workplace(tmp_path) as work:
        (work / "images.npy").read_bytes()
    assert caught.value.filename == str(tmp_path / "images.npy")
    with pytest.raises(FileNotFoundError) as caught, workplace(tmp_path):
        (tmp_path / "elsewhere").read_bytes()
    assert caught.value.filename == str(tmp_path / "elsewhere")

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from vicinal import files
from vicinal.errors import VicinalError, describe, nearest, run
from vicinal.files import (
    atomic_directory,
    atomic_path,
    read_json,
    read_object,
    sha256,
    write_cache,
    write_json,
    write_text,
)
from vicinal.planning.files import set_time


class FailureError(Exception):
    """What a block raises in these tests."""


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def disk_full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# One file


def test_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "table.parquet"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
        temporary.write_bytes(b"whole")
    assert tree(tmp_path) == {"new/folder/table.parquet": b"whole"}


def test_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert tree(tmp_path) == {"a.txt": b"new"}


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("error", [FailureError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, old, error):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    before = tree(tmp_path)
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert tree(tmp_path) == before


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    before = tree(tmp_path)
    if call == "fsync":
        monkeypatch.setattr(os, "fsync", disk_full)
    else:
        monkeypatch.setattr(Path, {"write": "write_text", "rename": "replace"}[call], disk_full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_json(path, {"new": 2})
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert tree(tmp_path) == before


@pytest.fixture
def events(monkeypatch) -> list:
    """Return the list of what is synced, by inode, and renamed."""
    happened = []

    def recorded(function, event_of):
        def call(*args):
            happened.append(event_of(args[0]))
            return function(*args)

        return call

    monkeypatch.setattr(os, "fsync", recorded(os.fsync, lambda descriptor: os.fstat(descriptor).st_ino))
    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, recorded(getattr(Path, name), lambda _: "rename"))
    return happened


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_file_is_synced_before_the_rename_and_its_folder_after(tmp_path, events):
    write_text(tmp_path / "a", "x")
    assert events == [inode(tmp_path / "a"), "rename", inode(tmp_path)]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o002, 0o664, 0o775), (0o077, 0o600, 0o700)]
)
def test_rights_follow_the_umask(tmp_path, umask, file, folder):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a", "x")
        with atomic_path(tmp_path / "replaced") as temporary:
            temporary.unlink()  # as safetensors does
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
        with atomic_directory(tmp_path / "model"):
            pass
        with atomic_directory(tmp_path / "model"):
            pass
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "a": file,
        "replaced": file,
        "model": folder,
    }


def test_a_file_is_dated_and_one_of_another_user_replaced(tmp_path, monkeypatch):
    path = tmp_path / "plan.json"
    path.write_text("{}")
    set_time(path, 1000.0)
    assert path.stat().st_mtime == 1000
    utime, owned = os.utime, inode(path)

    def refuse(where, *rest):
        if inode(Path(where)) == owned:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        utime(where, *rest)

    monkeypatch.setattr(os, "utime", refuse)
    set_time(path, 2000.0)
    assert (path.stat().st_mtime, path.read_text(), inode(path) == owned) == (2000, "{}", False)


def test_a_cache_that_cannot_be_written_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    write_cache(tmp_path / "file" / "cache.json", {})
    write_cache(tmp_path / "cache.json", {"a": 1})
    assert read_json(tmp_path / "cache.json") == {"a": 1}


def test_block_that_writes_nothing_to_its_file_makes_an_empty_one(tmp_path):
    with atomic_path(tmp_path / "a"):
        pass
    assert tree(tmp_path) == {"a": b""}


# A reader in another thread looks at the file while four writers replace it.
def test_readers_never_see_half_a_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"writer": 0, "filling": "0" * 100_000})
    done, seen, faults = threading.Event(), set(), []

    def write(writer: int) -> None:
        for _ in range(15):
            write_json(path, {"writer": writer, "filling": str(writer) * 100_000})

    def read() -> None:
        while not done.is_set():
            try:
                value = json.loads(path.read_text())
                assert value["filling"] == str(value["writer"]) * 100_000
                seen.add(value["writer"])
            except (OSError, ValueError, AssertionError) as fault:
                faults.append(repr(fault)[:200])

    writers = [threading.Thread(target=write, args=(i,)) for i in range(1, 5)]
    reader = threading.Thread(target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert faults == []
    assert len(seen) > 1
    assert list(tree(tmp_path)) == ["a.json"]


# A directory


def test_directory_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "student"
    with atomic_directory(path) as temporary:
        (temporary / "weights").write_text("w")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert tree(tmp_path) == {"new/student/weights": b"w"}


def test_directory_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "student"
    path.mkdir()
    (path / "old").write_text("old")
    with atomic_directory(str(path)) as temporary:
        assert list(temporary.iterdir()) == []
        (temporary / "new").write_text("new")
        assert tree(path) == {"old": b"old"}
    assert tree(tmp_path) == {"student/new": b"new"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["student"]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("error", [FailureError, KeyboardInterrupt])
def test_failure_leaves_the_old_directory_and_nothing_else(tmp_path, old, error):
    path = tmp_path / "student"
    if old:
        path.mkdir()
        (path / "old").write_text("old")
    before = tree(tmp_path)
    with pytest.raises(error), atomic_directory(path) as temporary:
        (temporary / "new").write_text("half")
        raise error
    assert tree(tmp_path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == (["student"] if old else [])


@pytest.mark.parametrize("failing", ["sync", "first rename", "second rename"])
def test_full_disk_leaves_the_old_directory_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "student"
    path.mkdir()
    (path / "old").write_text("old")
    renames = []
    rename = Path.rename

    def renamed(self, target):
        renames.append(self)
        if len(renames) == (1 if failing == "first rename" else 2):
            disk_full()
        return rename(self, target)

    monkeypatch.setattr(*((os, "fsync", disk_full) if failing == "sync" else (Path, "rename", renamed)))
    with pytest.raises(OSError, match="No space left on device"), atomic_directory(path) as temporary:
        (temporary / "new").write_text("new")
    monkeypatch.undo()
    assert tree(tmp_path) == {"student/old": b"old"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["student"]


def test_every_file_of_a_directory_is_synced_before_the_rename(tmp_path, events):
    path = tmp_path / "student"
    with atomic_directory(path) as temporary:
        (temporary / "deep").mkdir()
        for name in ("a", "deep/b"):
            (temporary / name).write_text(name)
    before = events[: events.index("rename")]
    assert sorted(before) == sorted(inode(part) for part in (path, path / "a", path / "deep", path / "deep" / "b"))
    assert events[-2:] == ["rename", inode(tmp_path)]


# JSON and checksums


def test_json_is_written_sorted_and_reads_back(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"ä": True}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    text = (tmp_path / "a.json").read_text()
    assert text.index('"a"') < text.index('"b"')
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_json_cannot_hold_leaves_the_old_file(tmp_path, value):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", {"a": value})
    assert tree(tmp_path) == {"a.json": b"1\n"}


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe", b"[1,]"])
def test_file_that_is_no_json(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(VicinalError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: not a JSON file (")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", ["[1, 2]", "3", "null", '"a"'])
def test_json_that_is_no_object(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(VicinalError) as caught:
        read_json(path)
    assert str(caught.value) == f"{path}: expected a JSON object, {{…}}, found {content}"
    assert read_object(path) == {}


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(VicinalError) as caught:
        read_json(tmp_path / "a.json")
    assert str(caught.value) == f"{tmp_path / 'a.json'}: no such file"


# The SHA-256 of "abc" is FIPS 180-2's own example.
@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"x" * 3_000_000, hashlib.sha256(b"x" * 3_000_000).hexdigest()),
    ],
)
def test_checksum(tmp_path, content, wanted):
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == files.sha256(str(tmp_path / "a")) == wanted


# Errors


def test_nearest_names():
    assert nearest("epoch", ["epochs", "lr", "flip"]) == " (did you mean epochs?)"
    assert nearest("xyz", ["epochs", "lr"]) == " (valid: epochs, lr)"
    assert nearest(5, [4, 6]) == " (valid: 4, 6)"


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (VicinalError("a: wrong\nb:  also\twrong"), "a: wrong\nb: also wrong"),
        (OSError(errno.ENOSPC, "No space left on device", "results/a"), "results/a: no space left on device"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device"),
        (OSError("odd"), "odd"),
    ],
)
def test_description_of_an_error(error, wanted):
    assert describe(error) == wanted


def test_script_ends_with_its_status(capsys, monkeypatch):
    monkeypatch.delenv("VICINAL_TRACEBACK", raising=False)

    def wrong():
        raise VicinalError("a: wrong\nb: wrong")

    def broken():
        raise FailureError

    for main, status in ((lambda: None, 0), (lambda: 3, 3), (wrong, 1), (disk_full, 1)):
        with pytest.raises(SystemExit) as caught:
            run(main)
        assert caught.value.code == status
    assert capsys.readouterr().err == "error: a: wrong\nerror: b: wrong\nerror: no space left on device\n"
    with pytest.raises(FailureError):  # what is no user error keeps its traceback
        run(broken)
    monkeypatch.setenv("VICINAL_TRACEBACK", "1")
    with pytest.raises(VicinalError):
        run(wrong)


SAYS = "import sys; from vicinal.errors import run; run(lambda: [print('λ → é', flush=True) for _ in range(9)] and {})"


@pytest.mark.parametrize(
    ("encoding", "line"), [("ascii", b"? ? ?"), ("latin-1", b"? ? \xe9"), ("utf-8", "λ → é".encode())]
)
def test_output_of_any_encoding_breaks_no_script(encoding, line):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", SAYS.format(0)], capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, [line] * 9, b"")


@pytest.mark.parametrize("status", [0, 3])
def test_a_script_goes_on_where_nobody_reads_its_output(status):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", SAYS.format(status)], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (status, b"")


def test_a_script_without_any_output_runs():
    done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, SAYS.format(3)], check=False)
    assert done.returncode == 3


# What is said


def test_a_full_disk_names_the_file_where_the_writer_does_not(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "table.parquet"):
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device")
    assert describe(caught.value) == f"{tmp_path}/table.parquet: no space left on device"


def test_a_full_disk_names_the_file_by_its_last_name(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, atomic_directory(tmp_path / "model") as folder:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "table.parquet"))
    assert describe(caught.value) == f"{tmp_path}/model/table.parquet: no space left on device"
    with pytest.raises(FileNotFoundError) as caught, atomic_path(tmp_path / "table.parquet"):
        (tmp_path / "elsewhere").read_bytes()
    assert caught.value.filename == str(tmp_path / "elsewhere")


@pytest.mark.parametrize("error", [MemoryError("no 7 GiB"), torch.OutOfMemoryError("no 7 GiB\nmore")])
def test_out_of_memory_is_one_line_that_says_what_to_do(capsys, error):
    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: out of memory (no 7 GiB): end other programs, ")


def test_other_errors_keep_their_traceback():
    def main():
        raise RuntimeError("a mistake of the programmer")

    with pytest.raises(RuntimeError, match="a mistake"):
        run(main)


def test_sigterm_removes_temporary_files(tmp_path):
    def main():
        with atomic_path(tmp_path / "table.parquet") as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            run(main)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 143
    assert list(tmp_path.iterdir()) == []

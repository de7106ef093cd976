import errno
import json
import os
import threading
from pathlib import Path

import pytest

from vicinal.errors import describe
from vicinal.files import atomic_directory, atomic_path, write_json, write_text


class FailureError(Exception):
    """What a block raises in these tests."""


def disk_full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
    with atomic_directory(str(path)) as temporary, atomic_path(str(tmp_path / "file")) as file:
        assert list(temporary.iterdir()) == []
        (temporary / "new").write_text("new")
        file.write_text("new")
        assert tree(path) == {"old": b"old"}
    assert tree(tmp_path) == {"student/new": b"new", "file": b"new"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "student"]


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


# What is said of a full disk


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

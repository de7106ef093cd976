"""Files: JSON and checksums, caches, dates, and locks."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vicinal import files
from vicinal.errors import VicinalError
from vicinal.files import exclusive, read_json, read_object, sha256, write_cache, write_json
from vicinal.planning.files import set_time


def test_a_file_is_dated_and_one_of_another_user_replaced(tmp_path, monkeypatch):
    path = tmp_path / "plan.json"
    path.write_text("{}")
    set_time(path, 1000.0)
    assert path.stat().st_mtime == 1000
    utime, owned = os.utime, path.stat().st_ino

    def refuse(where, *rest):
        if Path(where).stat().st_ino == owned:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        utime(where, *rest)

    monkeypatch.setattr(os, "utime", refuse)
    set_time(path, 2000.0)
    assert (path.stat().st_mtime, path.read_text(), path.stat().st_ino == owned) == (2000, "{}", False)


def test_a_cache_that_cannot_be_written_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    write_cache(tmp_path / "file" / "cache.json", {})
    write_cache(tmp_path / "cache.json", {"a": 1})
    assert read_json(tmp_path / "cache.json") == {"a": 1}


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
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.json", b"1\n")]


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


EXCLUSIVE = """
import sys, time
from pathlib import Path
from vicinal.files import exclusive
with exclusive(Path(sys.argv[1]), lambda: print("waiting", flush=True)):
    print("has it", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_the_lock_of_a_file_is_had_by_one_and_freed_by_a_kill(tmp_path):
    command = [sys.executable, "-c", EXCLUSIVE, str(tmp_path / "lock")]
    with subprocess.Popen([*command, "60"], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "has it\n"
        with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, text=True) as second:
            assert second.stdout.readline() == "waiting\n"
            time.sleep(0.6)
            assert second.poll() is None
            first.kill()
            assert second.stdout.readline() == "has it\n"


def test_where_files_cannot_be_locked_the_block_runs_all_the_same(tmp_path, monkeypatch):
    def flock(descriptor, how):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with exclusive(tmp_path / "lock", lambda: pytest.fail("it waited")):
        assert (tmp_path / "lock").exists()


def test_a_lock_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(OSError, match=str(tmp_path)), exclusive(tmp_path):
        pytest.fail("it ran")

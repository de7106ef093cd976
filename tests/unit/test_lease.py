"""Leases: one of many works, the others wait; that of a dead process does not hold anybody up."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from vicinal import files
from vicinal.jobs.lease import held_leases, lease

WORK = """
import sys, time
from pathlib import Path
from vicinal.jobs.lease import lease
results, seconds = Path(sys.argv[1]), float(sys.argv[2])
with lease(results, "x"):
    log = (results / "log").open("a", buffering=1)
    log.write("begin\\n")
    time.sleep(seconds)
    log.write("end\\n")
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(files, "LOCK_POLL_SECONDS", 0.01)


@pytest.fixture
def processes():
    """Start processes that work under the lease; those that are left are killed."""
    started = []

    def start(results, seconds):
        command = [sys.executable, "-c", WORK, str(results), str(seconds)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def path_in(results):
    return results / "locks" / "x.lease"


def test_it_is_there_for_the_block_and_names_its_owner(tmp_path):
    path = path_in(tmp_path)
    with lease(tmp_path, "x"):
        assert path.read_text() == f"{socket.gethostname()}, process {os.getpid()}"
        assert held_leases(tmp_path) == {"x"}
    assert list(path.parent.iterdir()) == []
    assert held_leases(tmp_path) == set()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_it_is_given_back_when_the_block_fails(tmp_path, error):
    with pytest.raises(error), lease(tmp_path, "x"):
        raise error
    assert not path_in(tmp_path).exists()


def test_a_second_process_waits_and_says_for_whom(tmp_path, processes):
    with lease(tmp_path, "x"):
        second = processes(tmp_path, 0)
        holder = f"{socket.gethostname()}, process {os.getpid()}"
        assert second.stdout.readline() == f"x: another process is working on it ({holder}); waiting\n"
        time.sleep(0.1)
        assert not (tmp_path / "log").exists()
    assert second.wait(timeout=20) == 0
    assert (tmp_path / "log").read_text() == "begin\nend\n"


def test_never_two_at_once(tmp_path, processes):
    started = [processes(tmp_path, 0.02) for _ in range(8)]
    assert [process.wait(timeout=60) for process in started] == [0] * 8
    assert (tmp_path / "log").read_text() == "begin\nend\n" * 8
    assert list((tmp_path / "locks").iterdir()) == []


def test_that_of_a_killed_process_goes_to_one_of_many(tmp_path, processes):
    first = processes(tmp_path, 60)
    wait_for((tmp_path / "log").exists)
    others = [processes(tmp_path, 0.05) for _ in range(5)]
    for process in others:
        assert "another process is working on it" in process.stdout.readline()
    # Not waited for: it is a zombie, which works no more.
    os.kill(first.pid, signal.SIGKILL)
    assert [process.wait(timeout=60) for process in others] == [0] * 5
    assert (tmp_path / "log").read_text() == "begin\n" + "begin\nend\n" * 5


def test_waiting_ends_when_the_caller_says(tmp_path):
    calls = []

    def enough():
        calls.append(1)
        if len(calls) == 3:
            raise SystemExit(75)

    with lease(tmp_path, "x"):
        with pytest.raises(SystemExit), lease(tmp_path, "x", enough):
            pytest.fail("it was not waited")
        assert held_leases(tmp_path) == {"x"}
    assert len(calls) == 3


def test_where_no_lease_can_be_kept_it_goes_on_without(tmp_path, capsys):
    (tmp_path / "locks").write_text("no folder")
    with lease(tmp_path, "x"):
        pass
    captured = capsys.readouterr()
    what = "going on without a lease: another process may do the same work"
    assert captured.err == f"warning: {path_in(tmp_path)}: File exists; {what}\n"
    assert captured.out == ""


def test_which_are_held(tmp_path):
    with lease(tmp_path, "y"):
        path_in(tmp_path).write_text("node07, process 5")  # left by one that was killed
        (tmp_path / "locks" / "link.lease").symlink_to(tmp_path / "locks" / "y.lease")
        (tmp_path / "locks" / "folder.lease").mkdir()  # cannot be opened, so it counts as held
        assert held_leases(tmp_path) == {"y", "folder"}
    assert held_leases(tmp_path) == {"folder"}

"""Leases: one of many works, the others wait; what a dead process left is taken over, by one of them."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from threading import Event, Thread

import pytest

from vicinal.jobs import lease as module
from vicinal.jobs.lease import STALE_SECONDS, Owner, held_leases, is_held, lease, this_owner

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
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "TOUCH_SECONDS", 0.01)


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
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


def path_in(results):
    return results / "locks" / "x.lease"


def leave(results, owner, seconds_ago=0.0):
    """Leave a lease behind."""
    path = path_in(results)
    path.parent.mkdir(exist_ok=True)
    path.write_text(owner if isinstance(owner, str) else json.dumps(asdict(owner)))
    os.utime(path, (time.time() - seconds_ago,) * 2)
    return path


GONE = replace(this_owner(), pid=2**22 + 1)
REUSED = replace(this_owner(), started=this_owner().started - 100)
ELSEWHERE = Owner("node07", "another boot pid:[1]", os.getpid(), 5.0)


def test_it_is_there_for_the_block_and_names_its_owner(tmp_path):
    path = path_in(tmp_path)
    with lease(tmp_path, "x"):
        assert json.loads(path.read_text()) == asdict(this_owner())
        assert is_held(path)
        before = path.stat().st_mtime_ns
        wait_for(lambda: path.stat().st_mtime_ns > before)
    assert list(path.parent.iterdir()) == []
    assert not is_held(path)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_it_is_given_back_when_the_block_fails(tmp_path, error):
    with pytest.raises(error), lease(tmp_path, "x"):
        raise error
    assert not path_in(tmp_path).exists()


def test_a_second_process_waits_and_says_for_whom(tmp_path, processes):
    with lease(tmp_path, "x"):
        second = processes(tmp_path, 0)
        host = this_owner().host
        expected = f"x: another process is working on it ({host}, process {os.getpid()}); waiting\n"
        assert second.stdout.readline() == expected
        time.sleep(0.1)
        assert not (tmp_path / "log").exists()
    assert second.wait(timeout=20) == 0
    assert (tmp_path / "log").read_text() == "begin\nend\n"


def test_never_two_at_once(tmp_path, processes):
    started = [processes(tmp_path, 0.02) for _ in range(8)]
    assert [process.wait(timeout=60) for process in started] == [0] * 8
    assert (tmp_path / "log").read_text() == "begin\nend\n" * 8
    # One that looks just when the holder ends may look closer.
    assert {path.name for path in (tmp_path / "locks").iterdir()} <= {".takeover"}


def test_what_a_killed_process_leaves_is_taken_over_by_one_of_many(tmp_path, processes):
    first = processes(tmp_path, 60)
    wait_for((tmp_path / "log").exists)
    others = [processes(tmp_path, 0.05) for _ in range(5)]
    for process in others:
        assert "another process is working on it" in process.stdout.readline()
    # Not waited for: it is a zombie, which works no more.
    os.kill(first.pid, signal.SIGKILL)
    killed = time.monotonic()
    assert [process.wait(timeout=60) for process in others] == [0] * 5
    assert time.monotonic() - killed < 20
    assert (tmp_path / "log").read_text() == "begin\n" + "begin\nend\n" * 5
    said = "".join(process.stdout.read() for process in others)
    assert said.count("which is gone; taken over") == 1
    assert [path.name for path in (tmp_path / "locks").iterdir()] == [".takeover"]


@pytest.mark.parametrize("round_", range(5))
def test_of_many_that_take_over_a_stale_one_one_does(tmp_path, round_):
    path, taken, go = leave(tmp_path, GONE), [], Event()

    def work(number):
        go.wait()
        if module._take_over(path, json.dumps(asdict(GONE))):
            taken.append(number)

    threads = [Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("owner", "silent", "stale"),
    [
        (GONE, 0, True),
        (REUSED, 0, True),
        (this_owner(), 10 * STALE_SECONDS, False),  # stopped, maybe, but there
        (ELSEWHERE, 0, False),
        (ELSEWHERE, STALE_SECONDS - 10, False),
        (ELSEWHERE, STALE_SECONDS + 10, True),
        (ELSEWHERE, 10 - STALE_SECONDS, False),  # of the future: clocks of machines differ
        (ELSEWHERE, -10 - STALE_SECONDS, True),  # a clock was set back, or was wrong
        (ELSEWHERE, -1e8, True),
        (this_owner(), -1e8, False),
        ("", 0, False),  # just made
        ("", STALE_SECONDS + 10, True),
        ("no JSON", STALE_SECONDS + 10, True),
    ],
)
def test_which_are_stale(tmp_path, owner, silent, stale):
    path = leave(tmp_path, owner, silent)
    assert is_held(path) is not stale


@pytest.mark.parametrize("seconds_ago", [STALE_SECONDS + 10, -1000, -1e8])
def test_who_waits_takes_over_what_nobody_touches(tmp_path, seconds_ago, capsys):
    leave(tmp_path, ELSEWHERE, seconds_ago)
    began = time.monotonic()
    with lease(tmp_path, "x"):
        assert time.monotonic() - began >= module.MISSED_TOUCHES * module.TOUCH_SECONDS
        assert json.loads(path_in(tmp_path).read_text()) == asdict(this_owner())
    waits, took = capsys.readouterr().out.splitlines()
    assert waits.endswith("waiting")
    assert took == f"x: its lease was left by node07, process {os.getpid()}, which is gone; taken over"


@pytest.mark.parametrize("clock", [-1000, 1000])
def test_a_living_owner_whose_clock_is_wrong_keeps_its_lease_from_who_waits(tmp_path, monkeypatch, clock):
    # Times of files come from their writers, as on Lustre.
    monkeypatch.setattr(module, "TOUCH_SECONDS", 0.1)
    path = leave(tmp_path, ELSEWHERE, -clock)
    looks = []

    def touch():
        looks.append(1)
        os.utime(path, (time.time() + clock,) * 2)
        if len(looks) == 60:
            path.unlink()  # its work is done

    began = time.monotonic()
    with lease(tmp_path, "x", touch):
        pass
    assert len(looks) == 60
    assert time.monotonic() - began > module.MISSED_TOUCHES * module.TOUCH_SECONDS


def test_the_clock_of_this_machine_does_not_matter(tmp_path, monkeypatch):
    path = leave(tmp_path, ELSEWHERE, 5)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert is_held(path)


def test_a_process_that_is_stopped_loses_its_lease_and_goes_on(tmp_path, capsys):
    path = path_in(tmp_path)
    with lease(tmp_path, "x"):
        leave(tmp_path, ELSEWHERE)
        out = wait_for(lambda: capsys.readouterr().err)
        assert out == "warning: x: the lease of this process was taken over by node07, process " + (
            f"{os.getpid()}; it goes on: what is finished first counts\n"
        )
        before = path.stat().st_mtime_ns
        time.sleep(0.05)
        assert path.stat().st_mtime_ns == before
    # That of the other stays.
    assert json.loads(path.read_text()) == asdict(ELSEWHERE)


def test_waiting_ends_when_the_caller_says(tmp_path):
    leave(tmp_path, ELSEWHERE)
    calls = []

    def enough():
        calls.append(1)
        if len(calls) == 3:
            raise SystemExit(75)

    with pytest.raises(SystemExit), lease(tmp_path, "x", enough):
        pytest.fail("it was not waited")
    assert len(calls) == 3
    assert json.loads(path_in(tmp_path).read_text()) == asdict(ELSEWHERE)


def test_where_no_lease_can_be_kept_it_goes_on_without(tmp_path, capsys):
    (tmp_path / "locks").write_text("no folder")
    with lease(tmp_path, "x"):
        pass
    captured = capsys.readouterr()
    what = "going on without a lease: another process may do the same work"
    assert captured.err == f"warning: {path_in(tmp_path)}: File exists; {what}\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("owner", "ended"),
    [
        (this_owner(), False),
        (replace(this_owner(), host="renamed"), False),
        (GONE, True),
        (REUSED, True),
        (ELSEWHERE, None),
        (replace(ELSEWHERE, pid=GONE.pid), None),
    ],
    ids=["this", "this, renamed", "gone", "another of its number", "elsewhere", "elsewhere, gone here"],
)
def test_whether_a_process_has_ended(owner, ended):
    assert owner.has_ended is ended


def test_a_clock_that_is_set_changes_no_owner(monkeypatch):
    before, boot = this_owner(), module.psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot - 86_400)
    monkeypatch.setattr(module.psutil, "boot_time", lambda: boot - 86_400)
    assert before.has_ended is False


def test_which_are_held(tmp_path):
    with lease(tmp_path, "y"):
        leave(tmp_path, GONE)
        (tmp_path / "locks" / "link.lease").symlink_to(tmp_path / "locks" / "y.lease")
        (tmp_path / "locks" / "folder.lease").mkdir()  # cannot be read, so it counts as held
        assert held_leases(tmp_path) == {"y", "folder"}
    assert held_leases(tmp_path) == {"folder"}

"""The processes of a job: who is one, and what becomes of the job when one of them ends."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vicinal.device import started_by_torchrun
from vicinal.errors import VicinalError
from vicinal.processes import Helpers, is_helper

LIBRARY = Path(__file__).parents[2] / "workflow"
# A job of two processes; argv says what its helper does, and what the first one does meanwhile.
JOB = """
import os, signal, sys, time
import torch
from vicinal import processes
from vicinal.errors import VicinalError, run
from vicinal.processes import Helpers, become_helper, is_helper, wait_for_task

helper, first = sys.argv[1:]

def main():
    if is_helper(2):
        if helper == "fails to start":
            raise VicinalError("a line of the helper")
        become_helper()
        group, task = wait_for_task()
        print("never seen")
        assert task == {"device": "cpu", "a": [1, None]}
        if helper == "fails":
            raise VicinalError("a line of the helper")
        if helper == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(3):
            assert group.agree(False)
        assert group.gather(torch.tensor([2.0])).tolist() == [[1.0], [2.0]]
        return
    processes.GRACE_SECONDS = 0.1
    with Helpers(2, "job") as helpers:
        group = helpers.start(torch.device("cpu"), [], {"a": [1, None]})
        if first == "waits":
            time.sleep(30)
        if first == "fails":
            raise OSError(28, "No space left on device", "file")
        if first == "stops":
            raise SystemExit(75)
        [process] = helpers._processes
        for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGINT):
            process.send_signal(number)
            time.sleep(0.05)
            group.agree(True)
        print(group.gather(torch.tensor([1.0])).tolist())

run(main)
"""


@pytest.fixture
def job(tmp_path):
    path = tmp_path / "job.py"
    path.write_text(JOB)

    def run(helper, first):
        command = [sys.executable, str(path), helper, first]
        environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
        began = time.monotonic()
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return result, time.monotonic() - began

    return run


def test_helpers_heed_no_signal_and_say_nothing(job):
    result, _ = job("helps", "leads")
    assert (result.returncode, result.stdout, result.stderr) == (0, "[[1.0], [2.0]]\n", "")


@pytest.mark.parametrize("helper", ["fails to start", "fails"])
def test_a_helper_that_fails_ends_the_job_after_its_message(job, helper):
    result, _ = job(helper, "leads")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: a line of the helper",
        "error: job: process 2 of 2 ended with exit code 1, see above",
    ]


def test_a_helper_that_is_killed_ends_a_job_that_does_not_notice(job):
    result, seconds = job("is killed", "waits")
    assert result.returncode == 1
    assert result.stderr == "error: job: process 2 of 2 was killed by signal 9\n"
    assert seconds < 25


@pytest.mark.parametrize(
    ("first", "code", "says"), [("fails", 1, "error: file: no space left on device\n"), ("stops", 75, "")]
)
def test_where_the_first_process_ends_its_own_message_and_code_count(job, first, code, says):
    result, _ = job("helps", first)
    assert (result.returncode, result.stderr) == (code, says)


VARIABLES = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("number", "changes", "torchrun", "helper"),
    [
        (2, {}, True, True),
        (2, {"RANK": "0"}, True, False),
        (1, {}, False, False),  # of somebody else's processes
        (4, {}, False, False),
        (2, {"MASTER_PORT": None}, False, False),
        (2, {"RANK": None}, False, False),
    ],
)
def test_who_is_a_helper(monkeypatch, number, changes, torchrun, helper):
    for name, value in {**VARIABLES, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert started_by_torchrun(number) is torchrun
    assert is_helper(number) is helper


def test_a_job_of_one_process_starts_none(monkeypatch):
    monkeypatch.setattr(Helpers, "_start", None)
    with pytest.raises(VicinalError, match="its own"), Helpers(1, "job") as helpers:
        assert helpers.start("cpu", [], {}).is_one
        raise VicinalError("its own")

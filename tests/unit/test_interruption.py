"""When a training stops: signals early and late, once and twice, and deadlines."""

import signal
import subprocess
import sys
import time

import pytest

from vicinal.jobs import interruption
from vicinal.jobs.interruption import RESERVE_SECONDS, SIGNALS, Interruption

JOB = """
import sys, time
from vicinal.jobs.interruption import Interruption
with Interruption() as stop:
    if sys.argv[1] == "training":
        stop.defer()
    print("ready", flush=True)
    for _ in range(2000):
        time.sleep(0.01)
        if sys.argv[2] == "listens" and stop.reason():
            stop.stop("saved, " + stop.reason())
"""


@pytest.fixture
def job():
    started = []

    def start(*arguments, **options):
        command = [sys.executable, "-c", JOB, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, **pipes, **options))
        assert started[-1].stdout.readline() == "ready\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


CODES = [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)]


@pytest.mark.parametrize(("number", "code"), CODES)
def test_before_the_training_it_ends_at_once(job, number, code):
    process = job("before", "deaf")
    process.send_signal(number)
    err = process.communicate(timeout=10)[1]
    assert process.returncode == code
    assert err == f"stopped at {signal.Signals(number).name}, before the training began; run again to go on\n"


@pytest.mark.parametrize(("number", "code"), CODES)
def test_in_training_it_is_left_to_who_asks(job, number, code):
    process = job("training", "listens")
    process.send_signal(number)
    err = process.communicate(timeout=10)[1]
    assert (process.returncode, err) == (code, f"saved, at {signal.Signals(number).name}\n")


def test_a_second_signal_kills_but_not_the_echo_of_the_first(job):
    process = job("training", "deaf")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=interruption.REPEAT_SECONDS)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == -signal.SIGTERM


def test_in_the_background_of_a_shell_ctrl_c_is_not_for_it(job):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = job("training", "listens")
    finally:
        signal.signal(signal.SIGINT, before)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None


def test_the_handlers_are_put_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ValueError, match="x"), Interruption():
        assert [signal.getsignal(number) for number in SIGNALS] != before
        raise ValueError("x")
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_the_deadline_counts_from_the_start_of_the_process(monkeypatch, capsys):
    now = [interruption._START]
    monkeypatch.setattr(interruption.time, "monotonic", lambda: now[0])
    never, one = Interruption(), Interruption(1.0)
    one.check("x")
    now[0] += 60 - RESERVE_SECONDS - 0.1
    assert one.reason() is None
    assert one.reason(RESERVE_SECONDS + 1) == "before its deadline"
    now[0] += 0.2
    assert one.reason() == "before its deadline"
    assert never.reason() is None
    never.check("x")
    with pytest.raises(SystemExit) as end:
        one.check("x")
    assert end.value.code == 75
    assert capsys.readouterr().err == (
        "x: stopped before its deadline, before the training began (the last 15 s are kept for the end); run again, "
        "with more time\n"
    )

"""A run of the real Snakemake on small workflows: its events reach us, and what fails is told."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from vicinal.running.runner import INTERRUPTED, SNAKEMAKE, TERMINATED, _leaves, head_lock, run_snakemake

WORKFLOW = Path(__file__).resolve().parents[2] / "workflow"
SNAKEFILE = """
rule all:
    input: expand("{name}.txt", name=["a", "b"])

rule make:
    output: "{name}.txt"
    log: "logs/{name}.log"
    shell: "(%s) > {log} 2>&1"
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a Snakefile in a folder of its own, and returns the status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(WORKFLOW))
    before = signal.getsignal(signal.SIGTERM)

    def run(snakefile, *arguments):
        Path("Snakefile").write_text(snakefile)
        with head_lock(Path("results")) as lock:
            status = run_snakemake([*SNAKEMAKE, "--cores", "2", *arguments], Path("results"), lock)
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    yield run
    signal.signal(signal.SIGTERM, before)


def test_jobs_are_counted_and_a_second_run_has_nothing_to_do(run):
    status, out, err = run(SNAKEFILE % "echo; touch {output}")
    assert (status, err) == (0, [])
    assert [re.sub(r"\d:\d\d:\d\d", "T", line) for line in out[:1]] == [f"[1/2] T make  {out[0][-1]}"]
    assert [line[:5] for line in out] == ["[1/2]", "[2/2]"]
    assert sorted(line[-1] for line in out) == ["a", "b"]
    [log] = Path("results/logs").glob("run-*.log")
    assert "Job stats:" in log.read_text()
    assert run(SNAKEFILE % "echo; touch {output}") == (0, ["nothing to do: all results are up to date"], [])


def test_a_failed_job_is_told_in_its_own_words(run):
    status, out, err = run(SNAKEFILE % "echo 'warning: odd'; echo 'error: {wildcards.name}: wrong'; false", "-k")
    assert status == 1
    assert sorted(out) == [f"warning: make  {n}: odd (log: logs/{n}.log)" for n in "ab"]
    assert sorted(err[:2]) == [f"error: make: {n}: wrong (log: logs/{n}.log)" for n in "ab"]
    assert err[2].startswith("not finished (all output: results/logs/run-")
    assert len(err) == 3


def test_a_job_that_fails_once_is_tried_again(run):
    status, out, err = run(SNAKEFILE % "mkdir {wildcards.name} && exit 3; touch {output}", "--retries", "1")
    assert (status, err) == (0, [])
    assert [line for line in out if "trying again" in line]
    assert out[-1].startswith("[2/2]")


@pytest.mark.parametrize(
    ("snakefile", "arguments", "says"),
    [
        (
            "from snakemake.exceptions import WorkflowError\nraise WorkflowError('epoch: unknown key')",
            [],
            "epoch: unknown",
        ),
        ("1 / 0\n", [], "ZeroDivisionError"),
        ("rule all:\n    input: []\n", ["--no-such-option"], "unrecognized arguments: --no-such-option"),
    ],
)
def test_what_snakemake_itself_refuses_is_told_in_its_words(run, snakefile, arguments, says):
    status, out, err = run(snakefile, *arguments)
    assert status != 0
    assert out == []
    assert any(says in line for line in err[:-1])
    assert all(line.startswith("error: ") for line in err[:-1])
    assert err[-1].startswith("not finished (all output: ")


def test_a_snakemake_that_is_killed_is_not_waited_for(run):
    status, _, err = run(SNAKEFILE % "kill -KILL $PPID")
    assert status == -signal.SIGKILL
    assert err[-1].startswith("not finished (all output: ")


JOB = """
import signal, sys, time
from pathlib import Path

def end(number, frame):
    Path(f"ended-{sys.argv[1]}").touch()
    sys.exit(1)

signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
Path(f"began-{sys.argv[1]}").touch()
while True:
    time.sleep(1)
"""
HEAD = """
import sys
from pathlib import Path
from vicinal.running.runner import SNAKEMAKE, head_lock, run_snakemake
with head_lock(Path("results")) as lock:
    sys.exit(run_snakemake([*SNAKEMAKE, "--cores", "2"], Path("results"), lock))
"""


# Reading it takes long, and a Ctrl-C is lost, as in modules in C that it imports.
DEAF = """
import signal, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_IGN)
Path("began-reading").touch()
time.sleep(100)
"""
STOPPED = "stopped; what is finished is kept, run again to go on\n"
ENDS = pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])


def signalled(folder: Path, number: signal.Signals, begun: int) -> tuple[int, str, str]:
    """Run a Snakefile, send a signal once so many began; return the head's status, output and errors."""
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(WORKFLOW)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 60
        while len(list(folder.glob("began-*"))) < begun:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # Ctrl-C reaches the whole group.
        (os.killpg if number is signal.SIGINT else os.kill)(head.pid, number)
        out, err = head.communicate(timeout=60)
        return head.returncode, out, err
    finally:
        with suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)


@ENDS
def test_a_signal_ends_the_jobs(tmp_path, number, status):
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "Snakefile").write_text(SNAKEFILE % f"{sys.executable} job.py {{wildcards.name}}")
    assert signalled(tmp_path, number, 2) == (status, "stopping: Snakemake ends its jobs\n", STOPPED)
    assert sorted(path.name for path in tmp_path.glob("ended-*")) == ["ended-a", "ended-b"]


@ENDS
def test_a_snakemake_without_jobs_is_not_waited_for(tmp_path, number, status):
    (tmp_path / "Snakefile").write_text(DEAF)
    assert signalled(tmp_path, number, 1) == (status, "stopping: Snakemake ends its jobs\n", STOPPED)


def test_the_last_processes_below_one_are_found():
    shell = subprocess.Popen(["sh", "-c", "sh -c 'sleep 60; true'; true"])
    try:
        deadline = time.monotonic() + 10
        while [process.name() for process in _leaves(shell.pid)] != ["sleep"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        for process in _leaves(shell.pid):
            process.terminate()
        shell.wait()
    assert _leaves(shell.pid) == set()

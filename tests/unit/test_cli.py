"""Ctrl-C while a command is imported."""

import signal
import subprocess
import sys
from pathlib import Path

WORKFLOW = Path(__file__).resolve().parents[2] / "workflow"
# The import of a command is interrupted, and loses the KeyboardInterrupt, as modules in C do.
LOSES = """
import os, signal, sys
from vicinal import cli
from vicinal.errors import run

def command_of(name):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        pass
    return original(name)

original, cli.command_of = cli.command_of, command_of
sys.argv[1:] = ["completion", "bash"]
%s
run(cli.main)
"""


def _run(first: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", LOSES % first], env={"PYTHONPATH": str(WORKFLOW)}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


def test_ctrl_c_during_the_imports_ends_the_process():
    result = _run("signal.signal(signal.SIGINT, signal.default_int_handler)")
    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGINT, "", "")


def test_a_background_job_of_a_shell_goes_on():
    result = _run("signal.signal(signal.SIGINT, signal.SIG_IGN)")
    assert result.returncode == 0, result.stderr
    assert "complete" in result.stdout

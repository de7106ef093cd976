"""The warm python does as python does: it passes on arguments, files, folder, environment, signals and status."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from warm import warm_python


def start(*arguments, **options):
    return subprocess.Popen([warm_python(), *arguments], stdout=subprocess.PIPE, text=True, **options)


def test_it_takes_over_what_it_is_given(tmp_path):
    (tmp_path / "own.py").write_text(
        "import os, sys; print(os.getcwd(), sys.argv, os.environ['OWN'], 'torch' in sys.modules)"
    )
    environment = {**os.environ, "OWN": "mine", "PYTHONPATH": str(tmp_path)}
    for arguments, argv in ((["own.py", "a b"], ["own.py", "a b"]), (["-c", "import own", "a b"], ["-c", "a b"])):
        out, _ = start(*arguments, cwd=tmp_path, env=environment).communicate()
        assert out == f"{tmp_path} {argv} mine True\n"


@pytest.mark.parametrize(
    ("code", "status"), [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)]
)
def test_its_status_is_that_of_the_code(code, status):
    assert start("-c", code).wait() == status


def test_files_keep_their_numbers(tmp_path):
    with (tmp_path / "file").open("w") as file:
        number = file.fileno()
        start("-c", f"import os; os.write({number}, b'written')", pass_fds=[number]).wait()
    assert (tmp_path / "file").read_text() == "written"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on(number):
    handle = f"import signal, sys, time; signal.signal({int(number)}, lambda *_: sys.exit(7))"
    code = f"{handle}; print(flush=True); time.sleep(60)"
    process = start("-c", code)
    process.stdout.readline()
    process.send_signal(number)
    assert process.wait() == 7


def test_killed_it_leaves_nothing():
    process = start("-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    fork = Path("/proc", process.stdout.readline().strip())
    assert fork.exists()
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while fork.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)

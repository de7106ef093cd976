"""Errors of a user: how they are described, and how a script ends with them."""

import errno
import os
import signal
import subprocess
import sys

import pytest
import torch

from vicinal.errors import VicinalError, describe, nearest, run
from vicinal.files import atomic_path


def disk_full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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

    for main, status in ((lambda: None, 0), (lambda: 3, 3), (wrong, 1), (disk_full, 1)):
        with pytest.raises(SystemExit) as caught:
            run(main)
        assert caught.value.code == status
    assert capsys.readouterr().err == "error: a: wrong\nerror: b: wrong\nerror: no space left on device\n"
    with pytest.raises(ZeroDivisionError):  # what is no user error keeps its traceback
        run(lambda: 1 / 0)
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


@pytest.mark.parametrize("error", [MemoryError("no 7 GiB"), torch.OutOfMemoryError("no 7 GiB\nmore")])
def test_out_of_memory_is_one_line_that_says_what_to_do(capsys, error):
    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: out of memory (no 7 GiB): end other programs, ")


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

"""Scripts of the workflow, run in this process: a process of their own would spend most of its time on imports."""

import runpy
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess
from unittest.mock import patch

import vicinal

SCRIPTS = Path(vicinal.__file__).parents[1] / "scripts"


def run_script(name: str, *arguments: object) -> CompletedProcess:
    """Run a script with arguments; return its exit status and what it said on standard output and error."""
    path, out, err = str(SCRIPTS / name), StringIO(), StringIO()
    handler = signal.getsignal(signal.SIGTERM)  # a script sets its own
    try:
        with patch.object(sys, "argv", [path, *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        return CompletedProcess(sys.argv, end.code, out.getvalue(), err.getvalue())
    finally:
        signal.signal(signal.SIGTERM, handler)
    raise AssertionError(f"{name} did not say with which status it ends")

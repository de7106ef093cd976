"""Scripts and commands of the workflow in this process: one of their own would spend most of its time on imports."""

import argparse
import importlib.util
import runpy
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType
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


def load_module(path: Path) -> ModuleType:
    """Return a file of Python, which need be in no package, as a module that no other test sees."""
    spec = importlib.util.spec_from_file_location(f"{path.stem}_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parse(command: ModuleType, *words: object) -> argparse.Namespace:
    """Return the arguments of a command of ./reproduce."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def run_command(command: ModuleType, *words: object) -> int:
    """Run a command of ./reproduce; return its status."""
    return command.main(parse(command, *words))

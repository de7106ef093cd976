"""Runs scripts one after another in one process, so that torch, pandas and matplotlib are loaded once.

Started in the folder of a project. Standard input: JSON, a list of command lines; standard output: JSON, a list of
[status, stdout, stderr]. Modules that are named as arguments cannot be imported.
"""

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def run_scripts(
    folder: Path, commands: Iterable[Iterable], library: Path, without: Iterable[str] = ()
) -> list[tuple[int, str, str]]:
    """Run scripts with their arguments in a folder; return status, stdout and stderr of each.

    Args:
        folder: where they run.
        commands: the path of each script, and its arguments.
        library: the folder of the package.
        without: modules that are as good as not installed.
    """
    result = subprocess.run(
        [sys.executable, __file__, *without],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(library), "COLUMNS": "200"},
        input=json.dumps([[str(word) for word in command] for command in commands]),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return [tuple(answer) for answer in json.loads(result.stdout)]


def run(command: list[str]) -> tuple[int, str, str]:
    sys.argv = command
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
    return status, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(sys.argv[1:]))
    print(json.dumps([run(command) for command in json.load(sys.stdin)]))

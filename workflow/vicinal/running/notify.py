"""The command of ``--notify``: tells somebody that a run ended."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from vicinal.errors import warn
from vicinal.running.verdicts import count_verdicts

# The environment of the command, beside that of the run; shown by ./reproduce --help.
VARIABLES = (
    "VICINAL_EXPERIMENT (its name), VICINAL_STATUS (the exit status; 0: all is done), VICINAL_REPRODUCED, "
    "VICINAL_NOT_REPRODUCED and VICINAL_INCONCLUSIVE (numbers of claims; 0 unless all is done)"
)
# Those of ``vicinal.analysis.claims``, which a run does not import: it would load pandas and scipy.
VERDICTS = ("reproduced", "not reproduced", "inconclusive")
# A command that hangs must not keep a run from ending.
SECONDS = 60


def notify(command: str, name: str, status: int, folders: Iterable[Path]) -> None:
    """Run a command of the user in a shell; print a warning if it fails.

    After a run with another exit status than 0, the folders of the experiments may hold older claims.
    """
    verdicts = count_verdicts(folders if status == 0 else [])
    variables = {
        "VICINAL_EXPERIMENT": name,
        "VICINAL_STATUS": str(status),
        **{f"VICINAL_{verdict.upper().replace(' ', '_')}": str(verdicts[verdict]) for verdict in VERDICTS},
    }
    try:
        failed = subprocess.run(["sh", "-c", command], env={**os.environ, **variables}, timeout=SECONDS).returncode
        problem = f"exit status {failed}" if failed else ""
    except subprocess.TimeoutExpired:
        problem = f"has not ended in {SECONDS} s"
    if problem:
        warn(f"--notify: {command}: {problem}")

"""The command line: ./reproduce [COMMAND] [EXPERIMENT] [OPTIONS]."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vicinal.commands import COMMANDS, DEFAULT, command_of
from vicinal.errors import check_text
from vicinal.jobs.lock import check_environment

# ./reproduce takes the active environment then; it counts for every command.
ACTIVE = "--no-venv"


def main() -> int:
    """Run the command that the arguments name, by default a run; return the exit status."""
    check_text("the project's folder", str(Path.cwd()))
    own, snakemake_arguments = split(sys.argv[1:])
    if ACTIVE in own:
        check_environment()
        own = [argument for argument in own if argument != ACTIVE]
    name, rest = (own[0], own[1:]) if own and own[0] in COMMANDS else (DEFAULT, own)
    with interrupted_at_once():
        command, parser = command_of(name)
    args = parser.parse_args(rest)
    if name == DEFAULT:
        return command.main(args, snakemake_arguments)
    if snakemake_arguments:
        parser.error("nothing may follow --: this command does not run Snakemake")
    return command.main(args)


@contextmanager
def interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C kill the process in this block: modules in C that are imported may lose a KeyboardInterrupt."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as for the background jobs of a shell
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return our own arguments, and those for Snakemake, which follow ``--``."""
    if "--" not in arguments:
        return arguments, []
    cut = arguments.index("--")
    return arguments[:cut], arguments[cut + 1 :]

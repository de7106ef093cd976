"""The commands of ./reproduce, a module each with ``add_arguments(parser)`` and ``main(args)``."""

from argparse import RawDescriptionHelpFormatter
from importlib import import_module
from types import ModuleType

from vicinal import __version__
from vicinal.jobs.script import Parser

# Without a command an experiment is run.
DEFAULT = "run"
# command (the name of its module here) → what it does
COMMANDS = {
    "run": "run an experiment (this word can be left out)",
    "plan": "show what would run and why, how long it would take and the disk it needs",
    "status": "show what runs, what is finished and what failed, from any shell",
    "report": "make claims, figures and report again, from the tables only",
    "diff": "show what differs between two experiments, or between one and a run of it with --set",
    "verify": "trace every table and figure to results whose records and checksums agree",
    "gc": "list results that no experiment refers to; remove them on request",
    "new": "write a commented experiment to start from",
    "completion": "print a script that lets the shell complete commands, options and experiments",
}


def command_of(name: str) -> tuple[ModuleType, Parser]:
    """Return the module of a command, and its parser; that of a run names the other commands."""
    command = import_module(f"vicinal.commands.{name}")
    if name == DEFAULT:
        others = "\n".join(f"  {other:<12}{text}" for other, text in COMMANDS.items() if other != DEFAULT)
        parser = Parser(
            RawDescriptionHelpFormatter,
            prog="./reproduce",
            usage="./reproduce [EXPERIMENT] [OPTIONS] [-- SNAKEMAKE OPTIONS]\n       ./reproduce COMMAND --help",
            description="Reproduce 'Beyond Dark Knowledge: Mixup-Based Distillation for Reliable Predictions'.\n\n"
            f"other commands:\n{others}",
        )
        parser.add_argument("--version", action="version", version=f"Vicinal {__version__}")
    else:
        parser = Parser(RawDescriptionHelpFormatter, prog=f"./reproduce {name}", description=command.__doc__)
    command.add_arguments(parser)
    return command, parser

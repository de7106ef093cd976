"""The command line: ./reproduce [COMMAND] [EXPERIMENT] [OPTIONS]."""

import argparse
import sys
from importlib import import_module
from types import ModuleType

from vicinal import __version__
from vicinal.commands import COMMANDS, DEFAULT
from vicinal.jobs.script import Parser


def main() -> int:
    """Run the command that the arguments name, by default a run; return the exit status."""
    own, snakemake_arguments = split(sys.argv[1:])
    name, rest = (own[0], own[1:]) if own and own[0] in COMMANDS else (DEFAULT, own)
    command = import_module(f"vicinal.commands.{name}")
    parser = make_parser(name, command)
    command.add_arguments(parser)
    args = parser.parse_args(rest)
    if name == DEFAULT:
        return command.main(args, snakemake_arguments)
    if snakemake_arguments:
        parser.error("nothing may follow --: this command does not run Snakemake")
    return command.main(args)


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return our own arguments, and those for Snakemake, which follow ``--``."""
    if "--" not in arguments:
        return arguments, []
    cut = arguments.index("--")
    return arguments[:cut], arguments[cut + 1 :]


def make_parser(name: str, command: ModuleType) -> Parser:
    """Return the parser of a command, without its arguments yet; that of a run names the other commands."""
    formatter = argparse.RawDescriptionHelpFormatter
    if name != DEFAULT:
        return Parser(prog=f"./reproduce {name}", description=command.__doc__, formatter_class=formatter)
    others = "\n".join(f"  {other:<12}{text}" for other, text in COMMANDS.items() if other != DEFAULT)
    parser = Parser(
        prog="./reproduce",
        usage="./reproduce [EXPERIMENT] [OPTIONS] [-- SNAKEMAKE OPTIONS]\n       ./reproduce COMMAND --help",
        description="Reproduce 'Beyond Dark Knowledge: Mixup-Based Distillation for Reliable Predictions'.\n\n"
        f"other commands:\n{others}",
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"Vicinal {__version__}")
    return parser

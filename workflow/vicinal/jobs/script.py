"""What the scripts of all jobs share: options, the plan, the lease and the output. Without torch."""

import argparse
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from vicinal.files import write_json
from vicinal.jobs.fingerprint import named_modules, stage_fingerprint
from vicinal.jobs.heartbeat import Heartbeat
from vicinal.jobs.lease import lease
from vicinal.jobs.plan import check_code, read_plan, record_key, student_labels


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of an option, if it has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """The parser of every command and script: an option is written out, as ``--delet`` must not delete."""

    def __init__(self, formatter_class: type[argparse.HelpFormatter] = Formatter, **more: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=formatter_class, **more)

    @property
    def long_options(self) -> list[str]:
        """Return the options that begin with two dashes."""
        return [word for word in self._option_string_actions if word.startswith("--")]


Named = Callable[[dict[str, Any]], tuple[str, ...]]


def job_parser(description: str, stage: str, *, data: bool = False) -> Parser:
    """Return a parser with ``--plan`` and ``--results``, and ``--data`` where the job reads a data store."""
    parser = Parser(description=description)
    parser.add_argument("--plan", type=Path, required=True, help=f"plan file (results/plan/{stage}/ID.json)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder")
    if data:
        add = parser.add_argument
        add("--data", type=Path, required=True, help="record of the data store (results/data/ID/data.json)")
    return parser


def checked_plan(path: Path, stage: str, named: Named = lambda spec: ()) -> dict[str, Any]:
    """Read a job's plan; ``named``: spec → the modules that it names, which are part of the job's code.

    Raises VicinalError: the file is no plan of this stage, or the code changed after it was written.
    """
    plan = read_plan(path, stage)
    check_code(plan, plan["code"], stage_fingerprint(stage, named(plan["spec"])))
    return plan


def measurement_plan(path: Path, stage: str) -> dict[str, Any]:
    """Read the plan of a job that measures. Raises VicinalError: it is none, or the code changed since."""
    plan = read_plan(path, stage)
    for unit in plan["units"].values():
        check_code(plan, unit["code"], stage_fingerprint(stage, named_modules(unit["spec"])))
    return plan


def heartbeat_of(results: Path, plan: dict[str, Any]) -> Heartbeat:
    """Return the heartbeat of a plan's job, which beats within its ``with`` block."""
    return Heartbeat(results, plan["stage"], plan["id"], labels=student_labels(plan))


def import_large(package: str) -> None:
    """Import a large package; no garbage collection looks at what that makes, meanwhile or later.

    What modules make stays until the end. torch makes 180,000 such objects: looking at them took 0.4 s of a short job.
    """
    if package in sys.modules:
        return
    gc.disable()
    try:
        import_module(package)
    finally:
        gc.enable()
    gc.freeze()


@contextmanager
def leased_job(results: Path, plan: dict[str, Any], on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lease of a plan's artefact, and keep the heartbeat, in the block; ``on_wait`` gets the plan's id."""
    with lease(results, plan["id"], lambda: on_wait(plan["id"])), heartbeat_of(results, plan):
        yield


def write_output(path: Path, content: dict[str, Any], plan: dict[str, Any]) -> None:
    """Write a job's output, a JSON file, and beside it the key of the plan."""
    write_json(path, content)
    record_key(path, plan)

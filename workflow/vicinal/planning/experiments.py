"""From the arguments of a command to the experiments that they name, validated, and to what those ask for."""

import argparse
import os
import shlex
from pathlib import Path
from typing import Any

from vicinal.config import (
    GRID_KEYS,
    SHORT_KEYS,
    Execution,
    Experiment,
    experiment_file,
    read_config,
    run_name,
    validate,
)
from vicinal.errors import VicinalError, describe
from vicinal.jobs.device import whole_number
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.plans import resolve
from vicinal.planning.problems import Problem
from vicinal.planning.skipped import collection_name

RESULTS = Path("results")
EXPERIMENTS = Path("experiments")
# The config of the last run, or of the one in progress.
SNAPSHOT = RESULTS / "plan" / "config.yaml"
SETTINGS = f"Short keys of --set: {', '.join([*SHORT_KEYS, *GRID_KEYS])}; any field by its path, e.g. recipe.lr=0.1."


def add_experiment_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment and ``--set``."""
    parser.add_argument(
        "experiment", nargs="?", help="name of a file in experiments/, or a config file; default: config.yaml"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, value in YAML form; repeatable",
    )


def add_cores_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--cores``."""
    cores = len(os.sched_getaffinity(0))
    parser.add_argument(
        "--cores", type=whole_number, default=cores, help="CPU cores to use (default: all, %(default)s)"
    )


def read_experiments(args: argparse.Namespace) -> tuple[str, list[Experiment], str]:
    """Return the name of what is run, its validated experiments, and what to call their config in messages.

    Raises VicinalError: there is no such experiment, or its config is wrong.
    """
    file = config_file(args.experiment)
    where = f"{file} with --set" if args.set else str(file)
    config = read_config(file)
    experiments = validate(config, where, args.set)
    return run_name(config, experiments, args.set), experiments, where


def config_file(experiment: str | None) -> Path:
    """Return the config file that an argument names. Raises VicinalError: there is none."""
    if experiment is None:
        return Path("config.yaml")
    if experiment.endswith((".yaml", ".yml")):
        return Path(experiment)
    return experiment_file(experiment)


def run_command(args: argparse.Namespace) -> str:
    """Return the command that runs what the arguments name."""
    experiment = [args.experiment] if args.experiment else []
    return shlex.join(["./reproduce", *experiment, *(word for text in args.set for word in ("--set", text))])


def dump(name: str, experiments: list[Experiment]) -> dict[str, Any]:
    """Return the config of validated experiments, defaults filled in, as it is written and read again."""
    dumped = [experiment.model_dump(mode="json") for experiment in experiments]
    if name == experiments[0].name:
        return dumped[0]
    root, plus, _ = name.partition("+")
    return {"name": name, "variant_of": root if plus else None, "experiments": dumped}


def read_artefacts(args: argparse.Namespace) -> tuple[str, Artefacts, Execution]:
    """Return the name of what would be run, the artefacts it asks for, and how they are made; writes nothing.

    Raises VicinalError: the config is wrong, or its data cannot be found.
    """
    name, experiments, where = read_experiments(args)
    return name, *resolve_named(name, experiments, where)


def resolve_named(
    name: str, experiments: list[Experiment], where: str, missing: list[Problem] | None = None
) -> tuple[Artefacts, Execution]:
    """Return what the experiments of a config ask for, and how it is made; ``missing`` is that of ``source_of``.

    Several are a collection of that name; so is a single one, if the others were left out
    (``vicinal.planning.skipped``). Raises VicinalError: they cannot run together, or their data cannot be found.
    """
    return resolve(experiments, where, RESULTS, collection_name(name, [e.name for e in experiments], RESULTS), missing)


def resolve_each(
    name: str, experiments: list[Experiment], where: str, with_missing: bool = False
) -> tuple[Artefacts | None, Execution | None, list[Problem]]:
    """Return what the experiments that can run ask for, how it is made, and what is wrong with the others.

    None and None where none of several can run. ``with_missing``: those that only lack data which a user must get by
    hand are planned too (``source_of``). Raises VicinalError: there is only one experiment, and its data cannot be
    found; or they cannot run together.
    """
    missing: list[Problem] | None = [] if with_missing else None
    try:
        return *resolve_named(name, experiments, where, missing), missing or []
    except VicinalError as error:
        if len(experiments) == 1:
            raise
        together = error
    problems: list[Problem] = []
    resolved = []
    for experiment in experiments:
        try:
            resolve([experiment], where, RESULTS, missing=missing)
            resolved.append(experiment)
        except VicinalError as error:
            problems += [Problem(line, (experiment.name,)) for line in describe(error).splitlines()]
    if not problems:
        raise together
    if not resolved:
        return None, None, problems
    artefacts, execution = resolve(resolved, where, RESULTS, name, missing)
    return artefacts, execution, [*dict.fromkeys(missing or []), *problems]

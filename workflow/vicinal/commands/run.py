"""Run an experiment: train, measure, test the claims, draw and report what is not there yet."""

import argparse
import os
import time
from pathlib import Path

import yaml

from vicinal.commands.experiment import (
    RESULTS,
    SETTINGS,
    SNAPSHOT,
    add_cores_argument,
    add_experiment_arguments,
    dump,
    read_experiments,
)
from vicinal.figures import FIGURES
from vicinal.files import write_text
from vicinal.grid import Artefacts
from vicinal.head import head_lock, run_snakemake, run_snakemake_as_it_is, unlock_snakemake
from vicinal.planning import build_plans, resolve

EPILOG = f"Anything after -- goes to Snakemake as it is, e.g. -- --dry-run. {SETTINGS}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    add_experiment_arguments(parser)
    add_cores_argument(parser)
    parser.add_argument(
        "--accept-code",
        action="store_true",
        help="keep the results that the present code would make anew; their records will say so",
    )
    parser.add_argument("--unlock", action="store_true", help="remove the lock of a Snakemake that runs no more")
    parser.add_argument(
        "--no-venv", action="store_true", help="use the active environment, if it satisfies the lock file"
    )
    parser.epilog = EPILOG


def main(args: argparse.Namespace, snakemake_arguments: list[str]) -> int:
    """Run an experiment; return the exit status.

    Args:
        args: see ``add_arguments``.
        snakemake_arguments: if there are any, Snakemake runs with them and shows its own output.
    """
    began = time.monotonic()
    name, experiments, where = read_experiments(args)
    with head_lock(RESULTS) as lock:
        artefacts, execution = resolve(experiments, where, RESULTS, name if len(experiments) > 1 else None)
        # Snakemake and its jobs read this copy: what is edited meanwhile changes the next run only.
        write_text(SNAPSHOT, yaml.safe_dump(dump(name, experiments), sort_keys=False))
        print(describe(artefacts), flush=True)
        arguments = ["--configfile", str(SNAPSHOT), "--cores", str(args.cores), *_gpus(execution.device)]
        unlock_snakemake(lock, arguments, args.unlock)
        if args.accept_code:
            from vicinal.acceptance import accept_code

            for line in accept_code(build_plans(artefacts), RESULTS):
                print(line, flush=True)
        if snakemake_arguments:
            return run_snakemake_as_it_is([*arguments, *snakemake_arguments], lock)
        status = run_snakemake(arguments, RESULTS / "logs", lock)
    if status == 0:
        _say_where(artefacts, time.monotonic() - began)
    return status


def describe(artefacts: Artefacts) -> str:
    """Return one line a study: what it consists of."""
    return "\n".join(
        f"{name}: {study.store.spec['name']}, {_count(study.roles, 'teacher')}, {_count(study.roles, 'student')}, "
        f"seeds {', '.join(map(str, study.experiment.seeds))}"
        for name, study in artefacts.studies.items()
    )


def _count(roles: dict[str, int], role: str) -> str:
    number = roles.get(role, 0)
    return f"{number} {role}{'' if number == 1 else 's'}"


def _gpus(device: str) -> list[str]:
    """Return Snakemake's arguments for the GPUs of this machine: jobs take turns on one."""
    present = Path("/proc/driver/nvidia/gpus").is_dir() or os.environ.get("CUDA_VISIBLE_DEVICES")
    return ["--resources", "gpu=1"] if present and device != "cpu" else []


def _say_where(artefacts: Artefacts, seconds: float) -> None:
    for name in artefacts.studies:
        folder = RESULTS / name
        print(f"{name}: figures in {folder}/figures ({', '.join(FIGURES)}; PDF, PNG and their data)")
        print(f"{name}: report in {folder}/report.html, verdicts on the claims in {folder}/claims.md")
        print(f"{name}: tables in {folder}: summary.csv (mean, sd, n over seeds), metrics.parquet, vicinal.parquet, …")
    if artefacts.collection:
        print(f"{artefacts.collection}: report over all of them in {RESULTS / artefacts.collection}/report.html")
    print(f"finished after {seconds // 60:.0f} min {seconds % 60:.0f} s", flush=True)

"""The command line: from an experiment's name to a finished run."""

import argparse
import os
import sys
import time
from pathlib import Path

import yaml

from vicinal.config import GRID_KEYS, SHORT_KEYS, Experiment, experiment_file, read_config, validate
from vicinal.figures import FIGURES
from vicinal.files import write_text
from vicinal.grid import Artefacts
from vicinal.head import head_lock, run_snakemake, run_snakemake_as_it_is, unlock_snakemake
from vicinal.planning import plan_experiments

RESULTS = Path("results")
SNAPSHOT = RESULTS / "plan" / "config.yaml"


def main() -> int:
    """Run an experiment; return the exit status."""
    args, snakemake_arguments = parse(sys.argv[1:])
    began = time.monotonic()
    file = config_file(args.experiment)
    where = f"{file} with --set" if args.set else str(file)
    experiments = validate(read_config(file), where, args.set)
    with head_lock(RESULTS) as lock:
        artefacts, execution = plan_experiments(
            _snapshot(file.stem, experiments), where, Path("experiments"), write=False
        )
        print(describe(artefacts), flush=True)
        arguments = ["--configfile", str(SNAPSHOT), "--cores", str(args.cores), *_gpus(execution.device)]
        unlock_snakemake(arguments)
        if snakemake_arguments:
            return run_snakemake_as_it_is([*arguments, *snakemake_arguments], lock)
        status = run_snakemake(arguments, RESULTS / "logs", lock)
    if status == 0:
        _say_where(artefacts, time.monotonic() - began)
    return status


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the parsed arguments, and those for Snakemake, which stand after ``--``."""
    own, snakemake_arguments = arguments, []
    if "--" in arguments:
        cut = arguments.index("--")
        own, snakemake_arguments = arguments[:cut], arguments[cut + 1 :]
    parser = argparse.ArgumentParser(
        prog="./reproduce",
        description="Reproduce 'Beyond Dark Knowledge: Mixup-Based Distillation for Reliable Predictions'.",
        epilog="Anything after -- goes to Snakemake as it is, e.g. -- --dry-run. "
        f"Short keys of --set: {', '.join([*SHORT_KEYS, *GRID_KEYS])}; any field by its path, e.g. recipe.lr=0.1.",
    )
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
    parser.add_argument(
        "--cores", type=int, default=len(os.sched_getaffinity(0)), help="CPU cores to use (default: all, %(default)s)"
    )
    parser.add_argument(
        "--no-venv", action="store_true", help="use the active environment, if it satisfies the lock file"
    )
    args = parser.parse_args(own)
    if args.cores < 1:
        parser.error("--cores: must be at least 1")
    return args, snakemake_arguments


def config_file(experiment: str | None) -> Path:
    """Return the config file that ``experiment`` names.

    Raises:
        VicinalError: there is none; the nearest names are suggested.
    """
    if experiment is None:
        return Path("config.yaml")
    if experiment.endswith((".yaml", ".yml")):
        return Path(experiment)
    return experiment_file(experiment)


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


def _snapshot(name: str, experiments: list[Experiment]) -> dict:
    """Write the validated config for this run and return it: what is edited meanwhile changes the next run only."""
    dumped = [experiment.model_dump(mode="json") for experiment in experiments]
    config = dumped[0] if len(dumped) == 1 else {"name": name, "experiments": dumped}
    write_text(SNAPSHOT, yaml.safe_dump(config, sort_keys=False))
    return config


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
    print(f"finished after {seconds // 60:.0f} min {seconds % 60:.0f} s", flush=True)

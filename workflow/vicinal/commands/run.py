"""Run an experiment: train, measure, test the claims, draw and report whatever is not there yet."""

import argparse
import time
from datetime import timedelta
from functools import partial

from vicinal.config import Execution, Experiment, write_yaml
from vicinal.errors import VicinalError
from vicinal.files import write_text
from vicinal.jobs.gpus import visible_devices
from vicinal.planning.artefacts import Artefacts, Study
from vicinal.planning.changes import find_changes
from vicinal.planning.experiments import (
    RESULTS,
    SETTINGS,
    SNAPSHOT,
    add_cores_argument,
    add_experiment_arguments,
    dump,
    read_experiments,
    resolve_each,
    resolve_named,
)
from vicinal.planning.plans import build_plans
from vicinal.planning.problems import ERROR, reasons, refuse
from vicinal.planning.skipped import write_skipped
from vicinal.running.console import make_console
from vicinal.running.last_run import is_last_run, write_last_run
from vicinal.running.notify import VARIABLES, notify
from vicinal.running.preflight import find_problems, unwritable
from vicinal.running.retrain import retrain
from vicinal.running.runner import (
    SNAKEMAKE,
    SNAKEMAKE_ON_SLURM,
    head_lock,
    run_snakemake,
    run_snakemake_as_it_is,
    unlock_snakemake,
)
from vicinal.running.slurm import prepare_cluster, with_cluster
from vicinal.running.time_left import planned_seconds
from vicinal.running.tracking import Tracker
from vicinal.running.verdicts import read_verdicts, verdict_table
from vicinal.words import count, ranges

EPILOG = f"Anything after -- goes to Snakemake as it is, e.g. -- --dry-run. {SETTINGS}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    add_experiment_arguments(parser)
    add_cores_argument(parser)
    parser.add_argument(
        "--slurm",
        action="store_true",
        help="send the jobs to the SLURM cluster that profiles/slurm/cluster.yaml describes (workflow/docs/cluster.md)",
    )
    parser.add_argument(
        "--skip-missing",
        action="store_true",
        help="of several experiments, run those whose data and weights are there or can be downloaded; the combined "
        "report names the others",
    )
    parser.add_argument(
        "--accept-code",
        action="store_true",
        help="keep the results that the present code would make again; their records will say so",
    )
    parser.add_argument(
        "--retrain",
        action="append",
        default=[],
        metavar="PATTERN",
        help="train finished models anew whose ids match, e.g. 'resnet8_*'; says first which, and asks on a terminal; "
        "repeatable (workflow/docs/changing.md)",
    )
    parser.add_argument("--unlock", action="store_true", help="remove the lock of a Snakemake that has ended")
    parser.add_argument(
        "--notify",
        metavar="COMMAND",
        help=f"a line of the shell to run when the run ends; in its environment: {VARIABLES}",
    )
    parser.add_argument(
        "--no-venv",
        action="store_true",
        help="use the active environment, if it satisfies the lock file; the other commands know this option too",
    )
    parser.epilog = EPILOG


def main(args: argparse.Namespace, snakemake_arguments: list[str]) -> int:
    """Run an experiment, and the command of ``--notify`` when it ends; return the exit status.

    Args:
        args: see ``add_arguments``.
        snakemake_arguments: if there are any, Snakemake runs with them and shows its own output.
    """
    if args.notify is None:
        return run(args, snakemake_arguments)
    name, experiments, _ = read_experiments(args)
    status = 1
    try:
        status = run(args, snakemake_arguments)
        return status
    finally:
        notify(args.notify, name, status, [RESULTS / experiment.name for experiment in experiments])


def run(args: argparse.Namespace, snakemake_arguments: list[str]) -> int:
    """Run an experiment; return the exit status. The arguments are those of ``main``."""
    began = time.monotonic()
    name, experiments, where = read_experiments(args)
    if not args.slurm and any(text.startswith("cluster") for text in args.set):
        raise VicinalError("--set cluster: says where --slurm sends its jobs; add --slurm, or leave it out")
    if args.retrain and (snakemake_arguments or args.accept_code):
        other = "--accept-code" if args.accept_code else "options for Snakemake"
        raise VicinalError(f"--retrain: not together with {other}: start two runs, one with each")
    experiments = with_cluster(experiments, args.slurm)
    # With arguments of its own Snakemake may run anything, or nothing; and accepted results need not run.
    checked = args.skip_missing or not (snakemake_arguments or args.accept_code)
    if checked and (closed := unwritable(RESULTS)):
        select(name, experiments, where, args)  # names all problems, not only this one
        refuse(closed)
    with head_lock(RESULTS) as lock:
        if checked:
            experiments, skipped = select(name, experiments, where, args)
            if name != experiments[0].name:
                write_skipped(RESULTS, name, skipped)
        artefacts, execution = resolve_named(name, experiments, where)
        tracker = Tracker(RESULTS) if execution.track and not snakemake_arguments else None
        # Snakemake and its jobs read this copy, so that edits during the run only change the next one.
        write_text(SNAPSHOT, _config_text(name, experiments))
        print(describe(artefacts), flush=True)
        config = ["--configfile", str(SNAPSHOT)]
        unlock_snakemake(lock, [*config, "--cores", "1"], args.unlock)
        if args.accept_code:
            from vicinal.audit.acceptance import accept_code

            for line in accept_code(build_plans(artefacts), RESULTS):
                print(line, flush=True)
        if args.retrain:
            retrain(build_plans(artefacts), args.retrain, RESULTS)
        if args.slurm:
            on_slurm = prepare_cluster(artefacts, execution, name, args.cores, RESULTS)
            command = [*SNAKEMAKE_ON_SLURM, *config, *on_slurm]
        else:
            command = [*SNAKEMAKE, *config, "--cores", str(args.cores), *_gpus(execution)]
        planned = dict if args.slurm else partial(planned_seconds, artefacts, execution, args.cores, RESULTS)
        if snakemake_arguments:
            return run_snakemake_as_it_is([*command, *snakemake_arguments], lock)
        status = run_snakemake(command, RESULTS, lock, planned, tracker)
        if status == 0:
            write_last_run(_config_text(name, experiments), RESULTS)
    if status == 0:
        _show_results(artefacts, time.monotonic() - began)
    return status


def select(
    name: str, experiments: list[Experiment], where: str, args: argparse.Namespace
) -> tuple[list[Experiment], dict[str, str]]:
    """Return the experiments that can run, and those that are left out, each with the reason; print warnings.

    Raises:
        VicinalError: something that a run needs is missing, and ``--skip-missing`` does not help; one line a problem.
    """
    artefacts, execution, problems = resolve_each(name, experiments, where)
    if artefacts is not None and not problems and is_last_run(artefacts, _config_text(name, experiments), RESULTS):
        return experiments, {}
    if artefacts is not None and execution is not None:
        changes = find_changes(build_plans(artefacts), RESULTS)
        problems += find_problems(artefacts, execution, RESULTS, changes, args.slurm, partial(print, flush=True))
    skipped = reasons(problems) if args.skip_missing else {}
    rest = [experiment for experiment in experiments if experiment.name not in skipped]
    if not (skipped and rest):
        for problem in problems:
            if problem.kind != ERROR:
                print(problem, flush=True)
        refuse(problems)
        return experiments, {}
    for left_out, reason in skipped.items():
        print(f"left out: {left_out}: {reason}", flush=True)
    rest, more = select(name, rest, where, args)
    return rest, {**skipped, **more}


def _config_text(name: str, experiments: list[Experiment]) -> str:
    return write_yaml(dump(name, experiments))


def describe(artefacts: Artefacts) -> str:
    """Return a line for each study: what it consists of."""
    return "\n".join(
        f"{name}: {study.store.spec['name']}, {_models(study)}, seeds {ranges(study.experiment.seeds)}"
        for name, study in artefacts.studies.items()
    )


def _models(study: Study) -> str:
    return ", ".join(count(study.roles.get(role, 0), role) for role in ("teacher", "student"))


def _gpus(execution: Execution) -> list[str]:
    """Return Snakemake's arguments for how many jobs the GPUs of this machine take at once (``jobs.gpu_slots``)."""
    if execution.device == "cpu":
        return []
    present = len(visible_devices())
    used = min(present, 1) if ":" in execution.device else present
    return ["--resources", f"gpu={used * execution.gpu_slots}"] if used else []


def _show_results(artefacts: Artefacts, seconds: float) -> None:
    """Print the verdicts, and where everything is."""
    console = make_console()
    for name in artefacts.studies:
        folder = RESULTS / name
        if lines := read_verdicts(folder):
            console.print(verdict_table(name, lines))
        print(f"{name}: report in {folder}/report.html, every test in claims.md beside it, figures in figures/, tables")
    if artefacts.collection:
        print(f"{artefacts.collection}: report over all of them in {RESULTS / artefacts.collection}/report.html")
    print(f"finished after {timedelta(seconds=round(seconds))}", flush=True)

"""Say what would run and why, how long it would take and the disk it needs; nothing is run."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from vicinal.commands.experiment import (
    RESULTS,
    SETTINGS,
    add_cores_argument,
    add_experiment_arguments,
    read_experiments,
    resolve_each,
)
from vicinal.problems import Problem, errors_of, refuse

ELSEWHERE = "Times are for this machine; for a GPU of another one add --set execution.device=cuda."
# The fields of --json; test_command_plan.py compares them with what is printed.
SCHEMA = """
--json prints one object:
  experiment  its name
  jobs        those that would run, upstream ones first: {rule, stage, id, reasons, train (ids of the models to be
              trained), seconds, source (of the estimate), runs (that it rests on)}
  stages      {stage, wanted, run, train, keep}: numbers of jobs, and of models trained and kept (null: has none)
  totals      {jobs, students, students_kept, teachers, teachers_kept, cluster_jobs (rule → number)}
  time        {device, hardware, device_hours (of the GPU, or of cores), other_core_hours, wall_seconds, slots (jobs at
              a time), sources (words → number of jobs)}
  disk        {parts (name → bytes), needed, free (bytes), fits}
  notes       what else is to be known beforehand, a line each: why corrupted images are left out, or not there yet
  problems    what stands in the way: {kind (error, warning, note), text, experiments (that it keeps from running;
              empty: all)}; a run with an error stops before the first job
  budget      with --budget-hours: {hours, device, cost_hours, wall_seconds, students, complete (all are chosen), chosen
              (list of {rank, what, seeds, students, cost_hours}), left_out (the same), claims (claim → [cells with 3
              seeds or more, cells wanted]), command}; else null"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the plan."""
    add_experiment_arguments(parser)
    add_cores_argument(parser)
    parser.add_argument("--all", action="store_true", help="list every job with all its reasons")
    parser.add_argument("--json", action="store_true", help="print JSON for other programs; its fields: see below")
    parser.add_argument(
        "--budget-hours",
        type=_hours,
        metavar="H",
        help="say what fits in H hours of the GPU, or of CPU cores where none is used; most valuable contrasts first",
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="with --budget-hours: write what fits as an experiment (YAML)"
    )
    parser.epilog = f"{SETTINGS}\n{ELSEWHERE}\n{SCHEMA}"


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number of hours above 0")
    return hours


def main(args: argparse.Namespace) -> int:
    """Print the plan; return the exit status."""
    from rich.console import Console

    from vicinal.errors import VicinalError
    from vicinal.estimate.display import show, show_lines
    from vicinal.estimate.overview import make_overview
    from vicinal.preflight import find_problems

    if args.write and args.budget_hours is None:
        raise VicinalError("--write: needs --budget-hours, which says what is written")
    if args.write and args.write.suffix not in (".yaml", ".yml"):
        raise VicinalError(f"--write {args.write}: must end with .yaml, as the files of experiments do")
    name, experiments, where = read_experiments(args)
    artefacts, execution, problems = resolve_each(name, experiments, where)
    if artefacts is None:
        refuse(problems)
    overview = make_overview(name, artefacts, execution, args.cores, RESULTS)
    problems += find_problems(artefacts, execution, RESULTS, overview.changes, say=_say)
    budget = None
    if args.budget_hours is not None:
        from vicinal.budget import choose  # pandas takes a while to load

        budget = choose(overview, args)
    if args.json:
        listed = {"problems": [asdict(problem) for problem in problems]}
        print(json.dumps({**overview.as_json(), **listed, "budget": budget and budget.as_json()}, indent=1))
        return 0
    console = Console(soft_wrap=False)
    show(overview, console, args.all)
    show_lines(preflight_lines(problems, bool(overview.changes)), console)
    if budget is not None:
        show_lines(budget.lines(args.all), console)
    return 0


def preflight_lines(problems: list[Problem], has_jobs: bool) -> list[str]:
    """Return what ``./reproduce`` would check before its first job, a line each; nothing where there is no job."""
    if not has_jobs and not problems:
        return []
    errors = len(errors_of(problems))
    ready = "a run would stop before the first job:" if errors else "all that a run needs is there, or can be had"
    return [f"before: {ready}", *(f"        {problem}" for problem in problems)]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

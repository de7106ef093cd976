"""Say what would run and why, how long it would take and the disk it needs; nothing is run."""

import argparse
import json
import sys
from dataclasses import asdict

from vicinal.planning.experiments import (
    RESULTS,
    SETTINGS,
    add_cores_argument,
    add_experiment_arguments,
    read_experiments,
    resolve_each,
)
from vicinal.planning.problems import Problem, errors_of, refuse

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
  blocks      what each block of the grid alone asks for of the above, so what leaving it out would save: {name, what
              (its content), students, teachers (that would be trained), hours (of the GPU, or of cores)}; the last one,
              shared: what several ask for, counted once
  seeds       the same of each seed"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the plan."""
    add_experiment_arguments(parser)
    add_cores_argument(parser)
    parser.add_argument("--all", action="store_true", help="list every job with all its reasons")
    parser.add_argument("--json", action="store_true", help="print JSON for other programs; its fields: see below")
    parser.epilog = f"{SETTINGS}\n{ELSEWHERE}\n{SCHEMA}"


def main(args: argparse.Namespace) -> int:
    """Print the plan; return the exit status."""
    from rich.console import Console

    from vicinal.running.estimate.display import show, show_lines
    from vicinal.running.estimate.overview import make_overview
    from vicinal.running.preflight import find_problems

    name, experiments, where = read_experiments(args)
    artefacts, execution, problems = resolve_each(name, experiments, where)
    if artefacts is None:
        refuse(problems)
    overview = make_overview(name, artefacts, execution, args.cores, RESULTS)
    problems += find_problems(artefacts, execution, RESULTS, overview.changes, say=_say)
    if args.json:
        listed = {"problems": [asdict(problem) for problem in problems]}
        print(json.dumps({**overview.as_json(), **listed}, indent=1))
        return 0
    console = Console(soft_wrap=False)
    show(overview, console, args.all)
    show_lines(preflight_lines(problems, bool(overview.changes)), console)
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

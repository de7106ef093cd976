"""Show what would run and why, how long it would take and the disk it needs; runs nothing."""

import argparse
import json
from dataclasses import asdict

from vicinal.errors import say
from vicinal.planning.changes import find_changes
from vicinal.planning.experiments import (
    RESULTS,
    SETTINGS,
    add_cores_argument,
    add_experiment_arguments,
    read_experiments,
    resolve_each,
)
from vicinal.planning.plans import build_plans
from vicinal.planning.problems import Problem, errors_of, refuse

ELSEWHERE = "Times are for this machine; for a GPU elsewhere add --set execution.device=cuda."
# The fields of --json; test_command_plan.py compares them with what is printed.
SCHEMA = """
--json prints one object:
  experiment  its name
  jobs        those that would run, upstream ones first: {rule, stage, id, reasons, train (ids of the models that it
              would train), seconds, source (of this estimate), runs (recorded ones that it rests on)}
  stages      {stage, wanted, run, train, keep}: numbers of jobs, and of models trained and kept (null: trains none)
  totals      {jobs, students, students_kept, teachers, teachers_kept, cluster_jobs (rule → number)}
  time        {device, hardware, device_hours (of the GPU, or of cores), other_core_hours, wall_seconds, slots (jobs at
              a time), cores, threads (of a job), sources (words → number of jobs)}
  disk        {parts (name → bytes), needed, free (bytes), fits}
  energy      {kwh, co2_kg, cost, currency} of the jobs on the device; null: execution.energy says no power
  left_out    names of experiments that cannot run and that these numbers leave out; if there are any, the exit status
              is 1
  notes       what else to know beforehand, a line each: why corrupted images are left out, or not there yet
  problems    what stands in the way: {kind (error, warning, note), text, experiments (that cannot run because of it;
              empty: all)}; a run with an error stops before the first job
  blocks      what leaving out each block of the grid would save: {name, what (its content), students, teachers (that
              would be trained), hours (of the GPU, or of cores)}; the last one, shared: what several ask for
  seeds       the same for each seed"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the plan."""
    add_experiment_arguments(parser)
    add_cores_argument(parser)
    parser.add_argument("--all", action="store_true", help="list every job with all its reasons")
    parser.add_argument("--json", action="store_true", help="print JSON for other programs; its fields: see below")
    parser.epilog = f"{SETTINGS}\n{ELSEWHERE}\n{SCHEMA}"


def main(args: argparse.Namespace) -> int:
    """Print the plan; return the exit status."""
    from vicinal.running.console import make_console
    from vicinal.running.estimate.display import show, show_lines
    from vicinal.running.estimate.overview import make_overview
    from vicinal.running.preflight import find_problems

    name, experiments, where = read_experiments(args)
    artefacts, execution, problems = resolve_each(name, experiments, where, with_missing=True)
    if artefacts is None or execution is None:
        refuse(problems)
        return 1
    left_out = [experiment.name for experiment in experiments if experiment.name not in artefacts.studies]
    plans = list(build_plans(artefacts))
    changes = find_changes(plans, RESULTS)
    overview = make_overview(name, artefacts, plans, changes, execution, args.cores, RESULTS) | {"left_out": left_out}
    problems += find_problems(artefacts, execution, RESULTS, changes, say=say)
    if args.json:
        listed = {"problems": [asdict(problem) for problem in problems]}
        print(json.dumps(overview | listed, indent=1))
    else:
        console = make_console()
        show(overview, console, args.all)
        show_lines(preflight_lines(problems, bool(changes)), console)
    return int(bool(left_out))


def preflight_lines(problems: list[Problem], has_jobs: bool) -> list[str]:
    """Return what ``./reproduce`` would find before its first job, a line each; nothing where there is no job."""
    if not has_jobs and not problems:
        return []
    ready = "all that a run needs is there or can be downloaded"
    if errors_of(problems):
        ready = "a run would stop before the first job:"
    return [f"before: {ready}", *(f"        {problem}" for problem in problems)]

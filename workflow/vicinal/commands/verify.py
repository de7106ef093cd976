"""Trace every table and figure to results whose records, code and checksums agree; changes nothing.

Exit status: 0 if all agree, 1 if there are problems (with --strict also if there are mixtures)."""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

from vicinal.audit.verify.findings import RUN
from vicinal.errors import VicinalError, say
from vicinal.planning.experiments import RESULTS, SETTINGS, add_experiment_arguments, read_artefacts, run_command
from vicinal.planning.plans import build_plans
from vicinal.results import TRAINED
from vicinal.running.status import find_head
from vicinal.words import count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_experiment_arguments(parser)
    parser.add_argument(
        "--from",
        type=Path,
        dest="folder",
        metavar="DIR",
        help="check a folder of tables and figures (e.g. results/published/digits) as far as its own records go",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="count mixtures of code, versions or devices, and versions that are not locked, as problems",
    )
    parser.add_argument("--all", action="store_true", help="show each problem, even if there are many")
    parser.add_argument("--json", action="store_true", help="print one JSON object: problems, notes, mixtures, counts")
    parser.epilog = SETTINGS


def main(args: argparse.Namespace) -> int:
    """Verify an experiment or a folder; return the exit status."""
    if args.folder is not None:
        if args.experiment or args.set:
            raise VicinalError("--from: a folder is checked by its own records; leave out the experiment and --set")
        from vicinal.audit.verify.analysis import verify_folder

        name, ledger = str(args.folder), verify_folder(args.folder)
    else:
        from vicinal.audit.verify.artefacts import verify  # NumPy and pyarrow take a while to load

        again = f"run {run_command(args)}"
        name, artefacts, _ = read_artefacts(args)
        plans, names = list(build_plans(artefacts)), [*artefacts.studies, *filter(None, [artefacts.collection])]
        if not any((RESULTS / plan.output).exists() for plan in plans if plan.stage in (*TRAINED, "experiments")):
            raise VicinalError(f"{RESULTS}: {name} was never run here: there is nothing to verify; {again}")
        if find_head(RESULTS).running:
            say("a run is working here: what it has not finished is reported as missing or stale")
        ledger = verify(plans, RESULTS, names)
        ledger.problems = [replace(each, remedy=each.remedy.replace(RUN, again)) for each in ledger.problems]
    failed = bool(ledger.problems) or (args.strict and bool(ledger.mixtures))
    read = len({*ledger.sums, *ledger.records})
    if args.json:
        problems = [{**asdict(problem), "path": str(problem.path)} for problem in ledger.problems]
        found = {"problems": problems, "notes": ledger.notes, "mixtures": ledger.mixtures}
        counts = {"models": ledger.models, "files": read}
        print(json.dumps({"name": name, "agrees": not failed, **counts, **found}, indent=1))
    else:
        for line in [*ledger.lines(args.all), *(f"note: {note}" for note in [*ledger.notes, *ledger.mixtures])]:
            print(line)
        verdict = "all agree" if ledger.sums else "nothing could be checked"
        if args.strict and ledger.mixtures:
            verdict = "the notes count as problems (--strict)"
        verdict = count(len(ledger.problems), "problem") if ledger.problems else verdict
        print(f"{name}: {count(ledger.models, 'model')}, {count(read, 'file')}: {verdict}")
    return int(failed)

"""Take over results that were made on another machine, after verifying them there by their own records.

DIR is a results folder, or a project folder that holds one. What is missing here is copied, what is here is kept; a
result that is damaged there, or another one than here, is named and left out, and the exit status is 1.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from vicinal.commands.experiment import RESULTS
from vicinal.commands.gc import check_no_snakemake
from vicinal.head import head_lock

if TYPE_CHECKING:
    from vicinal.importing.state import Survey, Unit

QUIET = 2.0
WORDS = {
    "data": "data store",
    "downloads": "record of a download",
    "teachers": "teacher",
    "students": "student",
    "cohorts": "cohort",
    "measurements": "measured model",
    "evaluations": "evaluation",
    "corruptions": "corrupted-image record",
    "robustness": "corrupted-image evaluation",
    "experiments": "experiment",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the other results folder, or its project folder")
    parser.add_argument("--dry-run", action="store_true", help="list what would be imported, and copy nothing")
    parser.add_argument("--all", action="store_true", help="show each problem, however many there are")


def main(args: argparse.Namespace) -> int:
    """Import; return the exit status."""
    from vicinal.importing import find_results, survey_results

    there = find_results(args.folder, RESULTS)
    if args.dry_run:
        survey = survey_results(there, RESULTS)
        for unit in survey.units:
            print(f"would import {unit.place if unit.whole else unit.place / unit.files[-1]}")
        return report(survey, survey.units, there, args, "to import")
    with head_lock(RESULTS):
        check_no_snakemake()
        survey = survey_results(there, RESULTS)
        done = copy(there, survey.units)
    return report(survey, done, there, args, "imported")


def copy(there: Path, units: "list[Unit]") -> "list[Unit]":
    """Copy everything, with a line every few seconds; return what was copied."""
    from vicinal.importing.copying import check_disk, copy_units, unit_bytes
    from vicinal.verify.findings import size

    sizes = [unit_bytes(there, unit) for unit in units]
    check_disk(sum(sizes), RESULTS)
    done, said = [], time.monotonic()
    for unit in copy_units(there, RESULTS, units):
        done.append(unit)
        if time.monotonic() - said > QUIET:
            said = time.monotonic()
            so_far = f"{size(sum(sizes[: len(done)]))} of {size(sum(sizes))}"
            print(f"{len(done)} of {len(units)} copied, {so_far}", file=sys.stderr, flush=True)
    return done


def report(survey: "Survey", done: "list[Unit]", there: Path, args: argparse.Namespace, verb: str) -> int:
    """Say what was imported, what not, and what to do next; return the exit status."""
    from vicinal.importing.copying import unit_bytes
    from vicinal.verify.findings import count, size

    for line in survey.findings.lines(args.all):
        print(line)
    for note in survey.findings.notes:
        print(f"note: {note}")
    for stage, number in survey.other_code.items():
        print(
            f"note: {count(number, WORDS[stage])} made by other code than this: ./reproduce plan shows what would be "
            "made anew, ./reproduce --accept-code keeps it"
        )
    number = Counter(unit.stage for unit in done)
    listed = ", ".join(count(number[stage], word) for stage, word in WORDS.items() if number[stage])
    total = size(sum(unit_bytes(there, unit) for unit in done))
    print(f"{verb}: {listed}, {total}" if done else f"nothing {verb}")
    if survey.present:
        print(f"here already: {', '.join(count(survey.present[s], w) for s, w in WORDS.items() if survey.present[s])}")
    if conflicts := sum(problem.kind == "conflict" for problem in survey.findings.problems):
        print(f"conflicts: {conflicts}, kept what is here")
    if bad := len(survey.findings.problems) - conflicts:
        print(f"not whole there: {bad}, not imported")
    for name in survey.experiments:
        print(f"next: ./reproduce {name}")
    return int(bool(survey.findings.problems))

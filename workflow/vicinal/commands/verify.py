"""Trace every table and figure to results whose records, code and checksums agree; changes nothing.

Exit status: 0 if all agree, 1 if there are problems (with --strict also if there are mixtures)."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vicinal.errors import VicinalError
from vicinal.planning.experiments import RESULTS, SETTINGS, add_experiment_arguments, read_artefacts
from vicinal.running.status import find_head
from vicinal.words import count, size

if TYPE_CHECKING:
    from vicinal.audit.verify.findings import Findings, Ledger

SHOWN_LEFT_OVER = 3


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
    parser.add_argument("--strict", action="store_true", help="count mixtures of code, versions or devices as problems")
    parser.add_argument("--all", action="store_true", help="show each problem, even if there are many")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object: problems, notes, mixtures, left_over, counts"
    )
    parser.epilog = SETTINGS


def main(args: argparse.Namespace) -> int:
    """Verify an experiment or a folder; return the exit status."""
    if args.folder is not None:
        if args.experiment or args.set:
            raise VicinalError("--from: a folder is checked by its own records; leave out the experiment and --set")
        from vicinal.audit.verify.folder import verify_folder

        name, (findings, ledger) = str(args.folder), verify_folder(args.folder)
    else:
        from vicinal.audit.verify.artefacts import verify  # NumPy and pyarrow take a while to load

        name, artefacts, _ = read_artefacts(args)
        if find_head(RESULTS).running:
            note = "a run is working here: what it has not finished is reported as missing or stale"
            print(note, file=sys.stderr, flush=True)
        findings, ledger = verify(artefacts, RESULTS)
    failed = bool(findings.problems) or (args.strict and bool(findings.mixtures))
    if args.json:
        counts = {"models": findings.models, "files": len(ledger.sizes), "bytes": ledger.bytes}
        print(json.dumps({"name": name, "agrees": not failed, **counts, **findings.as_json()}, indent=1))
    else:
        show(name, findings, ledger, args.all)
    return int(failed)


def show(name: str, findings: "Findings", ledger: "Ledger", everything: bool) -> None:
    """Print problems, notes and a summary, a line each."""
    for line in findings.lines(everything):
        print(line)
    for note in [*findings.notes, *findings.mixtures]:
        print(f"note: {note}")
    if findings.left_over:
        shown = ", ".join(map(str, findings.left_over[:SHOWN_LEFT_OVER]))
        more = ", …" if len(findings.left_over) > SHOWN_LEFT_OVER else ""
        print(f"left over from killed jobs: {count(len(findings.left_over), 'file')} ({shown}{more}); ./reproduce gc")
    looked = f"{count(findings.models, 'model')}, {count(len(ledger.sizes), 'file')}, {size(ledger.bytes)}"
    verdict = "all agree" if ledger.compared else "nothing could be checked"
    if findings.problems:
        verdict = count(len(findings.problems), "problem")
    print(f"{name}: {looked}: {verdict}", flush=True)

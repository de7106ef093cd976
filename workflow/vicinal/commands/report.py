"""Write claims, figures and reports again from the tables of finished experiments; trains nothing."""

import argparse
import os
from pathlib import Path

from vicinal.analysis.figures import FIGURES
from vicinal.errors import VicinalError
from vicinal.files import read_object
from vicinal.jobs.fingerprint import named_modules, stage_fingerprint
from vicinal.jobs.plan import forget_key
from vicinal.jobs.provenance import Stopwatch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--from",
        type=Path,
        dest="folder",
        metavar="DIR",
        required=True,
        help="folder of an experiment's tables (results/NAME), or one that holds several such folders",
    )
    parser.add_argument("--output", type=Path, metavar="DIR2", help="write here and leave DIR as it is (default: DIR)")


def main(args: argparse.Namespace) -> int:
    """Rebuild what is made from the tables of one experiment or of several; return the exit status."""
    experiments, output = find_experiments(args.folder), args.output or args.folder
    if args.output is None and not os.access(args.folder, os.W_OK):
        raise VicinalError(f"--from {args.folder}: cannot be written; name a folder for the report: --output DIR2")
    made = {folder: output / folder.name for folder in experiments}
    if args.folder in made:
        made = {args.folder: output}
    for folder, place in made.items():
        rebuild(folder, place)
    if len(made) > 1:
        combine(made, args.folder.resolve().name, output / "report.html")
    return 0


def find_experiments(folder: Path) -> list[Path]:
    """Return the folders of experiments: the one given, or those in it. Raises VicinalError: there is none."""
    if not folder.is_dir():
        raise VicinalError(f"--from {folder}: no such folder; name one with an experiment's tables (results/NAME)")
    if (folder / "metrics.parquet").exists():
        return [folder]
    found = sorted(path.parent for path in folder.glob("*/metrics.parquet"))
    if not found:
        raise VicinalError(
            f"--from {folder}: metrics.parquet is neither in it nor in a folder in it; "
            "name a folder with an experiment's tables (results/NAME)"
        )
    return found


def rebuild(tables: Path, output: Path) -> None:
    """Write claims, figures and report of one experiment from its tables.

    What needs a missing table is left out, and a line says so.
    """
    # Imported only now: pandas, SciPy and matplotlib take a while to load.
    from vicinal.analysis.claims import TABLES
    from vicinal.analysis.claims.files import verdicts_of, write_claims
    from vicinal.analysis.figures.files import figure_tables, write_figure
    from vicinal.analysis.report import read_inputs, read_records
    from vicinal.analysis.report.files import write_report

    name = tables.resolve().name

    def say(text: str) -> None:
        print(f"{name}: {text}", flush=True)

    missing = [f"{table}.parquet" for table in TABLES if not (tables / f"{table}.parquet").exists()]
    if missing:
        say(f"claims are judged without {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} missing")
    spec, code = {"experiment": name}, stage_fingerprint("claims")
    place = _place(output / "claims.parquet", code)
    claims = write_claims(tables, place, spec, code, Stopwatch())
    counts = verdicts_of(claims)["verdict"].value_counts(sort=False)
    say(f"claims: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}")
    drawn, code = [], stage_fingerprint("figures", named_modules({"figures": FIGURES}))
    for at, figure in enumerate(FIGURES, start=1):
        absent = [path.name for path in figure_tables(figure, tables) if not path.exists()]
        if absent:
            say(f"figure {at} of {len(FIGURES)}, {figure}: left out, {', '.join(absent)} missing")
            continue
        place = _place(output / "figures" / f"{figure}.pdf", code)
        write_figure(figure, tables, place, {**spec, "figure": figure}, code, Stopwatch())
        drawn.append(figure)
        say(f"figure {at} of {len(FIGURES)}, {figure}")
    watch, code = Stopwatch(), stage_fingerprint("reports")
    inputs = read_inputs(tables, output, drawn)
    inputs.records |= read_records(tables.parent, inputs.spec, required=False)
    place = _place(output / "report.html", code)
    write_report(inputs, place, spec, code, watch)
    say(f"report: {place}, {place.stat().st_size / 1e6:.1f} MB")


def combine(made: dict[Path, Path], name: str, output: Path) -> None:
    """Write the report of several experiments: for the folder of each one's tables the one that has its report."""
    from vicinal.analysis.report.files import write_combined

    code, spec = stage_fingerprint("collections"), {"experiments": [folder.name for folder in made]}
    names = write_combined(made, name, _place(output, code), spec, code, Stopwatch())
    print(f"{name}: combined report of {', '.join(names)}: {output}", flush=True)


def _place(output: Path, code: str) -> Path:
    """Return ``output``. If other code made what is there its key is removed, so that a run makes it again."""
    record = output.with_suffix(".json")
    if read_object(record).get("code") != code:
        forget_key(output)
    return output

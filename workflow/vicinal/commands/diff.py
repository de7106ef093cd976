"""Show what differs between two experiments: settings, models, metrics paired by seed, verdicts.

A and B are experiments, runs of one with --set (by the name of their folder in results/, e.g. digits+epochs1), or
folders of tables."""

import argparse
import json
from pathlib import Path
from typing import Any

from vicinal.errors import VicinalError, nearest
from vicinal.files import write_text
from vicinal.planning.experiments import RESULTS
from vicinal.running.console import make_console, make_table
from vicinal.words import count, number

# Metrics that are shown; --all shows every one.
MAIN = ("accuracy", "nll", "ece", "oe")
SHOWN_IDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("first", metavar="A", help="an experiment, a folder in results/, or any folder of tables")
    parser.add_argument("second", metavar="B", help="the one to compare it with: differences are B − A")
    parser.add_argument("--all", action="store_true", help=f"show all metrics, not only {', '.join(MAIN)}; and all ids")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with all metrics")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page in the style of the report")


def main(args: argparse.Namespace) -> int:
    """Compare; return the exit status."""
    from vicinal.analysis.difference import compare  # pandas and SciPy take a while to load

    names, folders = (args.first, args.second), [find_tables(args.first), find_tables(args.second)]
    found = compare(*folders)
    shown = found if args.all else {**found, "metrics": [row for row in found["metrics"] if row["metric"] in MAIN]}
    if args.html is not None:
        from vicinal.analysis.report.page import render

        page = {"name": "diff", "headline": " and ".join(names), "names": names, **shown}
        write_text(args.html, render(page, "diff.html.j2"))
        print(f"{args.html}: {names[0]} and {names[1]}, side by side")
    elif args.json:
        print(json.dumps({"first": str(folders[0]), "second": str(folders[1]), **found}, indent=1))
    else:
        show(shown, names, args.all)
    return 0


def find_tables(name: str) -> Path:
    """Return the folder of tables of this name, in results/ or anywhere. Raises VicinalError: there are none."""
    for folder in (RESULTS / name, Path(name)):
        if (folder / "metrics.parquet").is_file():
            return folder
    there = sorted(path.parent.name for path in RESULTS.glob("*/metrics.parquet"))
    known = nearest(name, there) if there else "; run ./reproduce first"
    raise VicinalError(f"{name}: no experiment with results in {RESULTS}, and no folder with metrics.parquet{known}")


def show(found: dict[str, Any], names: tuple[str, str], everything: bool) -> None:
    """Print the difference as tables."""
    console = make_console()
    first, second = names
    if found["settings"]:
        rows = [[row["setting"], row["role"], row["first"], row["second"]] for row in found["settings"]]
        console.print(make_table(["settings", "of", first, second], rows))
    else:
        print("settings: the same")
    models = found["models"]
    print(f"\nmodels: {models['both']:,} the same")
    for name, ids in ((first, models["only_first"]), (second, models["only_second"])):
        if ids:
            listed = ids if everything else ids[:SHOWN_IDS]
            rest = f" and {len(ids) - len(listed):,} more" if len(ids) > len(listed) else ""
            print(f"  {count(len(ids), 'model')} only in {name}: {', '.join(listed)}{rest}")
    print()
    if found["metrics"]:
        head = ["metrics that differ (test split)", "", first, second, "difference [95 % interval]", "seeds"]
        console.print(make_table(head, [_metric(row) for row in found["metrics"]], right=(2, 3, 4, 5)))
    else:
        print("metrics: none of those that both have differs")
    print(f"{count(found['equal'], 'number')} of those that both have the same at every seed\n")
    rows = [
        [row["claim"], *(_verdict(row[key], row[f"{key}_effect"]) for key in ("first", "second"))]
        for row in found["verdicts"]
    ]
    console.print(make_table(["claim", first, second], rows))


def _metric(row: dict[str, Any]) -> list[str]:
    unit = f", {row['unit']}" if row["unit"] else ""
    interval = "" if row["low"] is None else f" [{number(row['low'])}, {number(row['high'])}]"
    values = [number(row["first"]), number(row["second"]), f"{number(row['difference'], '+.3g')}{interval}"]
    return [row["model"], f"{row['metric']}{unit}", *values, str(row["n"])]


def _verdict(verdict: str, effect: str) -> str:
    return verdict if effect == "–" else f"{verdict}: {effect}"

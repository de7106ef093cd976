"""List results that no experiment refers to, with their sizes; remove them with --delete.

Referred to is what config.yaml, experiments/*.yaml, the last run and the configs given ask for, and what the tables in
results/ were made from. Nothing that runs is touched, nor anything in results/published or outside of results/.
"""

import argparse
from pathlib import Path

from vicinal.audit.garbage import Garbage, Item, by_kind, find_garbage, remove
from vicinal.audit.references import EXPERIMENTS, References, find_references
from vicinal.errors import VicinalError
from vicinal.planning.experiments import RESULTS
from vicinal.results import PLAN
from vicinal.running.runner import head_lock
from vicinal.words import size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "configs", nargs="*", type=Path, metavar="CONFIG", help="more config files whose results are to be kept"
    )
    parser.add_argument("--delete", action="store_true", help="remove what is listed")
    parser.add_argument("--all", action="store_true", help="list each file or directory, not the kinds alone")


def main(args: argparse.Namespace) -> int:
    """List, or remove; return the exit status."""
    if not RESULTS.is_dir():
        print(f"{RESULTS}: no such folder: nothing to remove")
        return 0
    if not args.delete:
        references = find_references(RESULTS, configs(args.configs))
        show(find_garbage(RESULTS, references), references, args.all)
        return 0
    with head_lock(RESULTS):
        check_no_snakemake()
        references = find_references(RESULTS, configs(args.configs))
        if references.problems:
            lines = "\n".join(references.problems)
            raise VicinalError(f"{lines}\nnothing removed: what this refers to is not known; put it right first")
        garbage = find_garbage(RESULTS, references)
        show(garbage, references, args.all)
        return delete(garbage.items)


def check_no_snakemake() -> None:
    """Refuse to change results under a Snakemake that ``./reproduce`` did not start; call it under the head's lock.

    Raises:
        VicinalError: Snakemake's own lock is there: it works here, or was killed.
    """
    if any(Path(".snakemake/locks").glob("*")):
        raise VicinalError(
            ".snakemake/locks: a snakemake is working here, or was killed; wait for it, or let ./reproduce finish first"
        )


def configs(given: list[Path]) -> list[Path]:
    """Return the config files to read: the default, the experiments, the last run's, and those given."""
    known = [Path("config.yaml"), *sorted(EXPERIMENTS.glob("*.yaml")), RESULTS / PLAN / "config.yaml"]
    return [*(path for path in known if path.exists()), *given]


def show(garbage: Garbage, references: References, everything: bool) -> None:
    """Print what is not referred to, and what is kept all the same."""
    from rich.console import Console
    from rich.table import Table

    for problem in references.problems:
        print(f"cannot tell what is referred to: {problem}")
    if garbage.items:
        table = Table(box=None, pad_edge=False)
        table.add_column("not referred to")
        for column in ("number", "files", "size"):
            table.add_column(column, justify="right")
        for kind, number, files, total in by_kind(garbage.items):
            table.add_row(kind, f"{number:,}", f"{files:,}", size(total))
        Console(highlight=False).print(table)
    if everything:
        for item in sorted(garbage.items, key=lambda item: -item.bytes):
            print(f"{size(item.bytes):>10}  {item.path}")
    for item in garbage.kept:
        remedy = f"to remove it, and then the models behind it: rm -r {item.path}"
        print(f"kept: {item.path} ({size(item.bytes)}): no config names it; {remedy}")
    total = size(sum(item.bytes for item in garbage.items))
    if not garbage.items:
        print("every result here is referred to: nothing to remove")
    else:
        print(f"{len(garbage.items):,} files and folders, {total}, are not referred to by {_sources(references)}")


def _sources(references: References) -> str:
    names = [str(path) for path in references.sources if path.suffix in (".yaml", ".yml")]
    tables = sum(path.suffix == ".json" for path in references.sources)
    return ", ".join([*names, *([f"{tables} tables"] if tables > 1 else ["the tables"] if tables else [])])


def delete(items: list[Item]) -> int:
    """Remove items and say what was removed; return the exit status."""
    removed, kept = [], []
    for item, gone in remove(RESULTS, items):
        (removed if gone else kept).append(item)
    for item in kept:
        print(f"kept: {item.path}: a job is working on it")
    print(f"removed: {len(removed):,}, {size(sum(item.bytes for item in removed))}")
    return 0

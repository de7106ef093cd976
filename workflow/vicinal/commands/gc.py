"""List results that no experiment refers to, with their sizes; remove them with --delete.

An experiment counts if config.yaml, experiments/*.yaml, the last run or a config given here asks for it, or if its
tables lie in results/. So the models of a run with --set are kept as long as its folder, e.g. results/digits+epochs1.
Nothing is removed while a run or a job works here, and never
anything in results/published or outside of results/.
"""

import argparse
from pathlib import Path

from vicinal.audit.garbage import Item, by_kind, find_garbage, jobs_at_work, remove, unknown_experiments
from vicinal.audit.references import References, find_references
from vicinal.errors import VicinalError
from vicinal.planning.experiments import EXPERIMENTS, RESULTS, SNAPSHOT
from vicinal.planning.files import snakemake_is_locked
from vicinal.running.console import make_console, make_table
from vicinal.running.estimate.recorded import hours_to_make
from vicinal.running.runner import head_lock
from vicinal.words import count, duration, size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "configs", nargs="*", type=Path, metavar="CONFIG", help="more config files whose results are to be kept"
    )
    parser.add_argument("--delete", action="store_true", help="remove what is listed")
    parser.add_argument("--all", action="store_true", help="list each file or directory, not only the kinds")


def main(args: argparse.Namespace) -> int:
    """List, or remove; return the exit status."""
    if not RESULTS.is_dir():
        print(f"{RESULTS}: no such folder: nothing to remove")
        return 0
    if not args.delete:
        show(find_references(RESULTS, configs(args.configs)), args.all)
        return 0
    with head_lock(RESULTS):
        check_nothing_runs()
        references = find_references(RESULTS, configs(args.configs))
        if references.problems:
            lines = "\n".join(references.problems)
            raise VicinalError(f"{lines}\nnothing removed: it is not known what these refer to; put them right first")
        items = show(references, args.all)
        remove(RESULTS, items)
        print(f"removed: {len(items):,}, {size(sum(item.bytes for item in items))}")
    return 0


def check_nothing_runs() -> None:
    """Raise VicinalError if a job is at work, e.g. of a killed run, or somebody called ``snakemake`` directly."""
    if snakemake_is_locked():
        raise VicinalError(
            ".snakemake/locks: a snakemake is working here, or was killed; wait for it, or let ./reproduce finish first"
        )
    if working := sorted(jobs_at_work(RESULTS)):
        jobs = f"{count(len(working), 'job')} still at work here ({', '.join(working[:3])})"
        raise VicinalError(f"{RESULTS}: {jobs}; wait for the end, or stop what is left of an earlier run")


def configs(given: list[Path]) -> list[Path]:
    """Return the config files to read: the default, the experiments, the last run's, and those given."""
    known = [Path("config.yaml"), *sorted(EXPERIMENTS.glob("*.yaml")), SNAPSHOT]
    return [*(path for path in known if path.exists()), *given]


def show(references: References, everything: bool) -> list[Item]:
    """Print what is not referred to, and what is kept all the same; return what can be removed."""
    for problem in references.problems:
        print(f"it is not known what this refers to: {problem}")
    items = find_garbage(RESULTS, references)
    total = size(sum(item.bytes for item in items))
    if items:
        rows = by_kind(items, hours_to_make(RESULTS))
        shown = [
            (kind, f"{number:,}", f"{files:,}", size(bytes_), duration(3600 * hours) if hours else "")
            for kind, number, files, bytes_, hours in rows
        ]
        head = ("not referred to", "number", "files", "size", "took")
        make_console().print(make_table(head, shown, right=(1, 2, 3, 4)))
    if everything:
        for item in sorted(items, key=lambda item: -item.bytes):
            print(f"{size(item.bytes):>10}  {item.path}")
    for item in unknown_experiments(RESULTS, references):
        whose = "a run with --set" if "+" in item.path.name else "no config names it"
        print(
            f"kept: {item.path} ({size(item.bytes)}): {whose}; "
            f"to remove it, and then the models behind it: rm -r {item.path}"
        )
    if items:
        sources = ", ".join(map(str, references.sources))
        print(f"{len(items):,} files and folders, {total}, are not referred to by {sources}")
        if hours := sum(row[-1] for row in rows):
            print(f"training and measuring them took {duration(3600 * hours)}")
    else:
        print("every result here is referred to: nothing to remove")
    return items

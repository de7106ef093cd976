"""Show what runs, what is finished and what failed; from any shell, during a run or after it."""

import argparse
import io
import json
import time
from dataclasses import asdict
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vicinal.files import write_text
from vicinal.planning.experiments import RESULTS, SNAPSHOT, add_experiment_arguments, read_experiments, resolve_named
from vicinal.planning.plans import build_plans
from vicinal.results import STAGES
from vicinal.running.console import make_console
from vicinal.running.live import describe_count, value_range
from vicinal.running.status import Monitor, Status
from vicinal.running.verdicts import verdict_table
from vicinal.words import duration

SHOWN_RUNNING, SHOWN_FAILED = 16, 5
# Students of the running jobs are listed where there are no more than this.
SHOWN_STUDENTS = 24
# The page is written, and read again by a browser, every so many seconds; it is so many letters wide.
PAGE_SECONDS, PAGE_WIDTH = 5, 120
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="{seconds}">
<meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>pre {{ font: 14px/1.4 monospace; overflow-x: auto }}</style>
</head>
<body>
<pre>{view}</pre>
<p>Written {time}, every {seconds} s while <code>./reproduce status --html</code> runs.</p>
</body>
</html>
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_experiment_arguments(parser)
    parser.add_argument("--once", action="store_true", help="print once; the default without a terminal")
    json_help = "print one JSON object (fields: vicinal.running.status.Status)"
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help=json_help)
    form.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help=f"write a page that a browser reads again every {PAGE_SECONDS} s, until all is done (with --once: once)",
    )
    parser.epilog = "Without EXPERIMENT: the last run, or the one that is working. Changes nothing."


def main(args: argparse.Namespace) -> int:
    """Show the status of an experiment, live on a terminal; return the exit status."""
    console = make_console()
    monitor = find_monitor(args)
    if monitor is None:
        print(json.dumps(asdict(Status()), indent=1) if args.json else "nothing has run here yet: ./reproduce")
    elif args.json:
        print(json.dumps(asdict(monitor.look()), indent=1))
    elif args.once or not (console.is_terminal or args.html):
        status = monitor.look()
        if args.html:
            write_page(status, args.html)
        console.print(render(status, console.width))
    else:
        follow(monitor, console, args)
    return 0


def find_monitor(args: argparse.Namespace) -> Monitor | None:
    """Return a monitor of the experiment asked for, else of the one that ran last; None where nothing ever ran.

    Raises VicinalError: there is no such experiment, its config is wrong, or its data cannot be found.
    """
    has_run = any(path.is_dir() for path in SNAPSHOT.parent.glob("*"))
    if args.experiment is None and not args.set:
        if not has_run:
            return None
        args = argparse.Namespace(experiment=str(SNAPSHOT) if SNAPSHOT.exists() else None, set=[])
    name, experiments, where = read_experiments(args)
    if not has_run:
        return None
    artefacts, _ = resolve_named(name, experiments, where)
    return Monitor(name, where, list(build_plans(artefacts)), RESULTS)


def follow(monitor: Monitor, console: Console, args: argparse.Namespace) -> None:
    """Show the status every second, until all is done or somebody presses Ctrl-C; keep a page with it up to date."""
    seen = _age_of_snapshot()
    with Live(console=console, auto_refresh=False, transient=False) as live:
        try:
            while True:
                if (now := _age_of_snapshot()) != seen:  # another run began
                    seen, monitor = now, find_monitor(args) or monitor
                status = monitor.look()
                live.update(render(status, console.width), refresh=True)
                if args.html:
                    write_page(status, args.html)
                if status.over:
                    return
                time.sleep(PAGE_SECONDS if args.html else 1)
        except KeyboardInterrupt:
            return


def _age_of_snapshot() -> float | None:
    return SNAPSHOT.stat().st_mtime if SNAPSHOT.exists() else None


def write_page(status: Status, path: Path) -> None:
    """Write what a terminal shows as an HTML page that a browser reads again and again."""
    console = Console(record=True, width=PAGE_WIDTH, file=io.StringIO(), highlight=False)
    console.print(render(status, PAGE_WIDTH))
    view = console.export_html(inline_styles=True, code_format="{code}")
    title = escape(f"{status.name}: {status.done} of {status.wanted} jobs done")
    write_text(
        path, PAGE.format(title=title, view=view, seconds=PAGE_SECONDS, time=f"{datetime.now():%d %B, %H:%M:%S}")
    )


def render(status: Status, width: int) -> RenderableType:
    """Return all that is shown, for a terminal ``width`` characters wide."""
    parts: list[RenderableType] = [_heading(status), _overall(status, width), _stages(status)]
    if status.running:
        parts += [Text("\nrunning", style="bold"), _running(status.running[:SHOWN_RUNNING])]
        parts += _more(len(status.running) - SHOWN_RUNNING)
    elif status.head.running:
        parts.append(Text("\nno job trains, measures or prepares data at this moment", style="dim"))
    if status.finished:
        parts += [Text("\nfinished last", style="bold"), _finished(status.finished)]
    if status.failed:
        parts.append(Text(f"\nfailed: {len(status.failed)}", style="bold red"))
        for failure in status.failed[:SHOWN_FAILED]:
            parts += _failure(failure)
        parts += _more(len(status.failed) - SHOWN_FAILED)
    for experiment, lines in status.verdicts.items():
        parts += [Text(), verdict_table(experiment, lines)]
    return Group(*parts)


def _heading(status: Status) -> Text:
    config = "config of the last run" if status.source == str(SNAPSHOT) else str(status.source)
    holder = f": {status.head.holder}" if status.head.holder else ""
    if status.head.running:
        head = f"a run is working here{holder}"
    elif status.head.running is None:
        head = f"this file system does not show whether a run is working here{holder}"
    elif status.head.holder and status.done < status.wanted:
        head = f"no run is working here; the last one was killed ({status.head.holder})"
    else:
        head = "no run is working here"
    return Text.assemble((status.name or "", "bold"), f" ({config})\n{head}")


def _overall(status: Status, width: int) -> RenderableType:
    words = f"all {status.wanted} jobs done"
    if status.done < status.wanted:
        words = f"{status.done} of {status.wanted} jobs done"
        if status.seconds_left is not None:
            words += f", {'at least' if status.at_least else 'about'} {duration(status.seconds_left)} left"
    line = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(1, status.wanted), completed=status.done, width=min(40, max(10, width - 50)))
    line.add_row(words, bar)
    return line


def _stages(status: Status) -> Text:
    counts = (f"{STAGES[stage].rule} {count['done']}/{count['wanted']}" for stage, count in status.stages.items())
    return Text(", ".join(counts), style="dim")


def _running(beats: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("job", overflow="fold", ratio=1)
    for name in ("done", "loss", "accuracy", "images/s", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    with_students = sum(len(_students(beat)) for beat in beats) <= SHOWN_STUDENTS
    for beat in beats:
        job = Text.assemble(beat["id"], ("\n" + _where(beat), "dim"), "\n")
        age = duration(beat["age"])
        job.append(*((f"no sign of life for {age}", "bold red") if beat["silent"] else (f"alive {age} ago", "dim")))
        models = (beat.get("models") or {}).values()
        rate = beat.get("images_per_second")
        table.add_row(
            job,
            describe_count(beat),
            value_range(models, "loss", "{:.3f}"),
            value_range(models, "accuracy", "{:.1%}"),
            "" if rate is None else f"{rate:,.0f}",
            "" if beat["seconds_left"] is None else duration(beat["seconds_left"]),
        )
        for label, curves in _students(beat) if with_students else ():
            table.add_row(
                f"  {label}", "", value_range([curves], "loss", "{:.3f}"), value_range([curves], "accuracy", "{:.1%}")
            )
    return table


def _students(beat: dict[str, Any]) -> list[tuple[str, dict[str, float | None]]]:
    """Return the label and the last curves of each student that a job trains; none where there is only one model."""
    labels = beat.get("labels") or {}
    found = [(labels[id_], curves) for id_, curves in (beat.get("models") or {}).items() if id_ in labels]
    return found if len(found) > 1 else []


def _where(beat: dict[str, Any]) -> str:
    slurm = f", SLURM job {beat['slurm_job_id']}" if beat.get("slurm_job_id") else ""
    device = f" {beat['device']}" if beat.get("device") else ""
    return f"{STAGES[beat['stage']].rule} on {beat.get('host')}:{beat['pid']}{device}{slurm}"


def _finished(jobs: list[dict[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for overflow in ("fold", "ellipsis", "ellipsis"):
        table.add_column(overflow=overflow)
    for job in jobs:
        took = "" if job["seconds"] is None else f"took {duration(job['seconds'])}"
        table.add_row(
            f"{STAGES[job['stage']].rule} {job['id']}", took, Text(f"{duration(job['age'])} ago", style="dim")
        )
    return table


def _failure(failure: dict[str, Any]) -> list[RenderableType]:
    error = f": {failure['error']}"
    if any(line.startswith("error: ") for line in failure["lines"]):
        error = ""  # the lines of the log say it
    title = Text.assemble(
        (f"{STAGES[failure['stage']].rule} {failure['id']}", "red"), f"{error} ({duration(failure['age'])} ago)"
    )
    lines = [Text(f"  {line}", style="" if line.startswith("error: ") else "dim") for line in failure["lines"]]
    return [title, Text(f"  {failure['log']}:", style="dim"), *lines] if lines else [title]


def _more(number: int) -> list[Text]:
    return [Text(f"and {number} more")] if number > 0 else []

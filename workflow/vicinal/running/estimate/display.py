"""The overview of a run as text: a table of the stages with the reasons, and the totals."""

import re
from collections import Counter
from collections.abc import Hashable, Iterable
from textwrap import wrap

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vicinal.planning.changes import Change
from vicinal.results import STAGES
from vicinal.running.estimate.blocks import SHARED, Part
from vicinal.running.estimate.jobs import DEVICE_STAGES
from vicinal.running.estimate.overview import Overview, Stage
from vicinal.words import count, duration, hours, size

# Groups of reasons that are shown a stage.
SHOWN = 8
NEW = "new"


def show(overview: Overview, console: Console, everything: bool = False) -> None:
    """Print what would run and why, and the totals.

    Args:
        overview: of the run.
        console: where to print; lines are folded to its width.
        everything: list every job with all its reasons.
    """
    if not overview.changes:
        console.print(nothing_to_do(overview), highlight=False, soft_wrap=True)
        show_lines(overview.notes, console)
        return
    first = all(len(stage.run) == stage.wanted for stage in overview.stages) and all(
        _is_new(change) for change in overview.changes.values()
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("stage")
    for name in ("to run", "up to date", "train", "reuse", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for stage in overview.stages:
        _add_stage(table, stage, overview)
        for words, number in [] if first or everything else shown_groups(stage.run):
            table.add_row(Padding(Text(words, style="dim"), (0, 0, 0, 2)), Text(number, style="dim"))
    console.print(table)
    console.print()
    if first:
        console.print("Nothing of it is there yet: all of it is new.", highlight=False)
    show_lines(totals(overview), console)
    _show_parts(overview, console)
    if everything:
        _show_jobs(overview, console)


def show_lines(lines: Iterable[str], console: Console) -> None:
    """Print lines, folded to the width of the console; what is folded is indented further."""
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        folded = wrap(line, max(console.width, 40), subsequent_indent=f"{indent}        ", break_on_hyphens=False)
        console.print("\n".join(folded), highlight=False, markup=False, soft_wrap=True)


def nothing_to_do(overview: Overview) -> str:
    """Return the line that says that everything is up to date."""
    jobs = sum(stage.wanted for stage in overview.stages)
    models = count(overview.stage("teachers").keep or 0, "teacher")
    students = count(overview.stage("cohorts").keep or 0, "student")
    return f"{overview.name}: nothing to do: all {jobs} results are up to date ({models}, {students})"


def _add_stage(table: Table, stage: Stage, overview: Overview) -> None:
    seconds = sum(overview.estimates[change.plan.ref].seconds for change in stage.run)
    trained = ["" if number is None else str(number) for number in (stage.train, stage.keep)]
    table.add_row(
        STAGES[stage.name].words,
        str(len(stage.run)),
        str(stage.wanted - len(stage.run)),
        *trained,
        duration(seconds) if stage.run else "",
    )


def _show_parts(overview: Overview, console: Console) -> None:
    """Print what each block of the grid and each seed alone asks for; nothing where there is one, or no training."""
    one_of_each = len(overview.blocks) == len(overview.seeds) == 2  # the second is what is shared
    if one_of_each or not any(part.hours for part in overview.blocks):
        return
    unit = "core-hours" if overview.times.device == "cpu" else "GPU-hours"
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("asked for by this alone (saved without it)")
    for name in ("students", "teachers", unit):
        table.add_column(name, justify="right", no_wrap=True)
    for parts, words in ((overview.blocks, "several blocks"), (overview.seeds, "several seeds")):
        for name, part in part_rows(parts):
            name = f"shared by {words}" if name == SHARED else name
            table.add_row(Text(name), str(part.students), str(part.teachers), hours(part.hours))
    console.print()
    console.print(table)


def part_rows(parts: list[Part]) -> list[tuple[str, Part]]:
    """Return each part with what to call it; seeds that cost the same are one row, and nothing shared is none."""
    if len(parts) == 2:
        return []
    rows: dict[Hashable, list[Part]] = {}
    for part in parts:
        cost = part.students, part.teachers, hours(part.hours)
        if part.name != SHARED or cost != (0, 0, "0"):
            rows.setdefault(part.name if part.what or part.name == SHARED else cost, []).append(part)
    return [(_part_name(alike), alike[0]) for alike in rows.values()]


def _part_name(alike: list[Part]) -> str:
    name, what = alike[0].name, alike[0].what
    if len(alike) > 1:
        return f"each of the seeds {', '.join(part.name.removeprefix('seed ') for part in alike)}"
    return f"{name}: {what}" if what else name


def shown_groups(changes: Iterable[Change]) -> list[tuple[str, str]]:
    """Return the reasons of a stage's jobs with their numbers of jobs, most frequent first, at most ``SHOWN``."""
    groups = reason_groups(changes)
    shown = [(words, str(number)) for words, number in groups[:SHOWN]]
    if len(groups) > SHOWN:
        shown.append((f"and {len(groups) - SHOWN} more (--all)", ""))
    return shown


def reason_groups(changes: Iterable[Change]) -> list[tuple[str, int]]:
    """Return reasons with the number of jobs that have them, most frequent first.

    What follows from another stage's jobs is named by the stage, and only of jobs that have no reason of their own.
    """
    counts: Counter[str] = Counter()
    for change in changes:
        own = {_group(reason) for reason in change.reasons if not reason.startswith("after ")}
        counts.update(own or {_consequence(change.reasons)})
    return counts.most_common()


def _group(reason: str) -> str:
    if match := re.match(r"older than (\w+)/", reason):
        return f"older than their {STAGES[match[1]].words}"
    return "missing: made before, and gone" if reason.startswith("missing: ") else reason


def _consequence(reasons: Iterable[str]) -> str:
    """Return the stages in ``after STAGE/ID`` reasons as one reason."""
    upstream = {match[1] for reason in reasons if (match := re.match(r"after (\w+)/", reason))}
    return f"after new or changed {', '.join(STAGES[stage].words for stage in STAGES if stage in upstream)}"


def _is_new(change: Change) -> bool:
    return all(reason == NEW or reason.startswith("after ") for reason in change.reasons)


def totals(overview: Overview) -> list[str]:
    """Return the totals, a line each."""
    students, teachers, times, disk = (
        overview.stage("cohorts"), overview.stage("teachers"), overview.times, overview.disk,
    )  # fmt: skip
    cluster = overview.cluster_jobs
    on_cluster, rules = sum(cluster.values()), ", ".join(f"{rule} {count}" for rule, count in cluster.items())
    here = len(overview.changes) - on_cluster
    lines = [
        f"models: {count(students.train or 0, 'student')} trained, {students.keep} reused; "
        f"{count(teachers.train or 0, 'teacher')} trained, {teachers.keep} reused",
        f"time:   {_device_time(overview)}; about {duration(times.wall_seconds)} {_where(overview)}",
        *(f"        {line}" for line in source_lines(overview)),
        f"disk:   {size(disk.needed)} ({', '.join(f'{name} {size(part)}' for name, part in disk.parts.items() if part)}"
        f"); {size(disk.free)} free",
    ]
    if on_cluster:
        lines.append(f"jobs:   {on_cluster} for a cluster ({rules}), {here} where ./reproduce runs")
    else:
        lines.append(f"jobs:   {here}, all where ./reproduce runs")
    return [*lines, *(f"note:   {note}" for note in overview.notes)]


def source_lines(overview: Overview) -> list[str]:
    """Return where the times of the jobs on the device come from, a line each."""
    lines = []
    for words, found in overview.sources.items():
        runs = sorted({estimate.runs for estimate in found if estimate.runs})
        several = f"{runs[0]} to {runs[-1]} " if len(runs) > 1 else f"{runs[0]} " if runs else ""
        lines.append(f"{count(len(found), 'job')}: {several}{words}")
    return lines


def _device_time(overview: Overview) -> str:
    times = overview.times
    if times.device == "cpu":
        return f"{hours(times.hours)} core-hours"
    return f"{hours(times.hours)} GPU-hours and {hours(times.core_seconds / 3600)} core-hours"


def _where(overview: Overview) -> str:
    if overview.times.device == "cuda":
        return f"on {count(overview.times.slots, 'GPU')}"
    threads = overview.jobs.timing.machine.threads
    of_threads = f" of {threads} threads" if threads > 1 else ""
    return f"on {count(overview.cores, 'core')}, {count(overview.times.slots, 'job')}{of_threads} at a time"


def _show_jobs(overview: Overview, console: Console) -> None:
    for ref, change in overview.changes.items():
        trains = f", trains {count(len(change.train), 'model')}" if ref[0] in DEVICE_STAGES and change.train else ""
        time = duration(overview.estimates[ref].seconds)
        console.print(
            f"\n{STAGES[ref[0]].rule} {ref[1]}: {time}{trains}", highlight=False, soft_wrap=True, markup=False
        )
        for reason in change.reasons:
            console.print(f"  {reason}", highlight=False, soft_wrap=True, markup=False)

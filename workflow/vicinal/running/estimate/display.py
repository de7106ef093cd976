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
from vicinal.running.estimate.jobs import EnergyUse
from vicinal.running.estimate.overview import Overview
from vicinal.words import YEAR, count, duration, hours, size

# Groups of reasons that are shown for a stage.
SHOWN = 8


def show(overview: Overview, console: Console, everything: bool = False) -> None:
    """Print what would run and why, and the totals.

    Args:
        overview: of the run.
        console: where to print; lines are folded to its width.
        everything: list every job with all its reasons.
    """
    if not overview.changes:
        jobs = sum(stage.wanted for stage in overview.stages)
        models = ", ".join(count(overview.stage(stage).keep or 0, word) for stage, word in _MODELS.items())
        show_lines([f"{overview.name}: nothing to do: all {jobs} results are up to date ({models})"], console)
        show_lines(overview.notes, console)
        return
    all_new = all(len(stage.run) == stage.wanted for stage in overview.stages) and all(
        reason == "new" or reason.startswith("after ")
        for change in overview.changes.values()
        for reason in change.reasons
    )
    table = _table("stage", "to run", "up to date", "train", "reuse", "time")
    for stage in overview.stages:
        seconds = sum(overview.estimates[change.plan.ref].seconds for change in stage.run)
        table.add_row(
            STAGES[stage.stage].words,
            str(len(stage.run)),
            str(stage.wanted - len(stage.run)),
            *("" if number is None else str(number) for number in (stage.train, stage.keep)),
            duration(seconds) if stage.run else "",
        )
        for words, number in [] if all_new or everything else shown_groups(stage.run):
            table.add_row(Padding(Text(words, style="dim"), (0, 0, 0, 2)), Text(number, style="dim"))
    console.print(table)
    console.print()
    show_lines([*(["Nothing of it is there yet: all of it is new."] if all_new else []), *totals(overview)], console)
    _show_parts(overview, console)
    for ref, change in overview.changes.items() if everything else ():
        trains = f", trains {count(len(change.train), 'model')}" if change.train else ""
        title = f"\n{STAGES[ref[0]].rule} {ref[1]}: {duration(overview.estimates[ref].seconds)}{trains}"
        lines = [title, *(f"  {reason}" for reason in change.reasons)]
        console.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)


# The models that the stages train.
_MODELS = {"teachers": "teacher", "cohorts": "student"}


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def show_lines(lines: Iterable[str], console: Console) -> None:
    """Print lines, folded to the width of the console; the rest of a folded line is indented further."""
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        folded = wrap(line, max(console.width, 40), subsequent_indent=f"{indent}        ", break_on_hyphens=False)
        console.print("\n".join(folded), highlight=False, markup=False, soft_wrap=True)


def _show_parts(overview: Overview, console: Console) -> None:
    """Print what each block of the grid and each seed alone asks for; nothing where there is one, or no training."""
    one_of_each = len(overview.blocks) == len(overview.seeds) == 2  # the second is what is shared
    if one_of_each or not any(part.hours for part in overview.blocks):
        return
    is_long = needs_gpu(overview)
    unit = "core-years" if is_long else "core-hours" if overview.times.device == "cpu" else "GPU-hours"
    table = _table("asked for by this alone (saved without it)", "students", "teachers", unit)
    for parts, words in ((overview.blocks, "several blocks"), (overview.seeds, "several seeds")):
        for name, part in part_rows(parts):
            name = f"shared by {words}" if name == SHARED else name
            table.add_row(
                Text(name), str(part.students), str(part.teachers), hours(part.hours * (3600 / YEAR if is_long else 1))
            )
    console.print()
    console.print(table)


def part_rows(parts: list[Part]) -> list[tuple[str, Part]]:
    """Return each part with its name; seeds of the same cost share a row, and nothing shared has none."""
    if len(parts) == 2:
        return []
    rows: dict[Hashable, list[Part]] = {}
    for part in parts:
        cost = part.students, part.teachers, hours(part.hours)
        if part.name != SHARED or cost != (0, 0, "0"):
            rows.setdefault(part.name if part.what or part.name == SHARED else cost, []).append(part)
    names = []
    for first, *others in rows.values():
        name = f"{first.name}: {first.what}" if first.what else first.name
        if others:
            name = f"each of the seeds {', '.join(part.name.removeprefix('seed ') for part in (first, *others))}"
        names.append((name, first))
    return names


def shown_groups(changes: Iterable[Change]) -> list[tuple[str, str]]:
    """Return the reasons of a stage's jobs with their numbers of jobs, most frequent first, at most ``SHOWN``."""
    groups = reason_groups(changes)
    shown = [(words, str(number)) for words, number in groups[:SHOWN]]
    return shown + ([(f"and {len(groups) - SHOWN} more (--all)", "")] if len(groups) > SHOWN else [])


def reason_groups(changes: Iterable[Change]) -> list[tuple[str, int]]:
    """Return reasons with the number of jobs that have them, most frequent first.

    A job that only follows from jobs of other stages counts under these stages.
    """
    counts: Counter[str] = Counter()
    for change in changes:
        own = {_group(reason) for reason in change.reasons if not reason.startswith("after ")}
        if not own:
            upstream = {match[1] for reason in change.reasons if (match := re.match(r"after (\w+)/", reason))}
            own = {f"after new or changed {', '.join(STAGES[s].words for s in STAGES if s in upstream)}"}
        counts.update(own)
    return counts.most_common()


def _group(reason: str) -> str:
    if match := re.match(r"older than (\w+)/", reason):
        return f"older than their {STAGES[match[1]].words}"
    return "missing: made before, and gone" if reason.startswith("missing: ") else reason


def totals(overview: Overview) -> list[str]:
    """Return the totals, a line each."""
    disk, cluster = overview.disk, overview.cluster_jobs
    stages = {word: overview.stage(stage) for stage, word in reversed(_MODELS.items())}
    models = (f"{count(stage.train or 0, word)} trained, {stage.keep} reused" for word, stage in stages.items())
    parts = ", ".join(f"{name} {size(part)}" for name, part in disk.parts.items() if part)
    on_cluster = sum(cluster.values())
    here = len(overview.changes) - on_cluster
    jobs = f"{here}, all where ./reproduce runs"
    if on_cluster:
        rules = ", ".join(f"{rule} {number}" for rule, number in cluster.items())
        jobs = f"{on_cluster} for a cluster ({rules}), {here} where ./reproduce runs"
    return [
        f"models: {'; '.join(models)}",
        f"time:   {_time(overview)}",
        *(f"        {line}" for line in source_lines(overview)),
        *([f"energy: {energy_words(overview.energy)}"] if overview.energy else []),
        f"disk:   {size(disk.needed)} ({parts}); {size(disk.free)} free",
        f"jobs:   {jobs}",
        *(f"note:   {note}" for note in overview.notes),
        *(f"left out of all these numbers: {name}, which cannot run (see below)" for name in overview.left_out),
    ]


def energy_words(energy: EnergyUse) -> str:
    """Return energy, CO₂ and money of the jobs on the device."""
    amounts = ((energy.kwh, "kWh"), (energy.co2_kg, "kg CO₂"), (energy.cost, energy.currency))
    shown = (f"{value:{',.0f' if value >= 10 else '.2g'}} {unit}" for value, unit in amounts if value is not None)
    return f"{', '.join(shown)} (by execution.energy)"


def needs_gpu(overview: Overview) -> bool:
    """Return whether a run would take years on the cores of this machine."""
    return overview.times.device == "cpu" and overview.times.wall_seconds > YEAR


def source_lines(overview: Overview) -> list[str]:
    """Return where the times of the jobs on the device come from, a line each."""
    lines = []
    for words, found in overview.sources.items():
        runs = sorted({estimate.runs for estimate in found if estimate.runs})
        several = f"{runs[0]} to {runs[-1]} " if len(runs) > 1 else f"{runs[0]} " if runs else ""
        lines.append(f"{count(len(found), 'job')}: {several}{words}")
    return lines


def _time(overview: Overview) -> str:
    wall = f"about {duration(overview.times.wall_seconds)} {_where(overview)}"
    if needs_gpu(overview):
        return f"{wall}: it needs a GPU (--set execution.device=cuda shows its time on one)"
    return f"{_device_time(overview)}; {wall}"


def _device_time(overview: Overview) -> str:
    times = overview.times
    if times.device == "cpu":
        return f"{hours(times.device_hours + times.other_core_hours)} core-hours"
    return f"{hours(times.device_hours)} GPU-hours and {hours(times.other_core_hours)} core-hours"


def _where(overview: Overview) -> str:
    if overview.times.device == "cuda":
        return f"on {count(overview.times.slots, 'GPU')}"
    threads = overview.jobs.timing.machine.threads
    of_threads = f" of {threads} threads" if threads > 1 else ""
    return f"on {count(overview.cores, 'core')}, {count(overview.times.slots, 'job')}{of_threads} at a time"

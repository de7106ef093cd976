"""The overview of a run as text: a table of the stages with the reasons, and the totals."""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vicinal.results import ON_DEVICE, STAGES
from vicinal.running.estimate.blocks import SHARED, Part
from vicinal.words import YEAR, count, duration, hours, ranges, size

# Groups of reasons that are shown for a stage.
SHOWN = 8
# As ``make_overview`` returns it, and its jobs.
Overview = Mapping[str, Any]
Job = Mapping[str, Any]


def show(overview: Overview, console: Console, everything: bool = False) -> None:
    """Print what would run and why, and the totals; ``everything``: list every job with all its reasons."""
    jobs, stages, number = overview["jobs"], overview["stages"], overview["totals"]
    if not jobs:
        wanted = sum(stage["wanted"] for stage in stages)
        models = ", ".join(count(number[f"{word}s_kept"], word) for word in ("teacher", "student"))
        show_lines(
            [f"{overview['experiment']}: nothing to do: all {wanted} results are up to date ({models})"], console
        )
        show_lines(overview["notes"], console)
        return
    all_new = all(stage["run"] == stage["wanted"] for stage in stages) and all(
        reason == "new" or reason.startswith("after ") for job in jobs for reason in job["reasons"]
    )
    table = _table("stage", "to run", "up to date", "train", "reuse", "time")
    for stage in stages:
        run = [job for job in jobs if job["stage"] == stage["stage"]]
        table.add_row(
            STAGES[stage["stage"]].words,
            str(len(run)),
            str(stage["wanted"] - len(run)),
            *("" if models is None else str(models) for models in (stage["train"], stage["keep"])),
            duration(sum(job["seconds"] for job in run)) if run else "",
        )
        for words, times in [] if all_new or everything else shown_groups(run):
            table.add_row(Padding(Text(words, style="dim"), (0, 0, 0, 2)), Text(times, style="dim"))
    console.print(table)
    console.print()
    show_lines([*(["Nothing of it is there yet: all of it is new."] if all_new else []), *totals(overview)], console)
    _show_parts(overview, console)
    for job in jobs if everything else ():
        trains = f", trains {count(len(job['train']), 'model')}" if job["train"] else ""
        title = f"\n{job['rule']} {job['id']}: {duration(job['seconds'])}{trains}"
        lines = [title, *(f"  {reason}" for reason in job["reasons"])]
        console.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)


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
    blocks, seeds = overview["blocks"], overview["seeds"]
    one_of_each = len(blocks) == len(seeds) == 2  # the second is what is shared
    if one_of_each or not any(part["hours"] for part in blocks):
        return
    is_long = _needs_gpu(overview)
    unit = "core-years" if is_long else "core-hours" if overview["time"]["device"] == "cpu" else "GPU-hours"
    table = _table("asked for by this alone (saved without it)", "students", "teachers", unit)
    for parts, words in ((blocks, "several blocks"), (seeds, "several seeds")):
        for name, part in _part_rows(parts):
            took = hours(part["hours"] * (3600 / YEAR if is_long else 1))
            name = f"shared by {words}" if name == SHARED else name
            table.add_row(Text(name), str(part["students"]), str(part["teachers"]), took)
    console.print()
    console.print(table)


def _part_rows(parts: list[Part]) -> list[tuple[str, Part]]:
    """Return each part with its name; seeds of the same cost share a row, and nothing shared has none."""
    if len(parts) == 2:
        return []
    rows: dict[Hashable, list[Part]] = {}
    for part in parts:
        cost, is_shared = (part["students"], part["teachers"], hours(part["hours"])), part["name"] == SHARED
        if not is_shared or cost != (0, 0, "0"):
            rows.setdefault(part["name"] if part["what"] or is_shared else cost, []).append(part)
    names = []
    for first, *others in rows.values():
        name = f"{first['name']}: {first['what']}" if first["what"] else first["name"]
        if others:
            name = f"each of the seeds {ranges(int(part['name'].removeprefix('seed ')) for part in (first, *others))}"
        names.append((name, first))
    return names


def shown_groups(jobs: Iterable[Job]) -> list[tuple[str, str]]:
    """Return the reasons of a stage's jobs with their numbers of jobs, most frequent first, at most ``SHOWN``."""
    groups = reason_groups(jobs)
    shown = [(words, str(number)) for words, number in groups[:SHOWN]]
    return shown + ([(f"and {len(groups) - SHOWN} more (--all)", "")] if len(groups) > SHOWN else [])


def reason_groups(jobs: Iterable[Job]) -> list[tuple[str, int]]:
    """Return reasons with the number of jobs that have them, most frequent first.

    A job that only follows from jobs of other stages counts under these stages.
    """
    counts: Counter[str] = Counter()
    for job in jobs:
        own = {_group(reason) for reason in job["reasons"] if not reason.startswith("after ")}
        if not own:
            upstream = {match[1] for reason in job["reasons"] if (match := re.match(r"after (\w+)/", reason))}
            own = {f"after new or changed {', '.join(STAGES[s].words for s in STAGES if s in upstream)}"}
        counts.update(own)
    return counts.most_common()


def _group(reason: str) -> str:
    if match := re.match(r"older than (\w+)/", reason):
        return f"older than their {STAGES[match[1]].words}"
    return "missing: made before, and gone" if reason.startswith("missing: ") else reason


def totals(overview: Overview) -> list[str]:
    """Return the totals, a line each."""
    number, disk = overview["totals"], overview["disk"]
    models = (
        f"{count(number[f'{word}s'], word)} trained, {number[f'{word}s_kept']} reused"
        for word in ("student", "teacher")
    )
    parts = ", ".join(f"{name} {size(part)}" for name, part in disk["parts"].items() if part)
    on_cluster = sum(number["cluster_jobs"].values())
    here = number["jobs"] - on_cluster
    jobs = f"{here}, all where ./reproduce runs"
    if on_cluster:
        rules = ", ".join(f"{rule} {n}" for rule, n in number["cluster_jobs"].items())
        jobs = f"{on_cluster} for a cluster ({rules}), {here} where ./reproduce runs"
    return [
        f"models: {'; '.join(models)}",
        f"time:   {_time(overview)}",
        *(f"        {line}" for line in _source_lines(overview)),
        *([f"energy: {_energy(overview['energy'])}"] if overview["energy"] else []),
        f"disk:   {size(disk['needed'])} ({parts}); {size(disk['free'])} free",
        f"jobs:   {jobs}",
        *(f"note:   {note}" for note in overview["notes"]),
        *(f"left out of all these numbers: {name}, which cannot run (see below)" for name in overview["left_out"]),
    ]


def _energy(energy: Mapping[str, Any]) -> str:
    amounts = ((energy["kwh"], "kWh"), (energy["co2_kg"], "kg CO₂"), (energy["cost"], energy["currency"]))
    shown = (f"{value:{',.0f' if value >= 10 else '.2g'}} {unit}" for value, unit in amounts if value is not None)
    return f"{', '.join(shown)} (by execution.energy)"


def _needs_gpu(overview: Overview) -> bool:
    """Return whether a run would take years on the cores of this machine."""
    return overview["time"]["device"] == "cpu" and overview["time"]["wall_seconds"] > YEAR


def _source_lines(overview: Overview) -> list[str]:
    """Return where the times of the jobs on the device come from, a line each."""
    lines = []
    for words, number in overview["time"]["sources"].items():
        found = (job for job in overview["jobs"] if job["stage"] in ON_DEVICE and job["source"] == words)
        runs = sorted({job["runs"] for job in found if job["runs"]})
        several = f"{runs[0]} to {runs[-1]} " if len(runs) > 1 else f"{runs[0]} " if runs else ""
        lines.append(f"{count(number, 'job')}: {several}{words}")
    return lines


def _time(overview: Overview) -> str:
    times = overview["time"]
    on_cpu, slots, threads = times["device"] == "cpu", times["slots"], times["threads"]
    where = f"on {count(slots, 'GPU')}"
    if on_cpu:
        of_threads = f" of {threads} threads" if threads > 1 else ""
        where = f"on {count(times['cores'], 'core')}, {count(slots, 'job')}{of_threads} at a time"
    wall = f"about {duration(times['wall_seconds'])} {where}"
    if _needs_gpu(overview):
        return f"{wall}: it needs a GPU (--set execution.device=cuda shows its time on one)"
    device, other = times["device_hours"], times["other_core_hours"]
    if on_cpu:
        return f"{hours(device + other)} core-hours; {wall}"
    return f"{hours(device)} GPU-hours and {hours(other)} core-hours; {wall}"

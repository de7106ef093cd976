"""What fits in a number of hours: the most valuable students first, with their teachers and evaluations."""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vicinal.artefacts import Cohort, Evaluation, Teacher
from vicinal.errors import VicinalError
from vicinal.estimate.display import SHOWN
from vicinal.estimate.jobs import DEVICE_STAGES, Times, total
from vicinal.estimate.overview import Overview
from vicinal.estimate.selection import command_of, experiments_of, write_config
from vicinal.estimate.timing import Estimate
from vicinal.estimate.value import MIN_SEEDS, Block, Grid
from vicinal.files import write_text
from vicinal.results import MEASURED
from vicinal.words import count, duration, hours

RANKS = {
    1: "primary cells of the claims",
    2: "capacity ladder and logit scales (C7, C5)",
    3: "other temperatures (C6)",
    4: "ablations and the rest",
}


@dataclass(frozen=True)
class Entry:
    """A block of students, and what it adds to the cost, in hours."""

    rank: int
    what: str
    seeds: tuple[int, ...]
    students: int
    cost_hours: float


@dataclass
class Budget:
    """What fits.

    Attributes:
        hours: the budget: of the GPU, or of CPU cores where none is used.
        cost_hours: what is chosen takes, with its teachers, evaluations, tables and figures.
        wall_seconds: the same on this machine.
        students: number of students chosen, those that are finished included.
        complete: all students are chosen.
        chosen: blocks that fit, in the order of their value; those that are finished are not listed.
        left_out: the others.
        claims: claim → primary cells with three seeds or more, and all.
        command: that runs what is chosen; None if --set cannot say it and no file was asked for.
        device: ``cpu`` or ``cuda``.
    """

    hours: float
    cost_hours: float
    wall_seconds: float
    students: int
    complete: bool
    chosen: list[Entry] = field(default_factory=list)
    left_out: list[Entry] = field(default_factory=list)
    claims: dict[str, tuple[int, int]] = field(default_factory=dict)
    command: str | None = None
    device: str = "cpu"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def lines(self, everything: bool = False) -> list[str]:
        """Return it as text, a line each; of each rank at most ``SHOWN`` lines unless ``everything`` is asked for."""
        unit = "GPU-hours" if self.device == "cuda" else "core-hours"
        used = f" {hours(self.cost_hours)} used, {duration(self.wall_seconds)} on this machine" if self.students else ""
        lines = ["", f"In {hours(self.hours)} {unit}:{used}"]
        for entries, words in ((self.chosen, "fits"), (self.left_out, "does not fit")):
            if entries:
                lines.append(f"{words}:")
            for rank, title in RANKS.items():
                of_rank = [entry for entry in entries if entry.rank == rank]
                if of_rank:
                    found = _entry_lines(of_rank)
                    if len(found) > SHOWN and not everything:
                        found[SHOWN:] = [f"and {len(found) - SHOWN} more (--all)"]
                    lines += [f"  {rank}. {title}", *(f"     {line}" for line in found)]
        if not self.chosen:
            lines.append("nothing more fits" if self.left_out else "all models are finished")
        reached = [f"{claim} {done} of {wanted}" for claim, (done, wanted) in self.claims.items() if wanted]
        if reached:
            lines.append(f"primary cells with {MIN_SEEDS} seeds or more: {', '.join(reached)}")
        if self.command:
            lines.append(f"run it: {self.command}")
        elif self.students:
            lines.append("--set cannot say this: --write FILE.yaml writes it as an experiment")
        return lines


def _entry_lines(entries: list[Entry]) -> list[str]:
    """Return a line for all seeds of each kind of students."""
    by_words: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_words[entry.what].append(entry)
    lines = []
    for what, same in by_words.items():
        seeds = [seed for entry in same for seed in entry.seeds]
        students = sum(entry.students for entry in same)
        cost = duration(3600 * sum(entry.cost_hours for entry in same))
        word = "seeds" if len(seeds) > 1 else "seed"
        lines.append(f"{what}; {word} {', '.join(map(str, seeds))}: {count(students, 'student')}, {cost}")
    return lines


class _Costs:
    """The times of running some of the students, with everything that they need."""

    def __init__(self, overview: Overview) -> None:
        self.jobs, self.cores = overview.jobs, overview.cores
        artefacts = self.jobs.artefacts
        changes = overview.changes
        self.fixed = [
            (ref[0], estimate.seconds) for ref, estimate in overview.estimates.items() if ref[0] not in DEVICE_STAGES
        ]
        self.to_train = {id_ for change in changes.values() for id_ in change.train}
        self.to_measure = {
            ref: set(self.jobs.to_measure(change)) for ref, change in changes.items() if ref[0] in MEASURED
        }
        self.cohort_of = {id_: cohort for cohort in artefacts.cohorts.values() for id_ in cohort.students}
        self.known: dict[tuple[str, str, int], float] = {}
        self.evaluations: dict[str, list[Evaluation]] = defaultdict(list)
        for evaluation in artefacts.evaluations.values():
            self.evaluations[evaluation.unit.id].append(evaluation)

    def times(self, chosen: Iterable[str]) -> Times:
        """Return the times of a run that asks for the chosen students and no others."""
        together: dict[str, set[str]] = defaultdict(set)
        for id_ in chosen:
            together[self.cohort_of[id_].id].add(id_)
        jobs = list(self.fixed)
        teachers = {}
        for id_, students in together.items():
            cohort = self.jobs.artefacts.cohorts[id_]
            if missing := len(students & self.to_train):
                jobs.append(("cohorts", self._seconds("cohorts", self.jobs.cohort, cohort, missing)))
            jobs += self._evaluations(id_, students)
            if cohort.teacher:
                teachers[cohort.teacher.id] = cohort.teacher
        for id_, teacher in teachers.items():
            if id_ in self.to_train:
                jobs.append(("teachers", self._seconds("teachers", self.jobs.teacher, teacher, 1)))
            jobs += self._evaluations(id_, {id_})
        return total(jobs, self.jobs.timing, self.cores)

    def _evaluations(self, unit: str, models: set[str]) -> list[tuple[str, float]]:
        jobs = [("evaluations", evaluation, self.jobs.evaluation) for evaluation in self.evaluations[unit]]
        if unit in self.jobs.artefacts.corrupted:
            jobs.append(("robustness", self.jobs.artefacts.corrupted[unit], self.jobs.robustness))
        return [
            (stage, self._seconds(stage, estimate, artefact, wanted))
            for stage, artefact, estimate in jobs
            if (wanted := len(models & self.to_measure.get((stage, artefact.id), set())))
        ]

    def _seconds(
        self, stage: str, estimate: Callable[..., Estimate], artefact: Teacher | Cohort | Evaluation, models: int
    ) -> float:
        """Return the time of a job of so many models; the same jobs are asked for again and again."""
        key = stage, artefact.id, models
        if key not in self.known:
            self.known[key] = estimate(artefact, models).seconds
        return self.known[key]


def choose(overview: Overview, args: argparse.Namespace) -> Budget:
    """Return what fits, and write it as an experiment where ``--write`` asks for that.

    Blocks are taken in the order of their value, each if it still fits with its teachers and evaluations. Students that
    are finished cost nothing and are always in.

    Args:
        overview: of the whole run.
        args: of the command: ``budget_hours``, ``write``, ``experiment``, ``set``.

    Raises:
        VicinalError: there is a file of the name to be written already.
    """
    if args.write and args.write.exists():
        raise VicinalError(f"--write {args.write}: there is such a file already; give another name")
    artefacts, costs = overview.jobs.artefacts, _Costs(overview)
    grid = Grid(artefacts)
    chosen = {id_ for id_ in artefacts.students if id_ not in costs.to_train}
    spent = costs.times(chosen).hours
    taken, left = [], []
    for block in grid.blocks():
        new = set(block.students) - chosen
        if not new:
            continue
        cost = costs.times(chosen | new).hours - spent
        fits = block.needs <= chosen and spent + cost <= args.budget_hours
        (taken if fits else left).append(_entry(block, len(new), cost))
        if fits:
            chosen |= new
            spent += cost
    times = costs.times(chosen)
    return Budget(
        hours=args.budget_hours,
        cost_hours=times.hours if chosen else 0.0,
        wall_seconds=times.wall_seconds if chosen else 0.0,
        students=len(chosen),
        complete=len(chosen) == len(artefacts.students),
        chosen=taken,
        left_out=left,
        claims=grid.covered(chosen),
        command=_command(args, overview, chosen) if chosen else None,
        device=times.device,
    )


def _entry(block: Block, students: int, cost: float) -> Entry:
    return Entry(block.rank, block.what, block.seeds, students, cost)


def _command(args: argparse.Namespace, overview: Overview, chosen: set[str]) -> str | None:
    if args.write is None:
        return command_of(args, overview.jobs.artefacts, chosen)
    write_experiment(args.write, overview, chosen)
    return f"./reproduce {args.write}"


def write_experiment(path: Path, overview: Overview, chosen: set[str]) -> None:
    """Write the chosen students as an experiment, or as a collection of experiments, in YAML."""
    name = path.stem
    config = write_config(experiments_of(overview.jobs.artefacts, chosen, name), name)
    head = f"# What fits in a budget, chosen from {overview.name} by ./reproduce plan --budget-hours.\n"
    write_text(path, head + yaml.safe_dump(config, sort_keys=False, default_flow_style=None, width=120))

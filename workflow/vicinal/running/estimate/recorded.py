"""Recorded wall times of finished jobs, with the work that each did."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vicinal.files import read_object
from vicinal.results import EVALUATION, RECORD
from vicinal.running.estimate.shape import Shape, recorded_shape
from vicinal.running.estimate.work import Machine, Work, evaluation_work, tables_work, training_work
from vicinal.spec import canonical, is_given

# What sets the students of a cohort apart; those of one job share the rest, and the record of how they were made.
OWN = ("temperature", "logit_scale", "loss")


ShapeOf = Callable[[dict[str, Any]], Shape | None]


class RecordedJob(NamedTuple):
    """A finished job: its wall time in s without the start-up, where it ran, what it computed."""

    seconds: float
    machine: Machine
    work: Work


@dataclass
class History:
    """What the records of a results folder say about time.

    Attributes:
        jobs: of training (a teacher, or the students of a cohort that were trained together) and of evaluation (all
            models of a teacher or cohort).
        startups: seconds from the start of a teacher's process until its work began.
        rules: rule → wall seconds of the jobs that train and measure nothing.
    """

    jobs: list[RecordedJob] = field(default_factory=list)
    startups: list[float] = field(default_factory=list)
    rules: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def read_history(results: Path) -> History:
    """Return what the records below ``results`` say; records that cannot be read say nothing."""
    shapes: dict[str, Shape | None] = {}
    history = History()

    def shape_of(spec: dict[str, Any]) -> Shape | None:
        key = canonical(spec["data"])
        if key not in shapes:
            shapes[key] = recorded_shape(spec["data"], results)
        return shapes[key]

    _read_teachers(results, shape_of, history)
    _read_cohorts(results, shape_of, history)
    _read_evaluations(results, shape_of, history)
    for path in sorted((results / "benchmarks").glob("*/**/*.tsv")):
        if (seconds := benchmark_seconds(path)) is not None:
            history.rules[path.relative_to(results / "benchmarks").parts[0]].append(seconds)
    return history


def _read_teachers(results: Path, shape_of: ShapeOf, history: History) -> None:
    for record in _records(results / "teachers", f"*/model/{RECORD}"):
        spec, shape, seconds = record["spec"], shape_of(record["spec"]), record["provenance"]["wall_seconds"]
        if not shape or is_given(spec):  # nothing was trained
            continue
        history.jobs.append(RecordedJob(seconds, _machine(record), training_work(spec, 1, shape)))
        whole = benchmark_seconds(results / "teachers" / record["id"] / "benchmark.tsv")
        if whole is not None and whole > seconds:  # a later job that kept the teacher is shorter
            history.startups.append(whole - seconds)


def _read_cohorts(results: Path, shape_of: ShapeOf, history: History) -> None:
    together: dict[tuple, list[dict]] = defaultdict(list)
    for record in _records(results / "students", f"*/{RECORD}"):
        shared = {key: value for key, value in record["spec"].items() if key not in OWN}
        made = record["provenance"]
        together[canonical(shared), made["began"], made["wall_seconds"]].append(record)
    for (_, _, seconds), records in together.items():
        spec, shape = records[0]["spec"], shape_of(records[0]["spec"])
        if shape:
            history.jobs.append(RecordedJob(seconds, _machine(records[0]), training_work(spec, len(records), shape)))


def _read_evaluations(results: Path, shape_of: ShapeOf, history: History) -> None:
    folders: dict[Path, list[dict]] = defaultdict(list)
    for record in _records(results / "evaluations", f"*/*/{EVALUATION}"):
        folders[record["folder"].parent].append(record)
    for records in folders.values():
        unit, pairs = records[0]["spec"]["unit"], records[0]["spec"]["pairs"]
        if shape := shape_of(unit):
            is_teacher = unit["stage"] == "teacher"  # its answers are taken before its watch starts
            work = tables_work(unit, shape, pairs) if is_teacher else evaluation_work(unit, len(records), shape, pairs)
            seconds = sum(record["provenance"]["wall_seconds"] for record in records)
            history.jobs.append(RecordedJob(seconds, _machine(records[0]), work))


def _machine(record: dict[str, Any]) -> Machine:
    made = record["provenance"]
    kind = "cuda" if made["device"].startswith("cuda") else "cpu"
    return Machine(kind, made["gpu" if kind == "cuda" else "cpu"], made["threads"])


def benchmark_seconds(path: Path) -> float | None:
    """Return the wall seconds that Snakemake's benchmark file has; None where there is none to be read."""
    try:
        return float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
    except (OSError, ValueError, IndexError):
        return None


def _records(folder: Path, pattern: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON records that can be read and have a spec and a provenance, each with its ``folder``."""
    for path in sorted(folder.glob(pattern)):
        record = read_object(path)
        if all(isinstance(record.get(name), dict) for name in ("spec", "provenance")):
            yield {**record, "folder": path.parent}

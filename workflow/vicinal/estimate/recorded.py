"""Recorded wall times of finished jobs: how much longer, or shorter, than at the stated rates each took."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vicinal.estimate.shape import Shape, recorded_shape
from vicinal.estimate.work import Machine, Work, answers_work, evaluation_work, seen_shape, tables_work, training_work
from vicinal.files import read_object
from vicinal.results import EVALUATION, RECORD
from vicinal.spec import canonical, is_given

# What sets the students of a cohort apart; those of one job share the rest, and the record of how they were made.
OWN = ("temperature", "logit_scale", "loss")


class Job(NamedTuple):
    """A finished job: when it began, its wall time in s, what it computed."""

    began: str
    seconds: float
    machine: Machine
    work: Work


@dataclass
class History:
    """What the records of a results folder say about time.

    Attributes:
        jobs: of training (a teacher, or the students of a cohort that were trained together) and of evaluation (all
            models of a teacher or cohort).
        startups: stage → seconds from the start of the process until the work begins, of each job that tells.
        rules: rule → wall seconds of the jobs that train and measure nothing.
    """

    jobs: list[Job]
    startups: dict[str, list[float]]
    rules: dict[str, list[float]]


def read_history(results: Path) -> History:
    """Return what the records below ``results`` say; records that cannot be read say nothing."""
    shapes: dict[str, Shape | None] = {}
    history = History([], defaultdict(list), defaultdict(list))

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


def _read_teachers(results: Path, shape_of: Any, history: History) -> None:
    for record in _records(results / "teachers", f"*/model/{RECORD}"):
        spec, shape = record["spec"], shape_of(record["spec"])
        if shape and not is_given(spec):  # nothing was trained
            job = _job(record, training_work(spec, 1, shape))
            history.jobs.append(job)
            _add_startup(history, "teachers", results / "teachers" / record["id"], job.seconds)


def _read_cohorts(results: Path, shape_of: Any, history: History) -> None:
    together: dict[tuple, list[dict]] = defaultdict(list)
    for record in _records(results / "students", f"*/{RECORD}"):
        shared = {key: value for key, value in record["spec"].items() if key not in OWN}
        made = record["provenance"]
        together[canonical(shared), made["began"], made["wall_seconds"]].append(record)
    job_of: dict[str, Job] = {}
    for records in together.values():
        spec, shape = records[0]["spec"], shape_of(records[0]["spec"])
        if shape:
            job = _job(records[0], training_work(spec, len(records), shape))
            history.jobs.append(job)
            job_of |= {record["id"]: job for record in records}
    for manifest in _records(results / "cohorts", "*/manifest.json", needs=("students",)):
        jobs = [job_of[id_] for id_ in manifest["students"] if id_ in job_of]
        if jobs:
            # The benchmark is of the last job; the students of earlier ones were kept by it.
            _add_startup(history, "cohorts", manifest["folder"], max(jobs).seconds)


def _read_evaluations(results: Path, shape_of: Any, history: History) -> None:
    folders: dict[Path, list[dict]] = defaultdict(list)
    for record in _records(results / "evaluations", f"*/*/{EVALUATION}"):
        folders[record["folder"].parent].append(record)
    for folder, records in folders.items():
        settings = records[0]["spec"]
        unit, pairs, shape = settings["unit"], settings["pairs"], shape_of(settings["unit"])
        if not shape:
            continue
        shape = seen_shape(unit, shape)
        if unit["stage"] == "teacher":  # its answers are taken before its watch starts
            work, before = tables_work(unit, pairs, shape), unit["model"]
        else:
            work, before = evaluation_work(unit, len(records), pairs, shape), (unit.get("teacher") or {}).get("model")
        first = min(records, key=lambda record: record["provenance"]["began"])
        seconds = sum(record["provenance"]["wall_seconds"] for record in records)
        job = _job(first, work)._replace(seconds=seconds)
        history.jobs.append(job)
        asked = answers_work(before, pairs, shape).stated_seconds(job.machine) if before else 0.0
        _add_startup(history, "evaluations", folder, seconds + asked)


def _job(record: dict[str, Any], work: Work) -> Job:
    made = record["provenance"]
    return Job(made["began"], made["wall_seconds"], _machine(made), work)


def _machine(made: dict[str, Any]) -> Machine:
    kind = "cuda" if made["device"].startswith("cuda") else "cpu"
    return Machine(kind, made["gpu" if kind == "cuda" else "cpu"], made["threads"], made.get("processes", 1))


def _add_startup(history: History, stage: str, folder: Path, seconds: float) -> None:
    """Keep what a job took beyond ``seconds``; nothing where its benchmark is of a later job that kept all."""
    whole = benchmark_seconds(folder / "benchmark.tsv")
    if whole is not None and whole > seconds:
        history.startups[stage].append(whole - seconds)


def benchmark_seconds(path: Path) -> float | None:
    """Return the wall seconds that Snakemake's benchmark file has; None where there is none to be read."""
    try:
        return float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
    except (OSError, ValueError, IndexError):
        return None


def _records(folder: Path, pattern: str, needs: tuple[str, ...] = ("spec", "provenance")) -> Iterator[dict[str, Any]]:
    """Yield the JSON records that can be read and have what is needed, each with its ``folder``."""
    for path in sorted(folder.glob(pattern)):
        record = read_object(path)
        if all(isinstance(record.get(name), dict) for name in needs):
            yield {**record, "folder": path.parent}

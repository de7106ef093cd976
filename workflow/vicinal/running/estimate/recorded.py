"""Recorded times of finished jobs, with the work that each did."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vicinal.files import read_object
from vicinal.results import BENCHMARK, EVALUATION, RECORD
from vicinal.running.estimate.shape import Shape, recorded_shape
from vicinal.running.estimate.work import Machine, Work, evaluation_work, tables_work, training_work
from vicinal.spec import canonical, is_given

# The settings in which the students of a cohort differ.
OWN = ("temperature", "logit_scale", "loss")


class RecordedJob(NamedTuple):
    """A finished job: its time in s (``_seconds``) without the start-up, where it ran, what it computed."""

    seconds: float
    machine: Machine
    work: Work


@dataclass
class Recorded:
    """What the records of a results folder say about time."""

    # Of training (a teacher, or the students of a cohort that were trained together) and of evaluation (the models of a
    # teacher or cohort).
    jobs: list[RecordedJob] = field(default_factory=list)
    # Seconds from the start of a teacher's process until its training began.
    startups: list[float] = field(default_factory=list)
    # Rule → wall seconds of the jobs that train and measure nothing.
    rules: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def read_recorded(results: Path) -> Recorded:
    """Return what the records below ``results`` say; records that cannot be read are left out."""
    found = Recorded()
    shapes: dict[str, Shape | None] = {}
    for job in _jobs(results):
        records = list(job.values())
        spec, made = records[0]["spec"], records[0]["provenance"]
        unit, seconds = spec.get("unit", spec), _seconds(made)
        key = canonical(unit["data"])
        if key not in shapes:
            shapes[key] = recorded_shape(unit["data"], results)
        if not (shape := shapes[key]):
            continue
        is_teacher = unit["stage"] == "teacher"
        if unit is spec:
            work = training_work(unit, len(records), shape)
            if is_teacher:
                whole = benchmark_seconds(results / "teachers" / records[0]["id"] / BENCHMARK)
                wall = made["wall_seconds"]
                if whole is not None and whole > wall:  # a later job that kept the teacher is shorter
                    found.startups.append(whole - wall)
        else:
            seconds = sum(_seconds(record["provenance"]) for record in records)
            # The clocks start when the teacher has answered.
            work = (tables_work if is_teacher else evaluation_work)(unit, len(records), shape, spec["pairs"])
        found.jobs.append(RecordedJob(seconds, _machine(made), work))
    for path in sorted((results / "benchmarks").glob("*/**/*.tsv")):
        if (took := benchmark_seconds(path)) is not None:
            found.rules[path.relative_to(results / "benchmarks").parts[0]].append(took)
    return found


def hours_to_make(results: Path) -> dict[Path, float]:
    """Return record of a trained or measured model → wall hours that making it took; a cohort's are shared equally."""
    hours = {}
    for job in _jobs(results):
        for path, record in job.items():
            together = 1 if "unit" in record["spec"] else len(job)
            hours[path] = record["provenance"]["wall_seconds"] / 3600 / together
    return hours


def _jobs(results: Path) -> Iterable[dict[Path, dict[str, Any]]]:
    """Return the records of each job by path: one teacher, students trained together, or models measured together."""
    jobs: dict[Any, dict[Path, dict[str, Any]]] = defaultdict(dict)
    for pattern in (f"teachers/*/model/{RECORD}", f"students/*/{RECORD}", f"evaluations/*/*/{EVALUATION}"):
        for path in sorted(results.glob(pattern)):
            record = read_object(path)
            spec: Any = record.get("spec")
            made: Any = record.get("provenance")
            is_whole = isinstance(spec, dict) and isinstance(made, dict) and made.keys() >= {"began", "wall_seconds"}
            if not is_whole or is_given(spec):
                continue  # damaged, or not trained here
            key: Any = path.parent.parent
            if "unit" in spec:
                key = key, canonical(spec["unit"])
            elif key.name == "students":
                shared = {name: value for name, value in spec.items() if name not in OWN}
                key = canonical(shared), made["began"], made["wall_seconds"]
            jobs[key][path] = record
    return jobs.values()


def _seconds(made: dict[str, Any]) -> float:
    """Return the wall time that a job would have taken on a machine of its own, in s.

    On the CPU it is the CPU time of a thread: on a busy machine a job waits for its turn.
    """
    wall, cpu = made["wall_seconds"], made.get("cpu_seconds")
    # The CPU time of a resumed training is that of its last process only.
    if cpu is None or made.get("resumed") or made["device"].startswith("cuda"):
        return wall
    return min(wall, cpu / made["threads"])


def _machine(made: dict[str, Any]) -> Machine:
    kind = "cuda" if made["device"].startswith("cuda") else "cpu"
    return Machine(kind, made["gpu" if kind == "cuda" else "cpu"], made["threads"])


def benchmark_seconds(path: Path) -> float | None:
    """Return the wall seconds in one of Snakemake's benchmark files; None where it cannot be read."""
    try:
        return float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
    except (OSError, ValueError, IndexError):
        return None

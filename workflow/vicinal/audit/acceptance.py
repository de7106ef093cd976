"""Keeping finished results under changed code, on request: their records say that it was done, when, and from what."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vicinal.evaluation.files import MEASURES, lacking_tables, needed_files
from vicinal.evaluation.robustness import VALUES
from vicinal.files import read_json, read_object, write_json
from vicinal.jobs.plan import measured_models, record_key, recorded_key, recorded_parts
from vicinal.jobs.records import manifest_of
from vicinal.planning.plans import Plan, Ref
from vicinal.results import EVALUATION, HISTORY, MEASURED, META, STAGES, TRAINED


def accept_code(plans: Iterable[Plan], results: Path) -> Iterator[str]:
    """Let existing results count under the present code; yield a line for each stage and change of code.

    A result is accepted if only its code differs from its plan: in its record ``code`` becomes the present fingerprint,
    and ``accepted`` gets an entry with the date and both fingerprints. This holds for data stores, teachers, students
    and measurements; tables and what follows are made again. A result that lacks something which these need now is not
    accepted: the run makes it again.

    Args:
        plans: of all wanted artefacts, upstream ones first (``build_plans``).
    """
    date = datetime.now(UTC).isoformat(timespec="seconds")
    accepted: Counter[tuple[str, str, str]] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    fresh: set[Ref] = set()
    for plan in plans:
        whole = True
        for _, path, spec, code in plan.code_records(results):
            record = read_object(path)
            before = record.get("code")
            if record.get("spec") != spec or before in (None, code):
                continue
            if lacking := _lacking(plan, path.parent, record):
                refused[plan.stage, ", ".join(lacking)] += 1
                whole = False
                continue
            entry = {"date": date, "from": before, "to": code}
            _rewrite(path, {**record, "code": code, "accepted": [*record.get("accepted", []), entry]})
            accepted[plan.stage, before, code] += 1
        if recorded_key(results / plan.output) == plan.key:
            fresh.add(plan.ref)
        elif STAGES[plan.stage].holds and whole and _differs_by_code(plan, results, fresh):
            _renew(plan, results)
            fresh.add(plan.ref)
    for (stage, before, code), count in accepted.items():
        yield f"accepted under the present code: {STAGES[stage].holds}: {count}, code {before} → {code}"
    for (stage, part), count in refused.items():
        yield f"not accepted, but made again: {STAGES[stage].holds}: {count}, made by older code without {part}"
    if not (accepted or refused):
        yield "accepted nothing: no result here differs from its plan by code only"


def _lacking(plan: Plan, folder: Path, record: dict[str, Any]) -> list[str]:
    """Return the names of what a result lacks because older code did not write it."""
    if plan.stage in TRAINED:
        return [] if HISTORY in record.get("sha256", {}) else [HISTORY]
    if plan.stage == "robustness":
        return [] if VALUES in record else [f"metrics in {EVALUATION}"]
    if plan.stage == "evaluations":
        return lacking_files(folder, record["spec"]["unit"]["stage"] == "teacher")
    return []


def lacking_files(folder: Path, is_teacher: bool) -> list[str]:
    """Return the names of the files and tables that a model's evaluation lacks; teachers have more than others."""
    absent = [name for name in needed_files("evaluations", is_teacher) if not (folder / name).is_file()]
    if MEASURES in absent:
        return absent
    try:
        present = pq.read_schema(folder / MEASURES).names
    except (pa.ArrowException, OSError):
        return [f"a readable {MEASURES}", *absent]
    return absent + [f"{name} in {MEASURES}" for name in lacking_tables(present, is_teacher)]


def _rewrite(path: Path, content: Any) -> None:
    """Write a record again, with the time that it had, so that nothing made from it looks old."""
    status = path.stat()
    write_json(path, content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _differs_by_code(plan: Plan, results: Path, fresh: set[Ref]) -> bool:
    """Return whether an output exists and differs only by code, its own or that of what it is made from."""
    output = results / plan.output
    parts = recorded_parts(output)
    return (
        output.exists()
        and all((results / directory).is_dir() for directory in plan.directories)
        and parts.get("students", {}).keys() == plan.content.get("students", {}).keys()
        and parts.get("units", {}).keys() == plan.content.get("units", {}).keys()
        and parts.get("upstream", {}).keys() == plan.content["upstream"].keys()
        and fresh.issuperset(plan.upstream)
    )


def _renew(plan: Plan, results: Path) -> None:
    """Give an output the key of its plan, and what it repeats of its records."""
    output = results / plan.output
    if plan.stage == "data":
        _rewrite(output, read_json(output.with_name(META)))
    if plan.stage in MEASURED:
        _rewrite(output, manifest_of(output.parent, measured_models(plan.content)))
    record_key(output, plan.content)

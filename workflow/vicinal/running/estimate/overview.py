"""What a run would do, as data: jobs with reasons and times, totals, disk."""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vicinal.config import Execution
from vicinal.data.corruptions.catalogue import ARCHIVES, outlook
from vicinal.files import read_object
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.changes import Change
from vicinal.planning.plans import Plan, Ref
from vicinal.results import ON_DEVICE, STAGES
from vicinal.running.estimate.blocks import block_parts, seed_parts
from vicinal.running.estimate.disk import estimate_disk, nearest_existing
from vicinal.running.estimate.jobs import Jobs, energy_use, total
from vicinal.running.estimate.recorded import read_recorded
from vicinal.running.estimate.timing import present_machine


def make_overview(
    name: str,
    artefacts: Artefacts,
    plans: Iterable[Plan],
    changes: Mapping[Ref, Change],
    execution: Execution,
    cores: int,
    results: Path,
) -> dict[str, Any]:
    """Return what a run would do, as ``./reproduce plan --json`` prints it (``vicinal.commands.plan.SCHEMA``).

    Raises VicinalError: the data cannot be read, or a network cannot be counted (``Costs.of``).
    """
    machine = present_machine(execution.device, execution.threads, cores)
    estimator = Jobs(artefacts, changes, results, machine, read_recorded(results) if changes else None)
    jobs: list[dict[str, Any]] = [
        {"rule": change.rule, "stage": ref[0], "id": ref[1], "reasons": change.reasons, "train": change.train}
        | estimator.estimate(change)._asdict()
        for ref, change in changes.items()
    ]
    wanted, run = Counter(plan.stage for plan in plans), Counter(stage for stage, _ in changes)
    train = {
        stage: sum(len(job["train"]) for job in jobs if job["stage"] == stage) for stage in ("teachers", "cohorts")
    }
    trained = sum(not teacher.is_given for teacher in artefacts.teachers.values())
    keep = {"teachers": trained - train["teachers"], "cohorts": len(artefacts.students) - train["cohorts"]}
    times = total(((job["stage"], job["seconds"]) for job in jobs), machine, cores)
    parts, free = estimate_disk(estimator), shutil.disk_usage(nearest_existing(results)).free
    needed = sum(parts.values())
    sources = Counter(job["source"] for job in jobs if job["stage"] in ON_DEVICE)
    return {
        "experiment": name,
        "jobs": jobs,
        "stages": [
            {
                "stage": stage,
                "wanted": wanted[stage],
                "run": run[stage],
                "train": train.get(stage),
                "keep": keep.get(stage),
            }
            for stage in STAGES
            if wanted[stage]
        ],
        "totals": {
            "jobs": len(jobs),
            "students": train["cohorts"],
            "students_kept": keep["cohorts"],
            "teachers": train["teachers"],
            "teachers_kept": keep["teachers"],
            "cluster_jobs": {STAGES[stage].rule: run[stage] for stage in ON_DEVICE if run[stage]},
        },
        "time": times | {"sources": dict(sources.most_common())},
        "disk": {"parts": parts, "free": free, "needed": needed, "fits": needed <= free},
        "blocks": block_parts(estimator),
        "seeds": seed_parts(estimator),
        "notes": corruption_notes(artefacts, results),
        "energy": energy_use(times["device_hours"], execution.energy),
    }


def corruption_notes(artefacts: Artefacts, results: Path) -> list[str]:
    """Return what a run can expect of the corrupted images that are asked for, a line for each data store."""
    stores = {study.store.id: study.store for study in artefacts.studies.values() if study.wants_corruptions}
    found = []
    for store in stores.values():
        name, record = store.spec["name"], read_object(results / STAGES["corruptions"].output_of(store.id))
        archive = Path(store.root) / ARCHIVES[name].file if name in ARCHIVES else None
        if text := outlook(name, record, archive):
            found.append(f"corrupted images of {name}: {text}")
    return found

"""Planning: one small plan file an artefact, which says what is wanted; they carry the rerun contract.

The main process writes them when the workflow is parsed. A plan file is an input of its job, so a change of its
content is what makes Snakemake run the job. Its key is the hash of its own content and of the keys of what it is made
from, and a finished job leaves the key of the plan it read in ``<output>.key``: where the two differ the output is
stale, whatever Snakemake's own records say.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vicinal.config import Data, Execution, validate
from vicinal.data.catalogue import resolve_source
from vicinal.errors import VicinalError
from vicinal.figures import FIGURES
from vicinal.files import sha256, write_text
from vicinal.fingerprint import named_modules, stage_fingerprint
from vicinal.grid import Artefacts, Cohort, Evaluation, Store, Study, Teacher, expand
from vicinal.plan import recorded_key
from vicinal.spec import digest

# (stage, id) → key
Keys = dict[tuple[str, str], str]

# What a report is made from besides code and results.
WORKFLOW = Path(__file__).resolve().parents[1]
REPORT_FILES = [*sorted((WORKFLOW / "report").iterdir()), WORKFLOW / "reference" / "published.csv"]

# Older than any output: a plan file of this age makes nothing run.
LONG_AGO = 946_684_800


def plan_experiments(
    config: Mapping, where: str, folder: Path, write: bool, results: Path = Path("results")
) -> tuple[Artefacts, Execution]:
    """Return what a config asks for, and how it runs; write the plan files.

    Args:
        config: of an experiment or a collection, not yet validated.
        where: what to call the config in messages.
        folder: where the experiments lie that a collection names.
        write: whether this process keeps the plan files: the main one, while no other run holds Snakemake's lock.
        results: the results folder.

    Raises:
        VicinalError: the config is wrong, or its data cannot be found.
    """
    experiments = validate(config, where, folder=folder)
    execution = experiments[0].execution
    if any(experiment.execution != execution for experiment in experiments):
        raise VicinalError(f"{where}: execution: differs between the experiments; give all the same")
    cache = results / "plan" / "sources.json"
    artefacts = expand([(experiment, _content(experiment.data, cache)) for experiment in experiments])
    if write and not _is_locked():
        write_plans(build_plans(artefacts, FIGURES), results)
    return artefacts, execution


def _content(data: Data, cache: Path) -> dict:
    return resolve_source(data.name, data.root, data.source, data.image_column, data.label_column, cache)


def _is_locked() -> bool:
    locks = Path(".snakemake/locks")
    return locks.is_dir() and any(locks.iterdir())


@dataclass
class Plan:
    """What is wanted of one artefact. ``output`` is the declared output whose key is compared."""

    stage: str
    id: str
    output: str
    content: dict
    directories: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Return where the plan file lies, below the results folder."""
        return f"plan/{self.stage}/{self.id}.json"

    @property
    def key(self) -> str:
        """Return the hash of the content, which holds the keys of everything upstream."""
        return self.content["key"]


def build_plans(artefacts: Artefacts, figures: Iterable[str]) -> Iterator[Plan]:
    """Yield the plans of all artefacts, upstream ones first."""
    keys: Keys = {}
    for store in artefacts.stores.values():
        yield _keyed(_data_plan(store), keys)
    for teacher in artefacts.teachers.values():
        yield _keyed(_teacher_plan(teacher, keys), keys)
    for cohort in artefacts.cohorts.values():
        yield _keyed(_cohort_plan(cohort, keys), keys)
    for evaluation in artefacts.evaluations.values():
        yield _keyed(_evaluation_plan(evaluation, keys), keys)
    for study in artefacts.studies.values():
        yield _keyed(_study_plan(study, keys), keys)
        yield _keyed(_claims_plan(study, keys), keys)
        for figure in figures:
            yield _keyed(_figure_plan(study, figure, keys), keys)
        yield _keyed(_report_plan(study, figures, keys), keys)


def _keyed(plan: Plan, keys: Keys) -> Plan:
    plan.content = {"stage": plan.stage, "id": plan.id, **plan.content}
    plan.content["key"] = keys[plan.stage, plan.id] = digest(plan.content)
    return plan


def _data_plan(store: Store) -> Plan:
    content = {"spec": store.spec, "code": stage_fingerprint("data")}
    return Plan("data", store.id, f"data/{store.id}/data.json", content)


def _teacher_plan(teacher: Teacher, keys: Keys) -> Plan:
    content = {
        "spec": teacher.spec,
        "code": stage_fingerprint("teachers", named_modules(teacher.spec)),
        "upstream": {"data": keys["data", teacher.store.id]},
    }
    return Plan(
        "teachers", teacher.id, f"teachers/{teacher.id}/teacher.json", content, [f"teachers/{teacher.id}/model"]
    )


def _cohort_plan(cohort: Cohort, keys: Keys) -> Plan:
    upstream = {"data": keys["data", cohort.store.id]}
    if cohort.teacher:
        upstream["teacher"] = keys["teachers", cohort.teacher.id]
    students = {
        student.id: {"own": student.own, "code": stage_fingerprint("cohorts", named_modules(student.spec))}
        for student in cohort.students.values()
    }
    content = {"spec": cohort.spec, "students": students, "upstream": upstream}
    directories = [f"students/{student}" for student in students]
    return Plan("cohorts", cohort.id, f"cohorts/{cohort.id}/manifest.json", content, directories)


def _evaluation_plan(evaluation: Evaluation, keys: Keys) -> Plan:
    unit = evaluation.unit
    stage = "teachers" if isinstance(unit, Teacher) else "cohorts"
    content = {
        "spec": {**evaluation.settings, "unit": unit.spec},
        "models": sorted(model.id for model in evaluation.models),
        "code": stage_fingerprint("evaluations", named_modules(unit.spec)),
        "upstream": {"data": keys["data", unit.store.id], stage: keys[stage, unit.id]},
    }
    directories = [f"evaluations/{evaluation.id}/{model}" for model in content["models"]]
    return Plan("evaluations", evaluation.id, f"evaluations/{evaluation.id}/manifest.json", content, directories)


def _study_plan(study: Study, keys: Keys) -> Plan:
    models = {id_: {"evaluation": evaluation, **columns} for id_, (evaluation, columns) in study.models.items()}
    content = {
        "spec": {"name": study.experiment.name, "data": study.store.spec, "models": models},
        "code": stage_fingerprint("experiments"),
        "upstream": {id_: keys["evaluations", id_] for id_ in sorted(study.evaluations)},
    }
    return Plan("experiments", study.experiment.name, f"{study.experiment.name}/metrics.parquet", content)


def _claims_plan(study: Study, keys: Keys) -> Plan:
    name = study.experiment.name
    content = {
        "spec": {"experiment": name},
        "code": stage_fingerprint("claims"),
        "upstream": {"experiments": keys["experiments", name]},
    }
    return Plan("claims", name, f"{name}/claims.parquet", content)


def _figure_plan(study: Study, figure: str, keys: Keys) -> Plan:
    name = study.experiment.name
    content = {
        "spec": {"experiment": name, "figure": figure},
        "code": stage_fingerprint("figures", (f"vicinal.figures.{figure}",)),
        "upstream": {"experiments": keys["experiments", name]},
    }
    return Plan("figures", f"{name}/{figure}", f"{name}/figures/{figure}.pdf", content)


def _report_plan(study: Study, figures: Iterable[str], keys: Keys) -> Plan:
    name = study.experiment.name
    content = {
        "spec": {"experiment": name},
        "code": stage_fingerprint("reports"),
        "upstream": {
            "experiments": keys["experiments", name],
            "claims": keys["claims", name],
            **{figure: keys["figures", f"{name}/{figure}"] for figure in figures},
        },
        "files": {path.name: sha256(path) for path in REPORT_FILES},
    }
    return Plan("reports", name, f"{name}/report.html", content)


def write_plans(plans: Iterable[Plan], results: Path) -> dict[str, list[str]]:
    """Write the plan files that changed; make those of stale artefacts newer than the output, of fresh ones older.

    A plan is stale where its key is not the one recorded beside the output, or where a directory that the output
    speaks of is gone.

    Returns:
        The ids of the stale artefacts of each stage.
    """
    stale: dict[str, list[str]] = {}
    listings: dict[Path, set[Path]] = {}
    for plan in plans:
        fresh = recorded_key(results / plan.output) == plan.key and all(
            _is_listed(results / directory, listings) for directory in plan.directories
        )
        if not fresh:
            stale.setdefault(plan.stage, []).append(plan.id)
        _write_plan(plan, results, fresh)
    return stale


def _is_listed(directory: Path, listings: dict[Path, set[Path]]) -> bool:
    """Tell whether a directory exists, by one listing of its parent for all."""
    if directory.parent not in listings:
        listings[directory.parent] = set(directory.parent.iterdir()) if directory.parent.is_dir() else set()
    return directory in listings[directory.parent]


def _write_plan(plan: Plan, results: Path, fresh: bool) -> None:
    path = results / plan.path
    try:
        present = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        present = None
    same = isinstance(present, dict) and present.get("key") == plan.key
    # Snakemake ignores a newer file whose content it has seen before, hence the nonce.
    wants_nonce = not fresh and path.exists()
    if not same or wants_nonce:
        content = {**plan.content, "nonce": time.time_ns()} if wants_nonce else plan.content
        write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    if fresh and path.stat().st_mtime != LONG_AGO:
        os.utime(path, (LONG_AGO, LONG_AGO))

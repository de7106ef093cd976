"""Which results the experiments refer to, by the configs that are known here and by the tables that exist."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vicinal.config import read_config, validate
from vicinal.config.schema import Experiment
from vicinal.errors import VicinalError, describe
from vicinal.files import read_json, read_object
from vicinal.jobs.plan import measured_models
from vicinal.planning.experiments import EXPERIMENTS
from vicinal.planning.plans import build_plans, resolve
from vicinal.results import MEASURED, PLAN, PUBLISHED


@dataclass
class References:
    """What is referred to."""

    ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # stage → ids of artefacts
    measured: set[tuple[str, str]] = field(default_factory=set)  # pairs (evaluation, model)
    names: set[str] = field(default_factory=set)  # of experiments and collections
    sources: list[Path] = field(default_factory=list)  # files that were read
    problems: list[str] = field(default_factory=list)  # one line for each config or record that could not be read


def find_references(results: Path, configs: Iterable[Path]) -> References:
    """Return what configs and the tables of a results folder refer to."""
    found = References()
    members = cohort_members(results)
    for path in configs:
        try:
            config = read_config(path)
            experiments = validate(config, str(path), folder=EXPERIMENTS)
        except VicinalError as error:
            found.problems += describe(error).splitlines()
            continue
        found.sources.append(path)
        found.names.add(str(config["name"]))
        for experiment in experiments:
            found.names.add(experiment.name)
            _add_experiment(found, experiment, path, results)
    for path in sorted(results.glob("*/provenance.json")):
        if path.parent.name not in (PUBLISHED, PLAN):
            _add_tables(found, path, members)
    return found


def _add_experiment(found: References, experiment: Experiment, path: Path, results: Path) -> None:
    try:
        artefacts, _ = resolve([experiment], str(path), results)
    except VicinalError as error:
        name = experiment.data.name
        # If the data were never prepared here there are no results of them.
        if any(results.glob(f"data/{name}-*")) or any(results.glob(f"plan/data/{name}-*.json")):
            found.problems.append(f"{path}: {experiment.name}: {describe(error)}")
        return
    for plan in build_plans(artefacts):
        found.ids[plan.stage].add(plan.id)
        found.ids["students"].update(plan.content.get("students", {}))
        if plan.stage in MEASURED:
            found.measured.update((plan.id, model) for model in measured_models(plan.content))


def _add_tables(found: References, path: Path, members: dict[str, set[str]]) -> None:
    try:
        spec = read_json(path)["spec"]
        for id_, row in spec["models"].items():
            found.measured.add((row["evaluation"], id_))
            found.ids["evaluations"].add(row["evaluation"])
            found.ids["students" if row["role"] == "student" else "teachers"].add(id_)
            found.ids["cohorts"].update(members.get(id_, ()))
            if row.get("teacher_id"):
                found.ids["teachers"].add(row["teacher_id"])
        for id_, measurement in spec.get("corrupted", {}).items():
            found.measured.add((measurement, id_))
            found.ids["robustness"].add(measurement)
        found.ids["data"].update(spec["stores"])
        found.sources.append(path)
    except (VicinalError, KeyError, TypeError, AttributeError) as error:
        found.problems.append(
            f"{path}: not the record of an experiment's tables ({describe(error)}); run ./reproduce to make it again"
        )


def cohort_members(results: Path) -> dict[str, set[str]]:
    """Return student → cohorts, by the manifests and the plan files of the cohorts."""
    members: dict[str, set[str]] = defaultdict(set)
    for path in [*results.glob("cohorts/*/manifest.json"), *results.glob("plan/cohorts/*.json")]:
        cohort = path.parent.name if path.name == "manifest.json" else path.stem
        for student in read_object(path).get("students") or ():
            members[student].add(cohort)
    return members

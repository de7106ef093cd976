"""Plans: one small file an artefact, which says what is wanted and decides what runs again.

The main process writes them when the workflow is parsed (``vicinal.planning.files``). A plan file is an input of its
job: a change of its content makes Snakemake run the job. Its key is the hash of its content and of the keys of
everything it is made from. A finished job leaves the key of the plan it read in ``<output>.key``; where the two keys
differ the output is stale, whatever Snakemake's own records say.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vicinal.analysis.figures import FIGURES
from vicinal.config import Execution, Experiment, Override, run_name, validate
from vicinal.data.corruptions.catalogue import ARCHIVES, planned_state
from vicinal.errors import VicinalError
from vicinal.files import WORKFLOW, sha256
from vicinal.jobs.fingerprint import data_modules, named_modules, stage_fingerprint
from vicinal.jobs.records import measurement_spec
from vicinal.models.pretrained import WEIGHTS
from vicinal.planning.artefacts import Artefacts, Cohort, DataSet, Measurement, Ref, Study, Teacher
from vicinal.planning.given_files import CACHE, given_sums
from vicinal.planning.grid import expand
from vicinal.planning.problems import Problem
from vicinal.planning.skipped import collection_name, read_skipped
from vicinal.planning.sources import other_sources, source_of
from vicinal.results import EVALUATION, MEASURED, META, PLAN, RECORD, STAGES, TRAINED, model_path

# The files that a report is made from besides code and results.
REPORT_FILES = [
    *sorted(p for p in (WORKFLOW / "report").iterdir() if p.is_file()),
    WORKFLOW / "reference" / "published.csv",
]


class CodeRecord(NamedTuple):
    """The record of a result, as its plan wants it: the result's id, the record's path, its spec and its code."""

    id: str
    path: Path
    spec: dict[str, Any]
    code: str


@dataclass
class Plan:
    """What is wanted of one artefact."""

    stage: str  # a key of ``STAGES``
    id: str  # of the artefact within its stage
    content: dict  # what the plan file holds
    upstream: list[Ref] = field(default_factory=list)  # the artefacts it is made from
    # Below the results folder, that the job makes too, though the rule does not declare them.
    directories: list[str] = field(default_factory=list)

    @property
    def ref(self) -> Ref:
        """Return stage and id."""
        return self.stage, self.id

    @property
    def output(self) -> str:
        """Return the declared output whose key is compared, below the results folder."""
        return STAGES[self.stage].output_of(self.id)

    @property
    def path(self) -> str:
        """Return where the plan file lies, below the results folder."""
        return f"{PLAN}/{self.stage}/{self.id}.json"

    @property
    def key(self) -> str:
        """Return the hash of the content, in which the keys of everything upstream stand."""
        return self.content["key"]

    def code_records(self, results: Path) -> list[CodeRecord]:
        """Return the records that the job writes and that hold a code fingerprint; none of tables and what follows."""
        if self.stage == "data":
            meta = (results / self.output).with_name(META)
            return [CodeRecord(self.id, meta, self.content["spec"], self.content["code"])]
        if self.stage in MEASURED:
            folder = (results / self.output).parent
            return [
                CodeRecord(id_, folder / id_ / EVALUATION, measurement_spec(self.content, unit), unit["code"])
                for unit in self.content["units"].values()
                for id_ in unit["models"]
            ]
        if self.stage not in TRAINED:
            return []
        models = self.content.get("students", {self.id: {}})
        return [
            CodeRecord(
                id_,
                results / folder / RECORD,
                {**self.content["spec"], **own.get("own", {})},
                own.get("code") or self.content["code"],
            )
            for (id_, own), folder in zip(models.items(), self.directories, strict=True)
        ]


def resolve(
    experiments: list[Experiment],
    where: str,
    results: Path,
    collection: str | None = None,
    missing: list[Problem] | None = None,
) -> tuple[Artefacts, Execution]:
    """Return what validated experiments ask for, and how it runs.

    Args:
        results: the results folder, where the hashes of data files are kept.
        collection: name of the collection that they come from, if any.
        missing: see ``source_of``.

    Raises:
        VicinalError: the experiments cannot run together, or their data cannot be found.
    """
    execution = experiments[0].execution
    if any(experiment.execution != execution for experiment in experiments):
        raise VicinalError(f"{where}: execution: differs between the experiments; give all the same")
    cache = results / "plan" / "sources.json"
    contents = [(experiment, source_of(experiment, cache, missing)) for experiment in experiments]
    others = {experiment.name: other_sources(experiment, cache) for experiment in experiments}
    artefacts = expand(contents, collection, given_sums(experiments, cache.with_name(CACHE)), others)
    if collection:
        artefacts.skipped = read_skipped(results, collection, artefacts.studies)
    for id_ in artefacts.corruptions:
        store, record = artefacts.stores[id_], results / STAGES["corruptions"].output_of(id_)
        artefacts.corruptions[id_] = planned_state(record, Path(store.root) / ARCHIVES[store.spec["name"]].file)
    return artefacts, execution


def plan_experiments(
    config: Mapping, where: str, folder: Path, results: Path = Path("results"), overrides: Sequence[Override] = ()
) -> tuple[Artefacts, Execution]:
    """Return what a config, not yet validated, asks for, and how it runs.

    Raises VicinalError: the config is wrong, or its data cannot be found.
    """
    experiments = validate(config, where, overrides, folder)
    name = run_name(config, experiments, overrides)
    return resolve(experiments, where, results, collection_name(name, [e.name for e in experiments], results))


def build_plans(artefacts: Artefacts) -> Iterator[Plan]:
    """Yield the plans of all artefacts, upstream ones first."""
    keys: dict[Ref, str] = {}
    for plan in _plans(artefacts):
        upstream = {"/".join(ref): keys[ref] for ref in plan.upstream}
        plan.content = {"stage": plan.stage, "id": plan.id, **plan.content, "upstream": upstream}
        plan.content["key"] = keys[plan.ref] = _key(plan.content)
        yield plan


def _key(content: dict) -> str:
    # Not ``spec.digest``: specs are normalised already, and there may be thousands of plans.
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _plans(artefacts: Artefacts) -> Iterator[Plan]:
    for store in artefacts.stores.values():
        if store.downloaded:
            yield _download_plan(store)
        yield _data_plan(store)
    yield from (_corruptions_plan(artefacts.stores[id_], state) for id_, state in artefacts.corruptions.items())
    yield from map(_weights_plan, artefacts.weights)
    yield from map(_teacher_plan, artefacts.teachers.values())
    yield from map(_cohort_plan, artefacts.cohorts.values())
    yield from map(_measurement_plan, artefacts.evaluations.values())
    yield from map(_measurement_plan, artefacts.robustness.values())
    for name, study in artefacts.studies.items():
        yield _study_plan(study)
        yield Plan("claims", name, _content("claims", {"experiment": name}), [("experiments", name)])
        drawn = {"experiment": name, "figures": list(FIGURES)}
        yield Plan("figures", name, _content("figures", drawn, named_modules(drawn)), [("experiments", name)])
        yield _report_plan("reports", name, [name])
    if artefacts.collection:
        skipped = {"skipped": artefacts.skipped} if artefacts.skipped else {}
        yield _report_plan("collections", artefacts.collection, list(artefacts.studies), **skipped)


def _content(stage: str, spec: dict, modules: tuple[str, ...] = ()) -> dict:
    """Return the content of a plan: the spec, and the fingerprint of the stage's code with the modules it names."""
    return {"spec": spec, "code": stage_fingerprint(stage, modules)}


# The next three have no code fingerprint: what is downloaded is checked against published checksums.


def _download_plan(store: DataSet) -> Plan:
    return Plan("downloads", store.id, {"spec": {name: store.spec[name] for name in ("name", "source", "files")}})


def _weights_plan(name: str) -> Plan:
    return Plan("weights", name, {"spec": {"name": name, "url": WEIGHTS[name].url, "sha256": WEIGHTS[name].sha256}})


def _corruptions_plan(store: DataSet, archive_state: list[int] | None) -> Plan:
    # With the state of the archive: one that is put there later is seen.
    spec = {"name": store.spec["name"], "archive_state": archive_state}
    return Plan("corruptions", store.id, {"spec": spec}, [store.ref])


def _data_plan(store: DataSet) -> Plan:
    upstream = [("downloads", store.id)] if store.downloaded else []
    return Plan("data", store.id, _content("data", store.spec, data_modules(store.spec)), upstream)


def _training_inputs(unit: Teacher | Cohort) -> list[Ref]:
    return [unit.store.ref, *([("weights", unit.weights)] if unit.weights else [])]


def _teacher_plan(teacher: Teacher) -> Plan:
    content = _content("teachers", teacher.spec, named_modules(teacher.spec))
    return Plan("teachers", teacher.id, content, _training_inputs(teacher), [model_path("teacher", teacher.id)])


def _cohort_plan(cohort: Cohort) -> Plan:
    students = {
        student.id: {"own": student.own, "code": stage_fingerprint("cohorts", named_modules(student.spec))}
        for student in cohort.students.values()
    }
    upstream = _training_inputs(cohort) + ([cohort.teacher.ref] if cohort.teacher else [])
    directories = [model_path("student", student) for student in students]
    return Plan("cohorts", cohort.id, {"spec": cohort.spec, "students": students}, upstream, directories)


def _measurement_plan(measurement: Measurement) -> Plan:
    stage, id_ = measurement.ref
    store, teacher, units = measurement.store, measurement.teacher, measurement.units
    spec = {"evaluation": measurement.settings, "data": store.spec, "seed": measurement.seed}
    spec["teacher"] = teacher.spec if teacher else None
    content = {
        "spec": spec,
        "units": {
            unit.id: {
                "spec": unit.spec,
                "code": stage_fingerprint(stage, named_modules(unit.spec)),
                "models": sorted(model.id for model in unit.models),
            }
            for unit in sorted(units.values(), key=lambda unit: unit.ref)
        },
    }
    others = [other.ref for other in measurement.ood.values()]
    images = [("corruptions", store.id)] if stage == "robustness" else others
    upstream = [store.ref, *images, *([teacher.ref] if teacher and teacher.id not in units else [])]
    upstream += [unit.ref for unit in units.values()]
    return Plan(stage, id_, content, upstream, [f"{stage}/{id_}/{model.id}" for model in measurement.models])


def _study_plan(study: Study) -> Plan:
    name, models = study.experiment.name, study.models.items()
    spec = {
        "name": name,
        "data": study.store.spec,
        "stores": study.stores,
        "models": {id_: {"evaluation": evaluation, **columns} for id_, (evaluation, columns) in models},
    }
    if study.wants_corruptions:
        spec["corrupted"] = study.corrupted
    upstream = [study.store.ref, *(("evaluations", id_) for id_ in study.evaluations)]
    if study.corrupted:
        upstream.append(("corruptions", study.store.id))
        upstream += [("robustness", id_) for id_ in study.robustness]
    return Plan("experiments", name, _content("experiments", spec), upstream)


def _report_plan(stage: str, id_: str, experiments: list[str], **more: Any) -> Plan:
    content = _content(stage, {"experiments": experiments, **more})
    content["files"] = {path.name: sha256(path) for path in REPORT_FILES}
    upstream = [(made, name) for name in experiments for made in ("experiments", "claims", "figures")]
    return Plan(stage, id_, content, upstream)

"""Planning: one small plan file an artefact, which says what is wanted; they carry the rerun contract.

The main process writes them when the workflow is parsed (``vicinal.planning.files``). A plan file is an input of its
job, so a change of its content is what makes Snakemake run the job. Its key is the hash of its own content and of the
keys of what it is made from, and a finished job leaves the key of the plan it read in ``<output>.key``: where the two
differ the output is stale, whatever Snakemake's own records say.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vicinal.analysis.figures import FIGURES
from vicinal.config import Data, Execution, Experiment, validate
from vicinal.data.catalogue import resolve_source
from vicinal.data.corruptions.catalogue import ARCHIVES, planned_state
from vicinal.errors import VicinalError
from vicinal.files import WORKFLOW, sha256
from vicinal.jobs.fingerprint import data_modules, named_modules, stage_fingerprint
from vicinal.models.pretrained import WEIGHTS
from vicinal.planning.artefacts import Artefacts, Cohort, Corruptions, Evaluation, Store, Study, Teacher, models_of
from vicinal.planning.given_files import CACHE, given_sums
from vicinal.planning.grid import expand
from vicinal.planning.left_out import collection_name, read_skipped
from vicinal.results import PLAN, STAGES, model_path

# What a report is made from besides code and results.
REPORT_FILES = [
    *sorted(p for p in (WORKFLOW / "report").iterdir() if p.is_file()),
    WORKFLOW / "reference" / "published.csv",
]

# stage and id of an artefact
Ref = tuple[str, str]


@dataclass
class Plan:
    """What is wanted of one artefact.

    Attributes:
        stage: a key of ``STAGES``.
        id: of the artefact within its stage.
        content: what the plan file holds.
        upstream: the artefacts it is made from.
        directories: undeclared directories below the results folder that the output speaks of.
    """

    stage: str
    id: str
    content: dict
    upstream: list[Ref] = field(default_factory=list)
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
        """Return the hash of the content, which holds the keys of everything upstream."""
        return self.content["key"]


def resolve(
    experiments: list[Experiment], where: str, results: Path, collection: str | None = None
) -> tuple[Artefacts, Execution]:
    """Return what validated experiments ask for, and how it runs.

    Args:
        experiments: of one config.
        where: what to call the config in messages.
        results: the results folder; it remembers the hashes of data files.
        collection: name of the collection that they come from, if any.

    Raises:
        VicinalError: the experiments cannot run together, or their data cannot be found.
    """
    execution = experiments[0].execution
    if any(experiment.execution != execution for experiment in experiments):
        raise VicinalError(f"{where}: execution: differs between the experiments; give all the same")
    cache = results / "plan" / "sources.json"
    contents = [(experiment, _content(experiment.data, cache)) for experiment in experiments]
    artefacts = expand(contents, collection, given_sums(experiments, cache.with_name(CACHE)))
    if collection:
        artefacts.skipped = read_skipped(results, collection, artefacts.studies)
    for source in artefacts.corruptions.values():
        record = results / STAGES["corruptions"].output_of(source.store.id)
        archive = Path(source.store.root) / ARCHIVES[source.store.spec["name"]].file
        source.archive_state = planned_state(record, archive)
    return artefacts, execution


def plan_experiments(
    config: Mapping, where: str, folder: Path, results: Path = Path("results")
) -> tuple[Artefacts, Execution]:
    """Return what a config asks for, and how it runs.

    Args:
        config: of an experiment or a collection, not yet validated.
        where: what to call the config in messages.
        folder: where the experiments lie that a collection names.
        results: the results folder.

    Raises:
        VicinalError: the config is wrong, or its data cannot be found.
    """
    experiments = validate(config, where, folder=folder)
    return resolve(experiments, where, results, collection_name(config["name"], [e.name for e in experiments], results))


def _content(data: Data, cache: Path) -> dict:
    return resolve_source(data.name, data.root, data.source, data.image_column, data.label_column, cache)


def build_plans(artefacts: Artefacts, figures: Iterable[str] = FIGURES) -> Iterator[Plan]:
    """Yield the plans of all artefacts, upstream ones first."""
    keys: dict[Ref, str] = {}
    for plan in _plans(artefacts, tuple(figures)):
        upstream = {"/".join(ref): keys[ref] for ref in plan.upstream}
        plan.content = {"stage": plan.stage, "id": plan.id, **plan.content, "upstream": upstream}
        plan.content["key"] = keys[plan.ref] = _key(plan.content)
        yield plan


def _key(content: dict) -> str:
    # Not ``spec.digest``: specs are normalised already, and there may be thousands of plans.
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _plans(artefacts: Artefacts, figures: tuple[str, ...]) -> Iterator[Plan]:
    for store in artefacts.stores.values():
        if store.downloaded:
            yield _download_plan(store)
        yield _data_plan(store)
    yield from map(_corruptions_plan, artefacts.corruptions.values())
    yield from map(_weights_plan, artefacts.weights)
    yield from map(_teacher_plan, artefacts.teachers.values())
    yield from map(_cohort_plan, artefacts.cohorts.values())
    yield from map(_evaluation_plan, artefacts.evaluations.values())
    yield from map(_robustness_plan, artefacts.corrupted.values())
    for study in artefacts.studies.values():
        yield _study_plan(study)
        yield _claims_plan(study)
        yield from (_figure_plan(study, figure) for figure in figures)
        yield _report_plan(study, figures)
    if artefacts.collection:
        yield _collection_plan(artefacts, figures)


def _download_plan(store: Store) -> Plan:
    # Without a code fingerprint: what is downloaded is checked against published sums.
    spec = {"name": store.spec["name"], "source": store.spec["source"], "files": store.spec["files"]}
    return Plan("downloads", store.id, {"spec": spec})


def _weights_plan(name: str) -> Plan:
    # Without a code fingerprint, as above.
    spec = {"name": name, "url": WEIGHTS[name].url, "sha256": WEIGHTS[name].sha256}
    return Plan("weights", name, {"spec": spec})


def _weights_of(unit: Teacher | Cohort) -> list[Ref]:
    return [("weights", unit.weights)] if unit.weights else []


def _data_plan(store: Store) -> Plan:
    content = {"spec": store.spec, "code": stage_fingerprint("data", data_modules(store.spec))}
    upstream = [("downloads", store.id)] if store.downloaded else []
    return Plan("data", store.id, content, upstream)


def _corruptions_plan(source: Corruptions) -> Plan:
    # Without a code fingerprint, as downloads; with the state of the archive: one that comes later is seen.
    store = source.store
    spec = {"name": store.spec["name"], "archive_state": source.archive_state}
    return Plan("corruptions", store.id, {"spec": spec}, [("data", store.id)])


def _teacher_plan(teacher: Teacher) -> Plan:
    content = {"spec": teacher.spec, "code": stage_fingerprint("teachers", named_modules(teacher.spec))}
    upstream = [("data", teacher.store.id), *_weights_of(teacher)]
    return Plan("teachers", teacher.id, content, upstream, [model_path("teacher", teacher.id)])


def _cohort_plan(cohort: Cohort) -> Plan:
    upstream = [("data", cohort.store.id), *_weights_of(cohort)]
    if cohort.teacher:
        upstream.append(("teachers", cohort.teacher.id))
    students = {
        student.id: {"own": student.own, "code": stage_fingerprint("cohorts", named_modules(student.spec))}
        for student in cohort.students.values()
    }
    content = {"spec": cohort.spec, "students": students}
    directories = [model_path("student", student) for student in students]
    return Plan("cohorts", cohort.id, content, upstream, directories)


def _evaluation_plan(evaluation: Evaluation) -> Plan:
    return _measurement_plan("evaluations", evaluation.id, evaluation.settings, evaluation.unit)


def _robustness_plan(unit: Teacher | Cohort) -> Plan:
    # It has no settings, so its id is that of what is measured.
    return _measurement_plan("robustness", unit.id, {}, unit, [("corruptions", unit.store.id)])


def _measurement_plan(
    stage: str, id_: str, settings: dict, unit: Teacher | Cohort, upstream: Iterable[Ref] = ()
) -> Plan:
    content = {
        "spec": {**settings, "unit": unit.spec},
        "models": sorted(model.id for model in models_of(unit)),
        "code": stage_fingerprint(stage, named_modules(unit.spec)),
    }
    made_by = "teachers" if isinstance(unit, Teacher) else "cohorts"
    directories = [f"{stage}/{id_}/{model}" for model in content["models"]]
    upstream = [("data", unit.store.id), (made_by, unit.id), *upstream]
    return Plan(stage, id_, content, upstream, directories)


def _study_plan(study: Study) -> Plan:
    name = study.experiment.name
    models = {id_: {"evaluation": evaluation, **columns} for id_, (evaluation, columns) in study.models.items()}
    spec = {"name": name, "data": study.store.spec, "models": models}
    if study.wants_corruptions:
        spec["corrupted"] = study.corrupted
    content = {"spec": spec, "code": stage_fingerprint("experiments")}
    upstream = [("data", study.store.id), *(("evaluations", id_) for id_ in sorted(study.evaluations))]
    if study.corrupted:
        upstream.append(("corruptions", study.store.id))
        upstream += [("robustness", id_) for id_ in sorted(set(study.corrupted.values()))]
    return Plan("experiments", name, content, upstream)


def _claims_plan(study: Study) -> Plan:
    name = study.experiment.name
    content = {"spec": {"experiment": name}, "code": stage_fingerprint("claims")}
    return Plan("claims", name, content, [("experiments", name)])


def _figure_plan(study: Study, figure: str) -> Plan:
    name = study.experiment.name
    content = {
        "spec": {"experiment": name, "figure": figure},
        "code": stage_fingerprint("figures", (f"vicinal.analysis.figures.{figure}",)),
    }
    return Plan("figures", f"{name}/{figure}", content, [("experiments", name)])


def _report_plan(study: Study, figures: tuple[str, ...]) -> Plan:
    name = study.experiment.name
    return Plan("reports", name, _report_content("reports", [name]), _reported(name, figures))


def _collection_plan(artefacts: Artefacts, figures: tuple[str, ...]) -> Plan:
    name, experiments = artefacts.collection, list(artefacts.studies)
    upstream = [ref for experiment in experiments for ref in _reported(experiment, figures)]
    content = _report_content("collections", experiments)
    if artefacts.skipped:
        content["spec"]["skipped"] = artefacts.skipped
    return Plan("collections", name, content, upstream)


def _report_content(stage: str, experiments: list[str]) -> dict:
    return {
        "spec": {"experiments": experiments},
        "code": stage_fingerprint(stage),
        "files": {path.name: sha256(path) for path in REPORT_FILES},
    }


def _reported(experiment: str, figures: tuple[str, ...]) -> list[Ref]:
    """Return what a report shows of an experiment."""
    drawn = [("figures", f"{experiment}/{figure}") for figure in figures]
    return [("experiments", experiment), ("claims", experiment), *drawn]

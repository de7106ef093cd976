"""Changing a field of the config reruns exactly what depends on it: Snakemake's dry run against a declared table."""

import json

import pytest
from dependencies import FIELDS, Effect, changed, every, leaves
from finished import BASE, artefacts_of

from vicinal.planning.artefacts import Artefacts

EFFECTS = [effect for effects in FIELDS.values() for effect in effects]


@pytest.fixture(scope="module")
def base(project) -> Artefacts:
    return artefacts_of(BASE, project)


@pytest.fixture(scope="module")
def answers(ask_once) -> list[dict]:
    """The answers for the unchanged config, then for each effect."""
    return ask_once("fields", [{"config": BASE}, *({"config": config_of(effect)} for effect in EFFECTS)])


def config_of(effect: Effect) -> dict:
    config = changed(BASE, effect.path, effect.value)
    for path, value in effect.also.items():
        config = changed(config, path, value)
    return config


def expected(base: Artefacts, artefacts: Artefacts, effect: Effect) -> tuple[set[tuple[str, str]], set[str]]:
    """Return the jobs and the models to be trained that the declared effect of a change stands for."""
    models = {**artefacts.teachers, **artefacts.students}
    trained = {id_ for id_, model in models.items() if effect.trains(model.columns)}
    given = {id_ for id_, teacher in artefacts.teachers.items() if teacher.is_given}
    assert models.keys() - trained - given <= {**base.teachers, **base.students}.keys()
    jobs = {("prepare_data", id_) for id_ in artefacts.stores if effect.data or id_ not in base.stores}
    jobs |= {("train_teacher", id_) for id_ in artefacts.teachers if id_ in trained | given}
    for id_, cohort in artefacts.cohorts.items():
        same = id_ in base.cohorts and cohort.students.keys() == base.cohorts[id_].students.keys()
        if not same or cohort.students.keys() & trained:
            jobs.add(("distill", id_))
    made = {id_ for _, id_ in jobs}
    for id_, evaluation in artefacts.evaluations.items():
        before = base.evaluations.get(id_)
        same = before and {m.id for m in before.models} == {m.id for m in evaluation.models}
        if effect.measures or not same or made.intersection(evaluation.units):
            jobs.add(("evaluate", id_))
    [(name, study)] = artefacts.studies.items()
    if jobs or effect.renames or effect.tables or study.models.keys() != base.studies["squares"].models.keys():
        jobs |= {(rule, name) for rule in ("aggregate", "judge_claims", "plot_figures", "make_report")}
    return jobs, trained


def test_every_leaf_of_the_schema_has_a_declared_effect():
    assert sorted(FIELDS) == sorted(leaves())


def test_the_base_is_finished(answers):
    assert answers[0] == {"snakemake": [], "planned": [], "trained": [], "reasons": []}


def test_the_table_trains_something_and_not_always_all():
    assert {effect.trains.__name__ for effect in EFFECTS} > {"every", "taught", "none"}


@pytest.mark.parametrize(
    "number", range(len(EFFECTS)), ids=lambda i: f"{EFFECTS[i].path}={json.dumps(EFFECTS[i].value)}"
)
def test_exactly_what_depends_on_a_field_runs(project, base, answers, number):
    effect = EFFECTS[number]
    jobs, trained = expected(base, artefacts_of(config_of(effect), project), effect)
    answer = answers[number + 1]
    assert {tuple(job) for job in answer["snakemake"]} == jobs
    assert len(answer["snakemake"]) == len(jobs)
    assert {tuple(job) for job in answer["planned"]} == jobs
    assert set(answer["trained"]) == trained
    if effect.path == "data.name":
        assert "new" in answer["reasons"]
    elif effect.trains is every:
        # What stands in the spec: the scale is part of the epochs.
        name = effect.path.split(".")[-1].replace("schedule_scale", "epochs")
        assert any(name in reason for reason in answer["reasons"])

"""What is in the specs of students, teachers and data."""

import copy
import json

import pytest
from grid_artefacts import CONTENT, expanded, ids, shipped

from vicinal.config import validate
from vicinal.data.catalogue import DATA_SETS
from vicinal.models.registry import ARCHITECTURES, architecture
from vicinal.planning.columns import recipe_columns
from vicinal.planning.recipes import resolve_recipe
from vicinal.spec import digest

# What is in a spec


def test_student_learns_from_the_teacher_of_its_seed():
    artefacts = expanded(shipped("cifar100"))
    distilled = [cohort for cohort in artefacts.cohorts.values() if cohort.teacher]
    assert distilled
    for cohort in distilled:
        assert cohort.spec["seed"] == cohort.teacher.spec["seed"]
        assert cohort.spec["teacher"] == cohort.teacher.spec == artefacts.teachers[cohort.teacher.id].spec
        assert cohort.spec["data"] == cohort.teacher.spec["data"] == cohort.store.spec


def test_student_without_a_teacher_knows_nothing_of_the_grid():
    artefacts = expanded(shipped("cifar100"))
    alone = [student for student in artefacts.students.values() if student.columns["method"].startswith("ce")]
    assert len(alone) == 5 * (4 * 2) + 3 * 3
    for student in alone:
        assert student.spec.keys().isdisjoint({"teacher", "temperature", "logit_scale"})
        assert student.spec["loss"] == {"ce_weight": 1}
        alpha = {"alpha": student.columns["alpha"]} if student.columns["method"] == "ce_mixup" else {}
        assert student.own == {"loss": {"ce_weight": 1}, **alpha}


@pytest.mark.parametrize(
    "change",
    [
        {"teachers": ["resnet20"]},
        {"temperatures": [1, 2, 3, "std"]},
        {"logit_scales": [0.5, 2]},
        {"loss": {"kd_weight": 0.9, "ce_weight": 0.1}},
        {"teachers": None, "methods": ["ce", "ce_mixup"]},
    ],
)
def test_student_without_a_teacher_is_trained_once_whatever_the_grid(config, change):
    def alone(artefacts):
        return sorted(student.id for student in artefacts.students.values() if "teacher" not in student.spec)

    before = alone(expanded(config))
    config["grids"][0].update(change)
    assert alone(expanded(config)) == before
    assert len(before) == 2 * (1 + 2)  # seeds · (ce, and ce_mixup at two α)


def test_cohort_is_all_but_mixup_temperature_scale_and_loss():
    artefacts = expanded(shipped("cifar100"))
    own_fields = {"alpha", "temperature", "logit_scale", "loss"}
    for cohort in artefacts.cohorts.values():
        for student in cohort.students.values():
            assert student.own.keys() <= own_fields
            assert student.spec == {**cohort.spec, **student.own}
            assert {key: value for key, value in student.spec.items() if key not in own_fields} == cohort.spec
    # and two cohorts differ in more than those
    assert len({digest(cohort.spec) for cohort in artefacts.cohorts.values()}) == len(artefacts.cohorts)
    largest = max(artefacts.cohorts.values(), key=lambda cohort: len(cohort.students))
    # Temperatures with and without mixup, logit scales, mixup strengths, loss weights with and without.
    assert len(largest.students) == 2 * 6 + 4 + 3 + 2


def test_method_without_mixup_has_no_alpha(config):
    for student in expanded(config).students.values():
        assert ("alpha" in student.spec) == student.columns["method"].endswith("_mixup")


def test_spec_holds_the_resolved_architecture(config):
    artefacts = expanded(config)
    assert {json.dumps(teacher.spec["model"]) for teacher in artefacts.teachers.values()} == {
        json.dumps(architecture(name)) for name in ("resnet14", "resnet8")
    }
    before = copy.deepcopy(ARCHITECTURES)
    next(iter(artefacts.teachers.values())).spec["model"]["depth"] = 1000
    assert before == ARCHITECTURES


def test_spec_is_plain_json_without_paths(config):
    config["data"]["root"] = "/somewhere/on/this/machine"
    for artefact in expanded(config).students.values():
        text = json.dumps(artefact.spec, allow_nan=False)
        assert json.loads(text) == artefact.spec
        assert "/somewhere" not in text


# Recipes


def test_learning_rate_of_a_model(config):
    config["recipe"]["lr_by_model"] = {"resnet8_narrow": 0.01, "resnet14": 0.02}
    artefacts = expanded(config)
    assert {student.spec["recipe"]["lr"] for student in artefacts.students.values()} == {0.01}
    rates = {(teacher.columns["model"], teacher.spec["recipe"]["lr"]) for teacher in artefacts.teachers.values()}
    assert rates == {("resnet14", 0.02), ("resnet8", 0.1)}
    assert all("lr_by_model" not in student.spec["recipe"] for student in artefacts.students.values())


def test_learning_rate_of_a_model_that_is_not_used_changes_nothing(config):
    before = ids(expanded(config))
    config["recipe"]["lr_by_model"] = {"vgg8": 0.01}
    assert ids(expanded(config)) == before


def test_recipe_of_the_teachers(config):
    before = expanded(config)
    config["teacher_recipe"] = {"epochs": 9, "flip": True}
    after = expanded(config)
    assert {teacher.spec["recipe"]["epochs"] for teacher in after.teachers.values()} == {9}
    for teacher in after.teachers.values():
        assert teacher.spec["recipe"] == {
            **next(iter(before.teachers.values())).spec["recipe"],
            "epochs": 9,
            "flip": True,
        }
    assert {student.spec["recipe"]["epochs"] for student in after.students.values()} == {4}
    # students without a teacher are the same, the others learn from other teachers
    assert {id_ for id_ in before.students if id_ in after.students} == {
        id_ for id_, student in before.students.items() if "teacher" not in student.spec
    }


@pytest.mark.parametrize(("schedule", "has"), [("step", True), ("cosine", False), ("constant", False)])
def test_recipe_holds_the_fields_of_its_schedule_only(config, schedule, has):
    config["recipe"]["schedule"] = schedule
    recipe = resolve_recipe(validate(config, "test")[0].recipe, "resnet8")
    assert ("milestones" in recipe) is has
    assert ("gamma" in recipe) is has


def test_gamma_matters_for_steps_only(config):
    for schedule, matters in (("step", True), ("cosine", False)):
        one = {**config, "recipe": {"schedule": schedule, "gamma": 0.1}}
        other = {**config, "recipe": {"schedule": schedule, "gamma": 0.2}}
        assert (expanded(one).students.keys() != expanded(other).students.keys()) is matters


def test_recipe_as_columns():
    assert recipe_columns({"epochs": 240, "milestones": [0.625, 0.75], "schedule": "step"}) == {
        "recipe_epochs": 240,
        "recipe_milestones": "0.625 0.75",
        "recipe_schedule": "step",
    }


def test_teacher_with_mixup_is_another_teacher(config):
    config["grids"][0]["teachers"] = ["resnet14", {"model": "resnet14", "mixup_alpha": 0.4}]
    artefacts = expanded(config)
    assert sorted(
        (t.columns["method"], t.columns["alpha"]) for t in artefacts.teachers.values() if t.spec["seed"] == 0
    ) == [("ce", None), ("ce_mixup", 0.4)]
    assert {student.columns["teacher_mixup_alpha"] for student in artefacts.students.values()} == {None, 0.4}


# Data


def test_store_takes_the_defaults_of_the_data_set(config):
    content = {"source": "digits", "files": {"digits.csv.gz": "1" * 64}}
    stores = expanded(config, content=content).stores
    digits = DATA_SETS["digits"]
    for seed, store in zip(config["seeds"], stores.values(), strict=True):
        assert (store.spec["validation"], store.spec["limit_train"]) == (digits.validation, digits.train)
        assert store.spec["subset_seed"] == seed
    config["data"].update(validation=100, limit_train=50)
    others = expanded(config, content=content).stores
    assert {(store.spec["validation"], store.spec["limit_train"]) for store in others.values()} == {(100, 50)}
    assert others.keys().isdisjoint(stores)


def test_one_subset_serves_all_seeds_if_the_config_says_so(config):
    content = {"source": "digits", "files": {"digits.csv.gz": "1" * 64}}
    config["data"]["subset"] = "fixed"
    (store,) = expanded(config, content=content).stores.values()
    assert "subset_seed" not in store.spec
    config["data"] = {"name": "cifar100"}
    assert len(expanded(config).stores) == 1  # all images are trained on
    config["data"] = {"name": "cifar100", "limit_train": 500}
    assert len(expanded(config).stores) == len(config["seeds"])


def test_other_files_are_other_data(config):
    one = expanded(config)
    other = expanded(config, content={**CONTENT, "files": {"archive.tar.gz": "1" * 32}})
    assert ids(one).isdisjoint(ids(other))


@pytest.mark.parametrize("file", ["validation-00000-of-00001.parquet", "val.parquet"])
def test_validation_split_of_the_source_is_used_whole(config, file):
    files = dict.fromkeys(("train.parquet", "test.parquet"), "0")
    config["data"]["name"] = "cifar10"
    own = expanded(config, content={"source": "parquet", "files": {**files, file: "0"}})
    taken = expanded(config, content={"source": "parquet", "files": files})
    assert "validation" not in next(iter(own.stores.values())).spec
    assert next(iter(taken.stores.values())).spec["validation"] == 5000


@pytest.mark.parametrize(("source", "there"), [("parquet", True), ("torchvision", False)])
def test_images_as_viewed_are_other_data_only_where_files_say_more_than_pixels(source, there):
    content = {"source": source, "files": {"train.parquet": "1", "test.parquet": "2"}}
    config = shipped("cifar100")
    before = expanded(copy.deepcopy(config), content=content)
    config["data"]["as_viewed"] = True
    after = expanded(config, content=content)
    assert (before.stores.keys() != after.stores.keys()) == there
    assert all(store.spec.get("as_viewed", False) == there for store in after.stores.values())

import copy
import itertools
import json
from pathlib import Path

import pytest

from vicinal.config import read_config, validate
from vicinal.data.catalogue import DATA_SETS
from vicinal.grid import Artefacts, expand, recipe_columns, resolve_recipe
from vicinal.models.registry import ARCHITECTURES, architecture
from vicinal.spec import digest

REPOSITORY = Path(__file__).parents[2]
CONTENT = {"source": "torchvision", "files": {"archive.tar.gz": "0" * 32}}


def expanded(*configs, content=CONTENT) -> Artefacts:
    experiments = [experiment for config in configs for experiment in validate(config, "test")]
    return expand([(experiment, content) for experiment in experiments])


def shipped(name: str) -> dict:
    path = REPOSITORY / "config.yaml" if name == "digits" else REPOSITORY / "experiments" / f"{name}.yaml"
    return read_config(path)


def ids(artefacts: Artefacts) -> set[str]:
    return {
        *artefacts.stores,
        *artefacts.teachers,
        *artefacts.cohorts,
        *artefacts.students,
        *artefacts.evaluations,
    }


def counts(artefacts: Artefacts) -> tuple[int, int, int]:
    return len(artefacts.teachers), len(artefacts.students), len(artefacts.cohorts)


def enumerated(config: dict) -> tuple[set, set, set]:
    """Return teachers, students and cohorts of a config as tuples, from the file itself."""
    teachers, students, cohorts = set(), set(), set()
    for grid in config["grids"]:
        loss = grid.get("loss", config["loss"])
        weights = (loss["kd_weight"], loss["ce_weight"])
        for seed, student in itertools.product(grid.get("seeds", config["seeds"]), grid["students"]):
            for method in grid["methods"]:
                for alpha in grid.get("alphas", [1.0]) if "mixup" in method else [None]:
                    if method in ("ce", "ce_mixup"):
                        cohort = (student, seed, alpha, None)
                        cohorts.add(cohort)
                        students.add(cohort)
                        continue
                    for entry in grid["teachers"]:
                        entry = {"model": entry} if isinstance(entry, str) else entry
                        teacher = (entry["model"], entry.get("mixup_alpha"), seed)
                        cohort = (student, seed, alpha, teacher)
                        teachers.add(teacher)
                        cohorts.add(cohort)
                        own = itertools.product(grid.get("temperatures", [2.0]), grid.get("logit_scales", [1.0]))
                        students.update((cohort, temperature, scale, weights) for temperature, scale in own)
    return teachers, students, cohorts


def changed_students(before: Artefacts, after: Artefacts) -> tuple[list, list]:
    """Return the specs of the students that went and of those that came."""
    old, new = before.students, after.students
    return (
        [old[id_].spec for id_ in old.keys() - new.keys()],
        [new[id_].spec for id_ in new.keys() - old.keys()],
    )


# Counts


# cifar100, by hand. Teachers: 3 of the pairs and the ladder's 5, of which resnet56 is one of the pairs', and over
# 3 seeds the one with mixup: 7 · 5 + 3 = 38. Students a seed: 3 pairs · (2 + 2 · 6) = 42, the other family 2 + 2 = 4,
# the ladder 4 · 2 = 8 besides resnet56, 4 logit scales: 58 · 5 = 290; over 3 seeds: α 3 · 2 = 6, weights 2, mixup
# teacher 2: 30. Cohorts a seed: pairs 3 · 4, other family 4, ladder 8: 24 · 5 = 120; over 3 seeds: α 6, mixup teacher
# 2: 24.
@pytest.mark.parametrize(
    ("name", "wanted"), [("digits", (10, 90, 30)), ("cifar100", (38, 320, 144)), ("cifar10", (38, 320, 144))]
)
def test_counts_of_the_shipped_experiments(name, wanted):
    assert tuple(map(len, enumerated(shipped(name)))) == wanted
    assert counts(expanded(shipped(name))) == wanted


def test_collection_holds_the_sum_of_what_differs():
    alone = [expanded(shipped(name)) for name in ("cifar100", "cifar10")]
    both = expanded(shipped("cifar100"), shipped("cifar10"))
    assert ids(both) == ids(alone[0]) | ids(alone[1])
    assert counts(both) == (76, 640, 288)
    assert list(both.studies) == ["cifar100", "cifar10"]


def test_every_teacher_and_cohort_is_evaluated_once():
    artefacts = expanded(shipped("digits"))
    units = [evaluation.unit.id for evaluation in artefacts.evaluations.values()]
    assert sorted(units) == sorted([*artefacts.teachers, *artefacts.cohorts])
    models = [model.id for evaluation in artefacts.evaluations.values() for model in evaluation.models]
    assert sorted(models) == sorted([*artefacts.teachers, *artefacts.students])


# One artefact, one id


def test_block_listed_twice_adds_nothing(config):
    once = expanded(config)
    config["grids"] *= 2
    assert ids(expanded(config)) == ids(once)


def test_experiment_under_another_name_shares_everything(config):
    once, both = expanded(config), expanded(config, {**config, "name": "other"})
    assert ids(both) == ids(once)
    assert both.studies["tiny"].evaluations.keys() == both.studies["other"].evaluations.keys()


def test_ids_are_distinct_for_distinct_specs():
    artefacts = expanded(shipped("cifar100"), shipped("cifar10"), shipped("digits"))
    for kind in (artefacts.stores, artefacts.teachers, artefacts.cohorts, artefacts.students):
        assert len({digest(artefact.spec) for artefact in kind.values()}) == len(kind)
        assert all(id_ == artefact.id for id_, artefact in kind.items())
        assert all(id_.rpartition("-")[2] == digest(artefact.spec)[:8] for id_, artefact in kind.items())


def test_ids_are_readable_and_can_name_folders():
    artefacts = expanded(shipped("cifar100"))
    readable = {id_.rpartition("-")[0] for id_ in artefacts.students}
    assert {
        "resnet8x4_ce_s0",
        "resnet8x4_ce_a1_s0",
        "resnet8x4_from_resnet32x4_t1_s4",
        "resnet8x4_from_resnet32x4_a1_tstd_s0",
        "resnet8x4_from_resnet32x4_a0.2_t2_s2",
        "resnet8x4_from_resnet32x4_a1_t2_c0.75_s1",
        "resnet8x4_from_resnet32x4_a1_t2_ce0.1_kd0.9_s2",
        "resnet8x4_from_resnet32x4_mix1_a1_t2_s0",
    } <= readable
    assert all(set(id_) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-") for id_ in ids(artefacts))


@pytest.mark.parametrize("key", ["alphas", "temperatures", "logit_scales"])
def test_whole_numbers_written_as_floats_change_no_id(config, key):
    one, other = copy.deepcopy(config), copy.deepcopy(config)
    one["grids"][0][key] = [1, 2]
    other["grids"][0][key] = [1.0, 2.0]
    assert ids(expanded(one)) == ids(expanded(other))


def test_order_of_lists_changes_no_id(config):
    other = copy.deepcopy(config)
    for key, values in other["grids"][0].items():
        other["grids"][0][key] = values[::-1]
    other["seeds"] = [1, 0]
    assert ids(expanded(other)) == ids(expanded(config))


def test_defaults_written_out_change_no_id(config):
    full = validate(config, "test")[0].model_dump()
    assert ids(expanded(full)) == ids(expanded(config))


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"execution": {"threads": 2, "device": "cuda:1"}}, {"data": {"root": "/elsewhere"}}],
)
def test_what_is_not_computed_changes_no_id(config, change):
    config["data"] = {"name": "digits"}
    change = {**change, "data": {"name": "digits", **change.get("data", {})}}
    assert ids(expanded({**config, **change})) == ids(expanded(config))


def test_pairs_change_evaluations_only(config):
    before, after = expanded(config), expanded({**config, "evaluation": {"pairs": 500}})
    assert after.evaluations.keys().isdisjoint(before.evaluations)
    assert ids(after) - after.evaluations.keys() == ids(before) - before.evaluations.keys()


# Adding to a grid


def test_another_temperature_adds_its_students_only(config):
    before = expanded(config)
    config["grids"][0]["temperatures"] = [1, 4, 8]
    after = expanded(config)
    went, came = changed_students(before, after)
    assert went == []
    assert len(came) == 2 * 2 * (1 + 2)  # seeds · teachers · (kd, and kd_mixup at two α)
    assert {spec["temperature"] for spec in came} == {8}
    assert after.cohorts.keys() == before.cohorts.keys()
    assert after.teachers.keys() == before.teachers.keys()
    assert after.evaluations.keys() == before.evaluations.keys()


def test_another_seed_adds_its_replicate_only(config):
    before, after = expanded(config), expanded({**config, "seeds": [0, 1, 2]})
    went, came = changed_students(before, after)
    assert went == []
    assert len(came) == len(before.students) // 2
    assert {spec["seed"] for spec in came} == {2}


def test_another_alpha_leaves_what_has_none(config):
    before = expanded(config)
    config["grids"][0]["alphas"] = [0.5, 1.0, 4.0]
    went, came = changed_students(before, expanded(config))
    assert went == []
    assert {spec["alpha"] for spec in came} == {4}


def test_other_loss_weights_change_distilled_students_only(config):
    before = expanded(config)
    went, came = changed_students(before, expanded({**config, "loss": {"kd_weight": 0.9, "ce_weight": 0.1}}))
    assert len(went) == len(came) == 2 * 2 * 3 * 2
    assert all("teacher" in spec for spec in went)
    assert all(spec["loss"] == {"kd_weight": 0.9, "ce_weight": 0.1} for spec in came)


def test_loss_of_a_block_replaces_that_of_the_experiment(config):
    config["grids"].append({**config["grids"][0], "methods": ["kd"], "loss": {"kd_weight": 0.5, "ce_weight": 0.5}})
    weights = [student.spec["loss"] for student in expanded(config).students.values() if "teacher" in student.spec]
    assert {json.dumps(loss, sort_keys=True) for loss in weights} == {
        '{"ce_weight": 0.5, "kd_weight": 0.5}',
        '{"kd_weight": 1}',
    }


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
        assert student.own == {"loss": {"ce_weight": 1}}


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


def test_cohort_is_all_but_temperature_scale_and_loss():
    artefacts = expanded(shipped("cifar100"))
    own_fields = {"temperature", "logit_scale", "loss"}
    for cohort in artefacts.cohorts.values():
        for student in cohort.students.values():
            assert student.own.keys() <= own_fields
            assert student.spec == {**cohort.spec, **student.own}
            assert {key: value for key, value in student.spec.items() if key not in own_fields} == cohort.spec
    # and two cohorts differ in more than those
    assert len({digest(cohort.spec) for cohort in artefacts.cohorts.values()}) == len(artefacts.cohorts)
    largest = max(artefacts.cohorts.values(), key=lambda cohort: len(cohort.students))
    assert len(largest.students) == 6 + 4 + 1  # temperatures, logit scales, loss weights


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
    ) == [
        ("ce", None),
        ("ce_mixup", 0.4),
    ]
    assert {student.columns["teacher_mixup_alpha"] for student in artefacts.students.values()} == {None, 0.4}


# Columns of the tables


def test_columns_tell_every_two_students_of_an_experiment_apart():
    for name in ("digits", "cifar100"):
        students = expanded(shipped(name)).students.values()
        assert len({json.dumps(student.columns, sort_keys=True) for student in students}) == len(students)


def test_columns_of_temperatures_that_are_nearly_the_same(config):
    config["grids"][0]["temperatures"] = [1, 1.0000001]
    columns = {student.columns["temperature"] for student in expanded(config).students.values()}
    assert len(columns - {None}) == 2


# Data


def test_store_takes_the_defaults_of_the_data_set(config):
    content = {"source": "digits", "files": {"digits.csv.gz": "1" * 64}}
    (store,) = expanded(config, content=content).stores.values()
    digits = DATA_SETS["digits"]
    assert (store.spec["validation"], store.spec["limit_train"]) == (digits.validation, digits.train)
    config["data"].update(validation=100, limit_train=50)
    (other,) = expanded(config, content=content).stores.values()
    assert (other.spec["validation"], other.spec["limit_train"]) == (100, 50)
    assert other.id != store.id


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

"""What a grid expands to: how many artefacts, their ids, and what an addition adds."""

import copy
import itertools
import json
from collections import Counter

import pytest
from grid_artefacts import CONTENT, changed_students, counts, expanded, ids, shipped

from vicinal.config import validate
from vicinal.planning.grid import expand
from vicinal.spec import digest


def enumerated(config: dict) -> tuple[set, set, set]:
    """Return teachers, students and cohorts of a config as tuples, from the file itself."""
    teachers, students, cohorts = set(), set(), set()
    for grid in config["grids"].values():
        loss = grid.get("loss", config["loss"])
        weights = (loss["kd_weight"], loss["ce_weight"])
        for seed, student in itertools.product(grid.get("seeds", config["seeds"]), grid["students"]):
            for method in grid["methods"]:
                for alpha in grid.get("alphas", [1.0]) if "mixup" in method else [None]:
                    if method in ("ce", "ce_mixup"):
                        cohorts.add((student, seed, None))
                        students.add((student, seed, alpha, None))
                        continue
                    for entry in grid["teachers"]:
                        entry = {"model": entry} if isinstance(entry, str) else entry
                        teacher = (entry["model"], entry.get("mixup_alpha"), seed)
                        teachers.add(teacher)
                        cohorts.add((student, seed, teacher))
                        own = itertools.product(grid.get("temperatures", [2.0]), grid.get("logit_scales", [1.0]))
                        students.update((student, seed, alpha, teacher, *each, weights) for each in own)
    return teachers, students, cohorts


# Counts


# cifar100, by hand. Teachers: 3 of the pairs and the ladder's 5, of which resnet56 is one of the pairs', and over
# 3 seeds the one with mixup: 7 · 5 + 3 = 38. Students a seed: 3 pairs · (2 + 2 · 6) = 42, the other family 2 + 2 = 4,
# the ladder 4 · 2 = 8 besides resnet56, 4 logit scales: 58 · 5 = 290; over 3 seeds: α 3 · 2 = 6, weights 2, mixup
# teacher 2: 30. Cohorts a seed, each with the students of all methods and α: pairs 3 · 2, other family 2, ladder 4:
# 12 · 5 = 60; over 3 seeds the mixup teacher's: 3.
@pytest.mark.parametrize(
    ("name", "wanted"), [("digits", (10, 100, 20)), ("cifar100", (38, 320, 63)), ("cifar10", (38, 320, 63))]
)
def test_counts_of_the_shipped_experiments(name, wanted):
    assert tuple(map(len, enumerated(shipped(name)))) == wanted
    assert counts(expanded(shipped(name))) == wanted


# Seeds


def test_each_artefact_has_the_lowest_seed_that_needs_it():
    artefacts = expanded(shipped("cifar10-cpu") | {"seeds": [5, 3]})
    first = artefacts.first_seeds()
    stages = (artefacts.stores, artefacts.teachers, artefacts.cohorts, artefacts.evaluations)
    assert first.keys() == {artefact.ref for found in stages for artefact in found.values()}
    assert all(f"_s{seed}" in id_ for (_, id_), seed in first.items())
    shared = expanded(shipped("cifar10-cpu") | {"seeds": [5, 3], "data": {"name": "cifar10"}})
    [store] = shared.stores.values()
    assert shared.first_seeds()[store.ref] == 3


def test_a_given_teacher_has_the_lowest_seed_of_its_students():
    content = {"source": "folder", "files": {"train": "0", "val": "1"}}
    artefacts = expanded(shipped("imagenet") | {"seeds": [2, 1]}, content=content)
    first = artefacts.first_seeds()
    assert {first[teacher.ref] for teacher in artefacts.teachers.values()} == {1}


# cifar10-cpu, a seed. Teachers: resnet20 and resnet14. Students: ce, ce_mixup; kd and kd_mixup at three temperatures;
# both from resnet14; two logit scales: 12. Cohorts: those without a teacher, and from each teacher: 3. Measurements:
# with each teacher.
def test_the_study_for_cpus_has_its_models_and_data_for_each_seed():
    artefacts = expanded(shipped("cifar10-cpu"))
    assert counts(artefacts) == (8 * 2, 8 * 12, 8 * 3)
    assert (len(artefacts.stores), len(artefacts.evaluations), artefacts.robustness) == (8, 8 * 2, {})
    keys = ("method", "teacher", "temperature", "logit_scale")
    students = Counter(tuple(student.columns[key] for key in keys) for student in artefacts.students.values())
    wanted = [("ce", None, None, None), ("ce_mixup", None, None, None)]
    wanted += [(method, "resnet20", t, 1.0) for method in ("kd", "kd_mixup") for t in ("1", "2", "4")]
    wanted += [(method, "resnet14", "2", 1.0) for method in ("kd", "kd_mixup")]
    wanted += [("kd_mixup", "resnet20", "2", scale) for scale in (0.5, 2.0)]
    assert students == dict.fromkeys(wanted, 8)
    assert {unit.spec["seed"] for unit in artefacts.cohorts.values()} == set(range(8))
    assert {store.spec["limit_train"] for store in artefacts.stores.values()} == {10_000}


def test_collection_holds_the_sum_of_what_differs():
    alone = [expanded(shipped(name)) for name in ("cifar100", "cifar10")]
    both = expanded(shipped("cifar100"), shipped("cifar10"))
    assert ids(both) == ids(alone[0]) | ids(alone[1])
    assert counts(both) == (76, 640, 126)
    assert list(both.studies) == ["cifar100", "cifar10"]


def test_every_teacher_and_cohort_is_evaluated_once_with_its_teacher_and_seed():
    artefacts = expanded(shipped("digits"))
    evaluations = artefacts.evaluations.values()
    units = [unit for evaluation in evaluations for unit in evaluation.units]
    assert sorted(units) == sorted([*artefacts.teachers, *artefacts.cohorts])
    assert len(evaluations) == 10
    for evaluation in evaluations:
        for model in evaluation.models:
            teacher = model.id if model.columns["role"] == "teacher" else model.columns["teacher_id"]
            if teacher:
                assert teacher == evaluation.teacher.id
            else:  # beside the first one
                assert evaluation.teacher.columns["model"] == "resnet8"
            assert model.columns["seed"] == evaluation.seed
    models = [model.id for evaluation in evaluations for model in evaluation.models]
    assert sorted(models) == sorted([*artefacts.teachers, *artefacts.students])


def test_students_without_a_teacher_are_measured_once_beside_the_first_teacher_that_taught(config):
    blocks = {
        "alone": {"students": ["vgg8"], "methods": ["ce"], "teachers": ["resnet56"]},
        "main": {"students": ["vgg8"], "methods": ["ce", "kd"], "teachers": ["vgg13"]},
        "more": {"students": ["vgg8"], "methods": ["ce", "kd"], "teachers": ["resnet20"]},
    }
    first, *other = (expanded(config | {"grids": {name: blocks[name] for name in names}}) for names in (
        ("main", "more"), ("alone",), ("alone", "main"),
    ))  # fmt: skip
    [(evaluation, seeds)] = Counter(
        evaluation.teacher.columns["model"]
        for evaluation in first.evaluations.values()
        for model in evaluation.models
        if model.columns["method"] == "ce" and model.columns["role"] == "student"
    ).items()
    assert (evaluation, seeds) == ("vgg13", len(config["seeds"]))
    # Where nothing is distilled, no teacher is trained for the sake of a comparison.
    assert [len(each.teachers) for each in other] == [0, len(config["seeds"])]
    assert {evaluation.teacher for evaluation in other[0].evaluations.values()} == {None}


def test_other_data_are_seen_by_evaluations_alone(config):
    before = expanded(config)
    experiments = validate({**config, "evaluation": {**config.get("evaluation", {}), "ood": ["svhn"]}}, "test")
    after = expand([(experiments[0], CONTENT)], ood={config["name"]: {"svhn": {"source": "torchvision", "files": {}}}})
    assert (after.teachers.keys(), after.cohorts.keys()) == (before.teachers.keys(), before.cohorts.keys())
    [other] = after.stores.keys() - before.stores.keys()
    assert other.startswith("svhn-") and not after.evaluations.keys() & before.evaluations.keys()
    assert {tuple(each.inputs["ood"]) for each in after.evaluations.values()} == {(f"results/data/{other}/data.json",)}
    assert "ood" not in {name for each in before.evaluations.values() for name in each.settings}


# One artefact, one id


def test_block_listed_twice_adds_nothing(config):
    once = expanded(config)
    config["grids"] *= 2
    assert ids(expanded(config)) == ids(once)


def test_experiment_under_another_name_shares_everything(config):
    once, both = expanded(config), expanded(config, {**config, "name": "other"})
    assert ids(both) == ids(once)
    assert both.studies["tiny"].evaluations == both.studies["other"].evaluations


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
    "change", [{"name": "other"}, {"execution": {"threads": 2, "device": "cuda:1"}}, {"data": {"root": "/elsewhere"}}]
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


# Columns of the tables


def test_columns_tell_every_two_students_of_an_experiment_apart():
    for name in ("digits", "cifar100"):
        students = expanded(shipped(name)).students.values()
        assert len({json.dumps(student.columns, sort_keys=True) for student in students}) == len(students)


def test_columns_of_temperatures_that_are_nearly_the_same(config):
    config["grids"][0]["temperatures"] = [1, 1.0000001]
    columns = {student.columns["temperature"] for student in expanded(config).students.values()}
    assert len(columns - {None}) == 2

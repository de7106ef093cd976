"""Teachers that are given as weights: what a config may say, what is planned, and what is made of them."""

import copy
import json
from pathlib import Path

import pytest
import results_tree
import torch
from configs import load, problems
from safetensors.torch import save_file

from vicinal.analysis.tables import model_table
from vicinal.config import validate
from vicinal.errors import VicinalError
from vicinal.files import remembered_sums, sha256
from vicinal.models import build_model
from vicinal.models.pretrained import WEIGHTS
from vicinal.models.registry import architecture
from vicinal.planning.changes import find_changes
from vicinal.planning.files import write_plans
from vicinal.planning.plans import build_plans, resolve
from vicinal.running.given_teachers import missing_files, unfit_teachers
from vicinal.spec import GIVEN, digest

FILE = "data/weights/teacher.safetensors"
GIVEN_GRID = {
    "teachers": [{"model": "resnet14", "weights": FILE}], "students": ["resnet8_narrow"],
    "methods": ["ce", "ce_mixup", "kd", "kd_mixup"], "temperatures": [1, 2],
}  # fmt: skip
CONFIG = {
    "name": "given", "data": {"name": "digits"}, "recipe": {"epochs": 2}, "seeds": [0, 1, 2],
    "grids": [GIVEN_GRID],
}  # fmt: skip
PUBLISHED = {"model": "resnet34_imagenet", "weights": "published"}


def with_teachers(*teachers, **fields) -> dict:
    return {**CONFIG, "grids": [{**GIVEN_GRID, "teachers": list(teachers)}], **fields}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder in which there is a file of weights."""
    monkeypatch.chdir(tmp_path)
    Path(FILE).parent.mkdir(parents=True)
    torch.manual_seed(4)
    save_file(build_model(architecture("resnet14"), 10, 1).state_dict(), FILE)
    return tmp_path


def artefacts_of(config, *more):
    experiments = [experiment for each in (config, *more) for experiment in validate(each, "test")]
    return resolve(experiments, "test", Path("results"), "all" if more else None)[0]


# The config


@pytest.mark.parametrize(
    ("teacher", "line"),
    [
        ({"model": "resnet14", "weights": "published"},
         "grids.0.teachers.0: weights: published ones of resnet14 do not exist (valid: resnet18_imagenet"),
        ({"model": "resnet34_imagenet_mlp", "weights": "published"},
         "grids.0.teachers.0: weights: published ones of resnet34_imagenet_mlp do not exist (did you mean"),
        ({**PUBLISHED, "mixup_alpha": 1.0}, "grids.0.teachers.0: mixup_alpha: how published weights were trained"),
        ({"model": "resnet14", "weights": " "}, "grids.0.teachers.0: weights: ' ' is not a path; name a file, or publ"),
        ({"model": "resnet14", "weights": "a\nb"}, "grids.0.teachers.0: weights: 'a\\nb' has a line break"),
        ({"model": "resnet14", "weights": 3}, "grids.0.teachers.0.weights: must be text, found 3"),
        ({"model": "resnet14", "weight": FILE}, "grids.0.teachers.0.weight: unknown key (did you mean weights?)"),
        ({"model": "resnet14", "weights": FILE, "mixup_alpha": 0}, "grids.0.teachers.0.mixup_alpha: must be"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_wrong_entry_is_one_line(teacher, line):
    [found] = problems(with_teachers(teacher))
    assert found.startswith(line)


@pytest.mark.parametrize("other", ["resnet14", {"model": "resnet14", "weights": "other.pt"}])
def test_two_teachers_that_the_tables_could_not_tell_apart(other):
    line = "grids: the teacher resnet14 has different weights in two places, and tables name teachers by model and"
    for config in (
        with_teachers(GIVEN_GRID["teachers"][0], other),
        {**CONFIG, "grids": [GIVEN_GRID, {**GIVEN_GRID, "teachers": [other]}]},
    ):
        [found] = problems(config)
        assert line in found


def test_with_another_mixup_they_are_told_apart():
    trained = {"model": "resnet14", "mixup_alpha": 1.0}
    assert len(artefacts_of(with_teachers(GIVEN_GRID["teachers"][0], trained)).teachers) == 1 + 3
    for name in ("convnext_tiny", "vit_b_16"):
        [experiment] = load(with_teachers({"model": name, "weights": "published"}))
        assert experiment.grids["0"].teachers[0].trained_with == 0.2
        assert "mixup 0.2" in WEIGHTS[name].recipe


def test_the_short_key_takes_them_too():
    entry = {"model": "resnet14", "weights": FILE}
    [experiment] = load(with_teachers("resnet8"), f"teachers=[{json.dumps(entry)}]")
    assert experiment.grids["0"].teachers[0].weights == FILE


# What is planned


def test_one_teacher_serves_all_seeds_and_is_known_by_its_content():
    artefacts = artefacts_of(CONFIG)
    [teacher] = artefacts.teachers.values()
    assert teacher.spec == {
        "stage": "teacher", "data": teacher.store.spec, "model": architecture("resnet14"), "recipe": {},
        GIVEN: {"sha256": sha256(Path(FILE))},
    }  # fmt: skip
    assert teacher.id == f"resnet14_given-{digest(teacher.spec)[:8]}"
    distilled = [cohort for cohort in artefacts.cohorts.values() if cohort.teacher]
    assert {cohort.spec["seed"] for cohort in distilled} == {0, 1, 2}
    assert all(cohort.spec["teacher"] == teacher.spec for cohort in distilled)
    assert not artefacts.weights
    assert FILE not in json.dumps([plan.content for plan in build_plans(artefacts)])


def test_its_images_look_as_the_recipe_says():
    config = {**CONFIG, "recipe": {"resize": 12, "crop": 8, "crop_padding": 0}, "teacher_recipe": {"epochs": 9}}
    [teacher] = artefacts_of(config).teachers.values()
    assert teacher.spec["recipe"] == {"resize": 12, "crop": 8}
    longer = copy.deepcopy(config)
    longer["recipe"]["epochs"], longer["seeds"] = 7, [5]
    assert list(artefacts_of(longer).teachers) == [teacher.id]


def test_the_path_changes_nothing_and_the_content_does():
    before = artefacts_of(CONFIG)
    Path(FILE).rename("moved.pt")
    moved = artefacts_of(with_teachers({"model": "resnet14", "weights": "moved.pt"}))
    assert moved.students.keys() == before.students.keys()
    Path("moved.pt").write_bytes(b"other")
    other = artefacts_of(with_teachers({"model": "resnet14", "weights": "moved.pt"}))
    kept = before.students.keys() & other.students.keys()
    assert kept == {id_ for id_, student in before.students.items() if student.spec.get("teacher") is None}


def test_how_it_was_trained_is_a_column_and_no_part_of_a_spec():
    plain = artefacts_of(CONFIG)
    mixed = artefacts_of(with_teachers({**GIVEN_GRID["teachers"][0], "mixup_alpha": 0.5}))
    assert plain.students.keys() == mixed.students.keys()
    for artefacts, alpha in ((plain, None), (mixed, 0.5)):
        [teacher] = artefacts.teachers.values()
        assert (teacher.columns["alpha"], teacher.columns["seed"]) == (alpha, None)
        assert teacher.columns["method"] == ("ce_mixup" if alpha else "ce")
        assert {s.columns["teacher_mixup_alpha"] for s in artefacts.students.values()} == {None, alpha}
    table = model_table({id_: model.columns for id_, model in {**plain.teachers, **plain.students}.items()})
    assert table["seed"].isna().sum() == 1
    assert str(table["seed"].dtype) == "Int64"
    name = f"file {sha256(Path(FILE))[:8]}"
    assert list(table["weights"].dropna()) == [name]
    assert set(table.loc[table["teacher"].notna(), "teacher_weights"]) == {name}


def test_published_weights_are_fetched_and_bear_no_flags():
    artefacts = artefacts_of(with_teachers(PUBLISHED))
    [teacher] = artefacts.teachers.values()
    assert teacher.spec[GIVEN] == {"name": "resnet34_imagenet", "sha256": WEIGHTS["resnet34_imagenet"].sha256}
    assert teacher.columns["alpha"] is None
    assert artefacts.weights == {"resnet34_imagenet": "data"}
    plans = {plan.ref: plan for plan in build_plans(artefacts)}
    assert ("weights", "resnet34_imagenet") in plans["teachers", teacher.id].upstream
    models = [teacher, *artefacts.students.values()]
    assert not any("pretraining" in column for model in models for column in model.columns)


def finish(config) -> None:
    """Leave the outputs and keys of all that a config asks for."""
    plans, results = list(build_plans(artefacts_of(config))), Path("results")
    write_plans(plans, results)
    for plan in plans:
        results_tree.finish(results, plan)
    write_plans(plans, results)  # older than the outputs


def test_nothing_of_it_is_trained():
    finish(with_teachers("resnet14"))  # it is not compared with a given one: no setting is named that it does not have
    artefacts = artefacts_of(CONFIG)
    [teacher] = artefacts.teachers
    change = find_changes(build_plans(artefacts), Path("results"))["teachers", teacher]
    assert (change.train, change.reasons) == ([], ["new"])


def test_another_file_is_the_reason():
    finish(CONFIG)
    before = sha256(Path(FILE))[:8]
    Path(FILE).write_bytes(b"other")
    artefacts = artefacts_of(CONFIG)
    changes = find_changes(build_plans(artefacts), Path("results"))
    [teacher] = artefacts.teachers
    line = f"grids.teachers.weights.sha256: {before}… → {sha256(Path(FILE))[:8]}…"
    assert changes["teachers", teacher].reasons == [line]
    assert all(line in changes["cohorts", id_].reasons for id_, c in artefacts.cohorts.items() if c.teacher)
    trained = {id_ for change in changes.values() for id_ in change.train}
    assert trained == {id_ for id_, student in artefacts.students.items() if student.columns["teacher"]}


def test_a_file_that_never_was_there():
    config = {**CONFIG, "grids": [{**GIVEN_GRID, "teachers": ["resnet14"]}, copy.deepcopy(GIVEN_GRID)]}
    config["grids"][1]["teachers"] = ["resnet20", {"model": "resnet8", "weights": "none.pt"}]
    with pytest.raises(VicinalError) as error:
        artefacts_of(config)
    assert str(error.value) == (
        "grids.1.teachers.1.weights: none.pt: no such file; name a checkpoint that torch saved, a safetensors file, or "
        "published"
    )


def test_a_path_that_can_be_none():
    name = "a" * 300
    with pytest.raises(VicinalError) as caught:
        remembered_sums([Path(name)], None)
    assert str(caught.value) == f"{name}: cannot be read (file name too long)"


def test_a_file_that_is_gone_is_remembered_and_named_where_it_is_needed():
    before = artefacts_of(CONFIG)
    Path(FILE).unlink()
    artefacts = artefacts_of(CONFIG)
    assert artefacts.students.keys() == before.students.keys()
    plans = list(build_plans(artefacts))
    [problem] = missing_files(artefacts, find_changes(plans, Path("results")))
    assert problem.words == (
        f"given: grids.0.teachers.0.weights: {FILE}: not there any more: put it back, or name another file"
    )
    finish(CONFIG)  # all was made while it was there
    changes = find_changes(plans, Path("results"))
    assert not changes
    assert not missing_files(artefacts, changes)


def test_published_weights_for_data_of_other_classes():
    artefacts = artefacts_of(with_teachers(PUBLISHED))
    changes = find_changes(build_plans(artefacts), Path("results"))
    digits = type("Shape", (), {"classes": 10})
    [problem] = unfit_teachers(artefacts, changes, lambda store: digits)
    assert problem.experiments == ("given",)
    assert "published ones of resnet34_imagenet know the 1,000 classes of ImageNet, digits has 10:" in problem.text
    assert not unfit_teachers(artefacts, changes, lambda store: type("Shape", (), {"classes": 1000}))


DIGITS = type("Shape", (), {"classes": 10, "channels": 1})


def found_in(state: dict | None, **shape) -> list[str]:
    """Return what is said before the first job where the file of the teacher holds this."""
    if state is not None:
        torch.save(state, FILE)
    artefacts = artefacts_of(CONFIG)
    changes = find_changes(build_plans(artefacts), Path("results"))
    return [str(found) for found in unfit_teachers(artefacts, changes, lambda store: type("Shape", (DIGITS,), shape))]


@pytest.mark.parametrize(
    ("change", "shape", "line"),
    [
        ({"fc.bias": torch.full((10,), torch.inf)}, {}, "fc.bias has values that are NaN or infinite"),
        ({"stem.1.running_var": -torch.ones(16)}, {}, "stem.1.running_var has negative values"),
        ({"fc.weight": torch.eye(64)[:10].to_sparse()}, {}, "fc.weight is a sparse tensor"),
        ({"more": Path("x")}, {}, "holds more than weights (pathlib.PosixPath), and no code in a file is run"),
        ({}, {"classes": 7}, "weights for 10 classes, the data have 7"),
        ({}, {"channels": 3}, "weights for images of 1 channel, the data have 3"),
    ],
    ids=["infinite", "variance", "sparse", "code", "classes", "channels"],
)
def test_a_file_that_cannot_be_used_is_refused_before_the_first_job(change, shape, line):
    state = build_model(architecture("resnet14"), 10, 1).state_dict()
    [found] = found_in({**state, **change}, **shape)
    assert found.startswith(f"error: given: grids.teachers.weights: {FILE}: {line}")
    assert found.isprintable()


def test_a_file_that_is_no_file_of_weights_is_refused_before_the_first_job():
    Path(FILE).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    [found] = found_in(None)
    assert f"{FILE}: a Git LFS pointer, not the file itself: run git lfs pull" in found


def test_a_file_with_other_names_is_noted_before_the_first_job(folder):
    state = build_model(architecture("resnet14"), 10, 1).state_dict()
    assert found_in({"model": state}) == []
    [found] = found_in({"model": {name.replace("stages", "layers"): value for name, value in state.items()}})
    assert found.startswith(
        f"note: given: {FILE}: the names of its layers are not ours, so they are taken in their order"
    )

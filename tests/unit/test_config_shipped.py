"""The shipped experiments and the JSON schema of the config."""

import json

import jsonschema
import pytest
from configs import EXPERIMENTS, REPOSITORY, SHIPPED, load
from grid_artefacts import expanded

from vicinal.config import json_schema, read_config, validate
from vicinal.models.pretrained import WEIGHTS

SCHEMA = REPOSITORY / "workflow" / "config.schema.json"


# Shipped files


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_file_is_valid(path):
    experiments = validate(read_config(path), path.name, folder=EXPERIMENTS)
    assert experiments
    assert all(experiment.grids for experiment in experiments)


@pytest.mark.parametrize("path", [*EXPERIMENTS.glob("*.yaml")], ids=lambda path: path.stem)
def test_shipped_file_bears_the_name_of_its_config(path):
    assert read_config(path)["name"] == path.stem


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_dumped_experiments_mean_the_same(path):
    experiments = validate(read_config(path), path.name, folder=EXPERIMENTS)
    dumped = json.loads(json.dumps([experiment.model_dump() for experiment in experiments]))
    assert validate({"name": "again", "experiments": dumped}, "again") == experiments


def test_imagenet_distils_published_teachers_that_never_saw_mixup():
    config = read_config(EXPERIMENTS / "imagenet.yaml")
    artefacts = expanded(config, content={"source": "folder", "files": {"train": "0", "val": "1"}})
    assert {teacher.spec["given"]["name"] for teacher in artefacts.teachers.values()} == {
        f"resnet{depth}_imagenet" for depth in (34, 50, 101, 152)
    }
    assert all(t.columns["alpha"] is None and t.spec["recipe"] == {"crop": 224} for t in artefacts.teachers.values())
    assert not any(WEIGHTS[name].pretraining_mixup for name in artefacts.weights)
    assert {store.spec["validation"] for store in artefacts.stores.values()} == {10_000}
    columns = [student.columns for student in artefacts.students.values()]
    assert len(columns) == 2 * 3 * (2 + 4 * 2)  # students, seeds; ce and ce_mixup, and two methods of each teacher
    assert {(c["temperature"], c["seed"]) for c in columns if c["teacher"]} == {("2", 0), ("2", 1), ("2", 2)}
    assert {c["alpha"] for c in columns} == {None, 1.0}
    assert {(c["model"], c["recipe_lr"], c["recipe_epochs"], c["recipe_milestones"]) for c in columns} == {
        ("resnet18_imagenet", 0.1, 100, "0.3 0.6 0.9"), ("mobilenet_v2_imagenet", 0.045, 100, "0.3 0.6 0.9"),
    }  # fmt: skip


def test_collection_is_its_experiments():
    paper = load(read_config(EXPERIMENTS / "paper.yaml"))
    alone = [load(read_config(EXPERIMENTS / f"{name}.yaml"))[0] for name in ("cifar100", "cifar10")]
    [execution] = {experiment.execution.model_dump_json(): experiment.execution for experiment in paper}.values()
    assert paper[: len(alone)] == [experiment.model_copy(update={"execution": execution}) for experiment in alone]


@pytest.mark.parametrize("name", ["cifar10-transfer", "cifar100-transfer"])
def test_the_authors_baseline_has_their_recipe_and_the_students_of_the_distilled(name):
    [distilled], [baseline] = (load(read_config(EXPERIMENTS / f"{stem}.yaml")) for stem in (name, f"{name}-ce"))
    assert [grid.students for grid in baseline.grids.values()] == [grid.students for grid in distilled.grids.values()]
    assert [(grid.teachers, grid.methods) for grid in baseline.grids.values()] == [(None, ["ce"])]
    assert (baseline.data, baseline.seeds) == (distilled.data, distilled.seeds)
    recipe = baseline.recipe
    assert (recipe.optimizer, recipe.lr, recipe.batch_size) == ("adam", 1e-3, 250)
    assert (recipe.epochs, recipe.head_epochs, recipe.schedule) == (200, 0, "plateau")
    # Keras drops when its patience is reached, ours when it is exceeded; 243 pixels leave no window in the middle.
    assert (recipe.gamma, recipe.patience, recipe.lr_min, recipe.resize) == (0.9, 4 - 1, 1e-6, 243 - 1)
    teacher = distilled.teacher_recipe
    assert (teacher.gamma, teacher.patience, teacher.lr_min) == (0.9, 1 - 1, 1e-5)
    inputs = ("pretrained", "crop", "crop_padding", "flip", "weight_decay")
    assert all(getattr(recipe, field) == getattr(distilled.recipe, field) for field in inputs)


def test_collection_finds_the_default_experiment_and_takes_inline_ones(config):
    experiments = load({"name": "both", "experiments": ["digits", config]})
    assert [experiment.name for experiment in experiments] == ["digits", "tiny"]
    assert experiments[1] == load(config)[0]


# JSON schema


def test_schema_file_is_up_to_date():
    command = "python workflow/scripts/export_schema.py"
    assert SCHEMA.is_file(), f"there is no {SCHEMA.name}; write it by: {command}"
    written = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert written == json_schema(), f"{SCHEMA.name} is out of date; write it anew by: {command}"


def test_every_field_is_described():
    sections = json_schema()["$defs"]
    fields = {
        f"{section}.{name}": field for section, entry in sections.items() for name, field in entry["properties"].items()
    }
    assert {"Recipe.epochs", "RecipeChanges.epochs", "Grid.temperatures", "Collection.experiments"} <= fields.keys()
    assert [name for name, field in fields.items() if len(field.get("description", "")) < 5] == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_file_conforms_to_the_schema(path):
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(read_config(path), json_schema(), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": 3},
        {"seeds": "all"},
        {"recipe": {"epochs": 0}},
        {"recipe": {"Epochs": 1}},
        {"teacher_recipe": {"epochs": 0}},
        {"execution": {"device": "gpu"}},
    ],
)
def test_schema_refuses_what_is_wrong(config, change):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, **change}, json_schema(), cls=jsonschema.Draft202012Validator)

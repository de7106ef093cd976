"""The shipped experiments and the JSON schema of the config."""

import json

import jsonschema
import pytest
from configs import EXPERIMENTS, REPOSITORY, SHIPPED, load

from vicinal.config import json_schema, read_config, validate

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


def test_collection_is_its_experiments():
    paper = load(read_config(EXPERIMENTS / "paper.yaml"))
    alone = [load(read_config(EXPERIMENTS / f"{name}.yaml"))[0] for name in ("cifar100", "cifar10")]
    assert paper[: len(alone)] == alone


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

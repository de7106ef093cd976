import copy
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from vicinal.config import (
    GRID_KEYS,
    METHODS,
    RESERVED_NAMES,
    SHORT_KEYS,
    experiment_file,
    json_schema,
    parse_yaml,
    read_config,
    validate,
)
from vicinal.data.catalogue import resolve_source
from vicinal.errors import VicinalError

REPOSITORY = Path(__file__).parents[2]
EXPERIMENTS = REPOSITORY / "experiments"
SHIPPED = [REPOSITORY / "config.yaml", *sorted(EXPERIMENTS.glob("*.yaml"))]
SCHEMA = REPOSITORY / "workflow" / "config.schema.json"


def load(config, *overrides):
    return validate(config, "file.yaml", list(overrides), folder=EXPERIMENTS)


def problems(config, *overrides) -> list[str]:
    """Return what is wrong, one entry a line of the message, without the name of the file."""
    with pytest.raises(VicinalError) as caught:
        load(config, *overrides)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("file.yaml: ") for line in lines)
    return [line.removeprefix("file.yaml: ") for line in lines]


def error_of_set(config, override: str) -> str:
    with pytest.raises(VicinalError) as caught:
        load(config, override)
    (line,) = str(caught.value).splitlines()
    return line


def leaves(value, path="") -> dict:
    """Return the settings of an experiment by path; lists, other than that of the blocks, are values."""
    if isinstance(value, dict):
        parts = value.items()
    elif path == "grids":
        parts = enumerate(value)
    else:
        return {path: value}
    return {
        name: leaf for key, part in parts for name, leaf in leaves(part, f"{path}.{key}" if path else str(key)).items()
    }


def changed(before, after) -> set[str]:
    before, after = leaves(before.model_dump()), leaves(after.model_dump())
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


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


# One wrong setting: one line, which names the field and says what would be right


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("epoch", "epochs"), ("seed", "seeds"), ("teacher_recip", "teacher_recipe"), ("Seeds", "seeds")],
)
def test_unknown_key_at_the_top(config, key, nearest):
    (line,) = problems({**config, key: 1})
    assert line.startswith(f"{key}: unknown key (did you mean ")
    assert nearest in line


@pytest.mark.parametrize(
    ("section", "key", "nearest"),
    [
        ("recipe", "epoch", "epochs"),
        ("recipe", "Epochs", "epochs"),
        ("teacher_recipe", "weight_decy", "weight_decay"),
        ("data", "listing", "limit_train"),
        ("data", "limit_tests", "limit_test"),
        ("evaluation", "pair", "pairs"),
        ("execution", "thread", "threads"),
        ("loss", "KD_weight", "kd_weight"),
    ],
)
def test_unknown_key_in_a_section(config, section, key, nearest):
    (line,) = problems({**config, section: {key: 1}})
    assert line.startswith(f"{section}.{key}: unknown key (")
    assert nearest in line


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("temperature", "temperatures"),
        ("Temperatures", "temperatures"),
        # these begin as pydantic's own names for the members of a union do
        ("literal_temperatures", "temperatures"),
        ("strict", "temperatures"),
        ("lists", "loss"),
        ("floats", "loss"),
    ],
)
def test_unknown_key_in_a_block(config, key, nearest):
    config["grids"][0][key] = [1]
    (line,) = problems(config)
    assert line.startswith(f"grids.0.{key}: unknown key (")
    assert nearest in line


def test_unknown_key_of_a_teacher(config):
    config["grids"][0]["teachers"] = ["resnet8", {"model": "resnet14", "mixup": 1.0}]
    assert problems(config) == ["grids.0.teachers.1.mixup: unknown key (did you mean mixup_alpha?)"]


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        ("recipe", "epochs", "many", "integer"),
        ("recipe", "epochs", 2.5, "integer"),
        ("recipe", "epochs", 0, "greater than or equal to 1"),
        ("recipe", "batch_size", 1, "greater than or equal to 2"),
        ("recipe", "lr", 0, "greater than 0"),
        ("recipe", "lr", float("nan"), "greater than 0"),
        ("recipe", "lr", [0.1], "number"),
        ("recipe", "momentum", 1, "less than 1"),
        ("recipe", "weight_decay", -1, "greater than or equal to 0"),
        ("recipe", "weight_decay", float("inf"), "finite"),
        ("recipe", "optimizer", "adamw", "'sgd'"),
        ("recipe", "schedule", "steps", "'step', 'cosine' or 'constant'"),
        ("recipe", "crop_padding", -1, "greater than or equal to 0"),
        ("recipe", "flip", "sometimes", "boolean"),
        ("teacher_recipe", "epochs", 0, "greater than or equal to 1"),
        ("teacher_recipe", "lr", -0.1, "greater than 0"),
        ("teacher_recipe", "batch_size", 1, "greater than or equal to 2"),
        ("teacher_recipe", "momentum", 1, "less than 1"),
        ("teacher_recipe", "schedule", "steps", "'step', 'cosine' or 'constant'"),
        ("loss", "ce_weight", -0.1, "greater than or equal to 0"),
        ("data", "name", 5, "string"),
        ("data", "source", "web", "'auto', 'digits', 'torchvision' or 'parquet'"),
        ("data", "limit_train", 1, "greater than or equal to 2"),
        ("data", "limit_test", "few", "integer"),
        ("data", "validation", -1, "greater than or equal to 0"),
        ("data", "split_seed", -1, "greater than or equal to 0"),
        ("evaluation", "pairs", 5, "greater than or equal to 20"),
        ("execution", "threads", 0, "greater than or equal to 1"),
        ("execution", "device", "gpu", "auto|cpu|cuda"),
    ],
)
def test_wrong_value(config, section, key, value, says):
    (line,) = problems({**config, section: {key: value}})
    assert line.startswith(f"{section}.{key}: ")
    assert says in line
    assert repr(value) in line


@pytest.mark.parametrize("section", ["data", "recipe", "teacher_recipe", "loss", "evaluation", "execution", "grids"])
@pytest.mark.parametrize("value", ["text", 5, None])
def test_section_of_the_wrong_type(config, section, value):
    (line,) = problems({**config, section: value})
    assert line.startswith(f"{section}: ")


@pytest.mark.parametrize(
    ("key", "value", "field", "says"),
    [
        ("temperatures", [2, 0], "temperatures.1", "> 0"),
        ("temperatures", [-1], "temperatures.0", "> 0"),
        ("temperatures", [float("nan")], "temperatures.0", "> 0"),
        ("temperatures", [float("inf")], "temperatures.0", "> 0"),
        ("temperatures", [10**400], "temperatures.0", "> 0"),
        ("temperatures", ["hot"], "temperatures.0", "a number > 0 or std"),
        ("temperatures", [True], "temperatures.0", "a number > 0 or std"),
        ("temperatures", 2, "temperatures", "list"),
        ("alphas", [1, -0.5], "alphas.1", "greater than 0"),
        ("alphas", [0], "alphas.0", "greater than 0"),
        ("alphas", [10**400], "alphas.0", "number"),
        ("logit_scales", [0], "logit_scales.0", "greater than 0"),
        ("seeds", [], "seeds", "empty"),
        ("seeds", [-1], "seeds.0", "greater than or equal to 0"),
        ("seeds", [2**63], "seeds.0", "less than"),
        ("seeds", [0.5], "seeds.0", "integer"),
        ("students", "resnet8", "students", "list"),
        ("students", [], "students", "empty"),
        ("students", ["resnet8_narow"], "students.0", "did you mean resnet8_narrow"),
        ("teachers", [], "teachers", "empty"),
        ("teachers", [8], "teachers.0", "dictionary"),
        ("methods", ["kdmixup"], "methods.0", "did you mean kd_mixup"),
        ("methods", ["dist"], "methods.0", ", ".join(METHODS)),
        ("methods", [5], "methods.0", "unknown method 5"),
        ("methods", [["kd"]], "methods.0", "unknown method ['kd']"),
        ("loss", {"kd_weight": 0}, "loss", "ce and ce_mixup"),
        ("loss", {"kd_wieght": 1}, "loss.kd_wieght", "did you mean kd_weight"),
    ],
)
def test_wrong_value_in_a_block(config, key, value, field, says):
    config["grids"][0][key] = value
    (line,) = problems(config)
    assert line.startswith(f"grids.0.{field}: ")
    assert says in line


@pytest.mark.parametrize("teacher", ["resnet15", {"model": "resnet15"}])
def test_unknown_teacher(config, teacher):
    config["grids"][0]["teachers"] = ["resnet8", teacher]
    (line,) = problems(config)
    assert line.startswith("grids.0.teachers.1")
    assert "unknown model 'resnet15' (did you mean " in line
    assert "resnet14" in line


def test_unknown_model_of_lr_by_model(config):
    config["recipe"]["lr_by_model"] = {"resnet8": 0.1, "mobilnet_v2": 0.1}
    (line,) = problems(config)
    assert line.startswith("recipe.lr_by_model.mobilnet_v2: unknown model")
    assert "did you mean mobilenet_v2" in line


@pytest.mark.parametrize(
    ("key", "values", "shown"),
    [
        ("teachers", ["resnet14", "resnet8", "resnet14"], "resnet14"),
        ("teachers", ["resnet14", {"model": "resnet14"}], "resnet14"),
        ("teachers", [{"model": "resnet8", "mixup_alpha": 1}, {"model": "resnet8", "mixup_alpha": 1.0}], "resnet8"),
        ("students", ["resnet8_narrow", "resnet8_narrow"], "resnet8_narrow"),
        ("methods", ["kd", "ce", "kd"], "kd"),
        ("alphas", [1, 1.0], "1"),
        ("temperatures", [4, 2, 4.0], "4"),
        ("temperatures", ["std", 1, "std"], "std"),
        ("logit_scales", [0.5, 0.5], "0.5"),
        ("seeds", [3, 3], "3"),
        ("seeds", [12345678, 12345678], "12345678"),
    ],
)
def test_entry_listed_twice(config, key, values, shown):
    config["grids"][0][key] = values
    (line,) = problems(config)
    assert line.startswith(f"grids.0.{key}: ")
    assert line.endswith(f"{shown} is listed twice")


def test_teacher_with_and_without_mixup_are_two(config):
    config["grids"][0]["teachers"] = ["resnet14", {"model": "resnet14", "mixup_alpha": 1.0}]
    assert len(load(config)[0].grids[0].teachers) == 2


@pytest.mark.parametrize("seeds", [[], [1, 1], "0", None])
def test_wrong_seeds_of_the_experiment(config, seeds):
    (line,) = problems({**config, "seeds": seeds})
    assert line.startswith("seeds: ")


@pytest.mark.parametrize("methods", [["kd"], ["ce", "kd_mixup"]])
def test_distillation_needs_teachers(config, methods):
    config["grids"] = [{"students": ["resnet8"], "methods": methods}]
    (line,) = problems(config)
    assert line.startswith("grids.0: ")
    assert "teachers" in line


def test_students_without_a_teacher_need_none(config):
    config["grids"] = [{"students": ["resnet8"], "methods": ["ce", "ce_mixup"]}]
    assert load(config)[0].grids[0].teachers is None


def test_nothing_distilled_is_refused(config):
    (line,) = problems({**config, "loss": {"kd_weight": 0.0, "ce_weight": 1.0}})
    assert line.startswith("loss: kd_weight is 0")


@pytest.mark.parametrize(
    "name", ["a/b", "..", "", "-x", ".hidden", "x" * 65, "ä", "two words", *sorted(RESERVED_NAMES)]
)
def test_name_that_cannot_be_a_folder_of_results(config, name):
    (line,) = problems({**config, "name": name})
    assert line.startswith("name: ")
    assert repr(name) in line


@pytest.mark.parametrize("name", ["../digits", "", "a/b", "two words"])
def test_data_name_that_cannot_be_a_folder(config, name):
    (line,) = problems({**config, "data": {"name": name}})
    assert line.startswith("data")
    assert repr(name) in line


def test_unknown_data_set_is_named_when_it_is_looked_for(config, tmp_path):
    data = load({**config, "data": {"name": "cifar1000", "root": str(tmp_path)}})[0].data
    with pytest.raises(VicinalError, match=r"^data\.name: .*did you mean cifar10") as caught:
        resolve_source(data.name, data.root, data.source)
    assert len(str(caught.value).splitlines()) == 1


def test_every_problem_has_its_line(config):
    config["recipe"] = {"epochs": 0, "lr": -1}
    config["grids"][0]["temperatures"] = [0, 2, "hot"]
    del config["name"]
    fields = [line.partition(":")[0] for line in problems(config)]
    wanted = ["name", "recipe.epochs", "recipe.lr", "grids.0.temperatures.0", "grids.0.temperatures.2"]
    assert sorted(fields) == sorted(wanted)


@pytest.mark.parametrize("key", ["name", "grids"])
def test_required_setting_is_missing(config, key):
    del config[key]
    assert problems(config) == [f"{key}: required, but not given"]


def test_no_blocks(config):
    (line,) = problems({**config, "grids": []})
    assert line.startswith("grids: ")


@pytest.mark.parametrize("key", ["two\nlines", "tab\t", "\x1b[31m"])
def test_key_with_control_characters_stays_on_one_line(config, key):
    (line,) = problems({**config, key: 1})
    assert line.isprintable()
    assert "unknown key" in line


def test_value_with_line_breaks_stays_on_one_line(config):
    config["grids"][0]["students"] = ["a\nb"]
    assert len(problems(config)) == 1


@pytest.mark.parametrize("key", [1, None, True, 2.5])
def test_key_that_is_no_text(config, key):
    assert len(problems({**config, key: 1})) == 1


# Collections


def test_wrong_setting_in_an_experiment_of_a_collection(config):
    config["recipe"]["epochs"] = 0
    (line,) = problems({"name": "both", "experiments": ["digits", config]})
    assert line.startswith("experiments.1: recipe.epochs: ")


@pytest.mark.parametrize("experiments", [[], 5, None, [5], [None]])
def test_collection_of_nothing(experiments):
    (line,) = problems({"name": "none", "experiments": experiments})
    assert line.startswith("experiments")


def test_unknown_experiment_of_a_collection():
    with pytest.raises(VicinalError, match=r"no experiment 'cifar1oo' \(did you mean .*cifar100"):
        load({"name": "paper", "experiments": ["cifar1oo"]})


def test_experiment_listed_twice(config):
    assert problems({"name": "paper", "experiments": [config, config]}) == ["experiments: 'tiny' is listed twice"]


def test_unknown_key_of_a_collection():
    (line,) = problems({"name": "paper", "experiments": ["digits"], "experiment": 1})
    assert line.startswith("experiment: unknown key (did you mean experiments")


def test_file_of_an_experiment(tmp_path):
    assert experiment_file("cifar100", EXPERIMENTS) == EXPERIMENTS / "cifar100.yaml"
    assert experiment_file("digits", EXPERIMENTS) == REPOSITORY / "config.yaml"
    with pytest.raises(VicinalError, match="no experiment 'digits'"):
        experiment_file("digits", tmp_path / "none")


# Files


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' is given twice"),
        ("a: {b: 1, 'b': 2}\n", 1, "'b' is given twice"),
        ("recipe:\n  epochs: 1\n  lr: 1\n  epochs: 2\n", 4, "'epochs' is given twice"),
        ("a: [1\n", 2, "expected ',' or ']'"),
        ("a: 'open\n", 2, "unexpected end of stream"),
        ("a:\n\t- 1\n", 2, "cannot start any token"),
        ("a: *nothing\n", 1, "undefined alias"),
        ("a: !!python/object/apply:os.getcwd []\n", 1, "could not determine a constructor"),
        ("a: 2001-99-99\n", 1, ""),
        ("a: 1\nb: !!int one\n", 2, ""),
        ("a: !!bool perhaps\n", 1, ""),
        ("a: !!timestamp soon\n", 1, ""),
        ("a: 0x_\n", 1, ""),
        ("? [a, b]\n: 1\n", 1, ""),
        ("{a: b}: 1\n", 1, ""),
        ("a: !!set [b]\n", 1, ""),
        ("---\na: 1\n---\na: 2\n", 3, "another document"),
    ],
)
def test_bad_yaml(tmp_path, text, line, says):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(VicinalError) as caught:
        read_config(path)
    (message,) = str(caught.value).splitlines()
    assert message.startswith(f"{path}, line {line}: not valid YAML: ")
    assert says in message


@pytest.mark.parametrize("text", ["a: \x00", "a: \x1b", "a: " + "[" * 1000, "a: " + "9" * 5000])
def test_text_that_yaml_cannot_hold(text):
    with pytest.raises(VicinalError, match=r"^here.*: not valid YAML: ") as caught:
        parse_yaml(text, "here")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("text", "kind"), [("- a\n", "list"), ("a\n", "str"), ("", "NoneType"), ("5\n", "int")])
def test_file_that_is_no_mapping(tmp_path, text, kind):
    path = tmp_path / "list.yaml"
    path.write_text(text)
    with pytest.raises(VicinalError) as caught:
        read_config(path)
    assert str(caught.value) == f"{path}: expected a mapping of settings, found {kind}"


def test_file_that_is_not_there(tmp_path):
    path = tmp_path / "none.yaml"
    with pytest.raises(VicinalError) as caught:
        read_config(path)
    assert str(caught.value) == f"{path}: no such config file"


def test_file_that_is_no_text(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(VicinalError) as caught:
        read_config(path)
    assert str(caught.value) == f"{path}: not a text file in UTF-8"


def test_numbers_as_scientists_write_them():
    texts = ["1e-3", "5E4", "1.e5", "+.5e2", "-2e+1", "5.0e-4", "0.1", "1_000"]
    assert [parse_yaml(text, "here") for text in texts] == [1e-3, 5e4, 1e5, 50.0, -20.0, 5e-4, 0.1, 1000]
    assert [parse_yaml(text, "here") for text in ["1e", "e3", "resnet8x4", "std"]] == ["1e", "e3", "resnet8x4", "std"]


def test_merged_mappings_may_be_overridden():
    text = "{base: &base {a: 1, b: 2}, more: &more {<<: *base, b: 3}, most: {<<: *more, a: 4}}"
    assert parse_yaml(text, "here")["most"] == {"a": 4, "b": 3}
    # here the merged mapping lies deeper than the one that it is merged into
    text = "{top: {base: &base {a: 1, b: 2}, deeper: {more: &more {<<: *base, b: 3}}}, most: {<<: *more, a: 4}}"
    assert parse_yaml(text, "here") == yaml.safe_load(text)


# Overrides

SHORT = {
    "epochs=7": "recipe.epochs",
    "limit_train=70": "data.limit_train",
    "limit_test=70": "data.limit_test",
    "pairs=70": "evaluation.pairs",
    "seeds=[7, 8]": "seeds",
    "data.name=fashion_mnist": "data.name",
    "data.root=/elsewhere": "data.root",
    "teachers=[resnet110]": "teachers",
    "students=[wrn_16_1]": "students",
    "methods=[kd]": "methods",
    "alphas=[0.7]": "alphas",
    "temperatures=[7]": "temperatures",
    "logit_scales=[7]": "logit_scales",
}


def should_change(path: Path, override: str) -> set[str]:
    """Return the settings of a shipped experiment that an override should change, found in the file itself."""
    key, field = override.partition("=")[0], SHORT[override]
    blocks = [i for i, grid in enumerate(read_config(path)["grids"]) if key in grid]
    in_blocks = {f"grids.{i}.{key}" for i in blocks}
    if key in GRID_KEYS:
        return in_blocks
    return {field} | (in_blocks if key == "seeds" else set())


def test_every_short_key_is_tried():
    assert {*SHORT_KEYS, *GRID_KEYS} <= {text.partition("=")[0] for text in SHORT}


@pytest.mark.parametrize("name", ["digits", "cifar100", "cifar10"])
@pytest.mark.parametrize("override", SHORT)
def test_override_changes_what_it_should_and_nothing_else(name, override):
    path = experiment_file(name, EXPERIMENTS)
    (before,), (after,) = load(read_config(path)), load(read_config(path), override)
    wanted = should_change(path, override)
    assert wanted
    assert changed(before, after) == wanted
    values = leaves(json.loads(after.model_dump_json()))
    value = parse_yaml(override.partition("=")[2], "here")
    if override.startswith("teachers"):
        value = [{"model": model, "mixup_alpha": None} for model in value]
    assert all(values[field] == value for field in wanted)


@pytest.mark.parametrize("override", SHORT)
def test_override_of_a_collection_reaches_all_experiments(override):
    paper = read_config(EXPERIMENTS / "paper.yaml")
    for before, after in zip(load(paper), load(paper, override), strict=True):
        assert changed(before, after) == should_change(experiment_file(before.name, EXPERIMENTS), override)


@pytest.mark.parametrize("override", [text for text in SHORT if not text.startswith("data.")])
def test_override_at_the_top_of_a_collection(override):
    paper = read_config(EXPERIMENTS / "paper.yaml")
    key, _, value = override.partition("=")
    assert load({**paper, key: parse_yaml(value, "here")}) == load(paper, override)


# There the seeds are the experiment's own.
@pytest.mark.parametrize("override", [text for text in SHORT if not text.startswith(("seeds", "data."))])
def test_override_at_the_top_of_an_experiment(config, override):
    key, _, value = override.partition("=")
    assert load({**config, key: parse_yaml(value, "here")}) == load(config, override)


def test_override_wins_over_a_short_key_in_the_file(config):
    assert load({**config, "epochs": 5}, "epochs=2")[0].recipe.epochs == 2


def test_last_override_wins(config):
    assert load(config, "epochs=2", "recipe.epochs=3")[0].recipe.epochs == 3


def test_epochs_apply_to_teachers_that_have_their_own(config):
    config["teacher_recipe"] = {"epochs": 9, "lr": 0.2}
    (before,), (after,) = load(config), load(config, "epochs=2")
    assert changed(before, after) == {"recipe.epochs", "teacher_recipe.epochs"}
    assert after.teacher_recipe.epochs == 2


def test_override_of_a_list_that_no_block_has_applies_to_all(config):
    config["grids"] = [{"students": ["resnet8"], "methods": ["ce_mixup"]}] * 2
    (before,), (after,) = load(config), load(config, "alphas=[0.2]")
    assert changed(before, after) == {"grids.0.alphas", "grids.1.alphas"}


def test_override_by_path_and_position(config):
    config["grids"] *= 2
    (before,), (after,) = load(config), load(config, "grids.1.temperatures=[8]", "recipe.lr_by_model.resnet8=1e-3")
    assert changed(before, after) == {"grids.1.temperatures", "recipe.lr_by_model.resnet8"} | (
        {"recipe.lr_by_model"} if "recipe.lr_by_model" in leaves(before.model_dump()) else set()
    )
    assert after.recipe.lr_by_model == {"resnet8": 1e-3}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("epochs", "expected KEY=VALUE"),
        ("", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("\n=3", "expected KEY=VALUE"),
        ("epochs=[", "--set epochs, line 1: not valid YAML"),
        ("epochs=\x00", "--set epochs: not valid YAML"),
        ("grids.5.seeds=[1]", "'5' is no position in a list of 1"),
        ("grids.x.seeds=[1]", "'x' is no position in a list of 1"),
        ("grids.².seeds=[1]", "'²' is no position in a list of 1"),
        (f"grids.{'9' * 5000}.seeds=[1]", "is no position in a list of 1"),
        ("name.first=x", "nothing below 'tiny'"),
        ("Epochs=2", "Epochs: unknown key (did you mean epochs"),
        ("temperature=[2]", "temperature: unknown key (did you mean temperatures"),
        ("recipe.epoch=2", "recipe.epoch: unknown key (did you mean epochs"),
        ("epochs=many", "recipe.epochs: "),
        ("epochs=", "recipe.epochs: "),
        ("temperatures=[0]", "grids.0.temperatures.0: "),
        ("teachers=resnet8", "grids.0.teachers: "),
        ("seeds=3", "seeds: "),
        ("recipe=3", "recipe: "),
    ],
)
def test_wrong_override(config, override, says):
    assert says in error_of_set(config, override)


def test_override_beside_a_wrong_section(config):
    assert "teacher_recipe: " in error_of_set({**config, "teacher_recipe": 3}, "epochs=2")


@pytest.mark.parametrize("name", ["digits", "paper"])
def test_overrides_leave_the_input_as_it_is(name):
    config = {**read_config(experiment_file(name, EXPERIMENTS)), "epochs": 3, "temperatures": [3]}
    before = copy.deepcopy(config)
    load(config, *SHORT, "data.name=cifar10", "grids.0.seeds=[5]") if name == "digits" else load(config, *SHORT)
    assert config == before


# Nothing but VicinalError, whatever is given

TEXT = st.one_of(st.text(max_size=80), st.text("[]{}:,-?!&*<>|%@#='\"\\ \n\tabsx01.~_", max_size=80))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["std", "kd", "resnet8"])
)
NAMES = [
    *SHORT_KEYS,
    *GRID_KEYS,
    "name",
    "data",
    "recipe",
    "teacher_recipe",
    "loss",
    "grids",
    "execution",
    "experiments",
]
FIELDS = [*NAMES, "lr", "lr_by_model", "milestones", "limit_train", "model", "mixup_alpha", "kd_weight", "<<"]
KEYS = st.one_of(st.sampled_from(FIELDS), st.text(max_size=8))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def only_vicinal_errors(function):
    """Return what the function returns, or None after an error; each line of its message says what it is about."""
    try:
        return function()
    except VicinalError as error:
        lines = str(error).splitlines()
        assert lines
        assert all(line.startswith(("file.yaml", "--set ", "no experiment ")) for line in lines)


@given(TEXT)
@example("2001-99-99")
@example("{{a: b}: c}")
@example("&a [*a]")
@example("&a {a: *a}")
@example("!!set [a]")
@example("!!omap [{a: 1}]")
def test_any_text_as_a_file(text):
    value = only_vicinal_errors(lambda: parse_yaml(text, "file.yaml"))
    if isinstance(value, dict):
        only_vicinal_errors(lambda: load(value))


@given(st.dictionaries(KEYS, VALUES, max_size=6), st.booleans())
@example({"experiments": {}}, False)
@example({"Name": 1, "listing": 1}, True)
def test_any_values_as_a_config(changes, valid_otherwise):
    base = {"name": "x", "grids": [{"students": ["resnet8"], "methods": ["ce"]}]} if valid_otherwise else {}
    only_vicinal_errors(lambda: load({**base, **changes}))


@given(
    st.one_of(TEXT, st.builds("{}={}".format, st.lists(KEYS, min_size=1, max_size=3).map(".".join), TEXT)),
    st.sampled_from([None, {}, 3, "text", {"epochs": 2}]),
)
@example("epochs=2", 3)
@example("grids.²=1", None)
@example("grids.0.grids=x: 2001-13-01", None)
def test_any_text_as_an_override(text, teacher_recipe):
    config = {"name": "x", "grids": [{"students": ["resnet8"], "methods": ["ce"]}], "teacher_recipe": teacher_recipe}
    only_vicinal_errors(lambda: load(config, text))

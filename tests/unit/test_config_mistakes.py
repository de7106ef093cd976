"""A wrong setting gets one line, which names the field and says what would be right."""

import pytest
from configs import load, problems

from vicinal.config import METHODS, RESERVED_NAMES


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("epoch", "epochs"), ("seed", "seeds"), ("teacher_recip", "teacher_recipe"), ("Seeds", "seeds")],
)
def test_unknown_key_at_the_top(config, key, nearest):
    (line,) = problems({**config, key: 1})
    assert line.startswith(f"{key}: unknown key (did you mean ")
    assert nearest in line


def test_text_that_is_a_plain_number_is_taken_for_it(config):
    config["recipe"] |= {"lr": "1e-1", "epochs": "2", "batch_size": "3e1"}
    config["grids"][0] |= {"temperatures": ["2", "std", "4.0"], "alphas": ["1"]}
    [experiment] = load(config)
    assert (experiment.recipe.lr, experiment.recipe.epochs, experiment.recipe.batch_size) == (0.1, 2, 30)
    assert experiment.grids["0"].temperatures == [2.0, "std", 4.0]


@pytest.mark.parametrize("text", ["010", "1_000", "0x10", "0b1", "1:30", "1,5", " 1", "", "inf", "nan", "٣", "1e9999"])
def test_text_that_is_no_plain_number_is_refused(config, text):
    config["recipe"]["epochs"] = text
    config["grids"][0]["temperatures"] = [text]
    found = problems(config)
    assert [line.split(":")[0] for line in found] == ["recipe.epochs", "grids.0.temperatures.0"]
    assert all(f"{text!r} is not a plain number such as 10, 0.5 or 1e-3" in line for line in found)


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
        ("recipe", "epochs", "many", "plain number"),
        ("recipe", "epochs", 2.5, "whole number"),
        ("recipe", "epochs", 0, "at least 1"),
        ("recipe", "batch_size", 1, "at least 2"),
        ("recipe", "lr", 0, "more than 0"),
        ("recipe", "lr", float("nan"), "more than 0"),
        ("recipe", "lr", [0.1], "number"),
        ("recipe", "momentum", 1, "less than 1"),
        ("recipe", "weight_decay", -1, "at least 0"),
        ("recipe", "weight_decay", float("inf"), "finite"),
        ("recipe", "optimizer", "adamw", "'sgd'"),
        ("recipe", "schedule", "steps", "'step', 'cosine', 'constant', 'piecewise' or 'plateau'"),
        ("recipe", "crop_padding", -1, "at least 0"),
        ("recipe", "flip", "sometimes", "true or false"),
        ("teacher_recipe", "epochs", 0, "at least 1"),
        ("teacher_recipe", "lr", -0.1, "more than 0"),
        ("teacher_recipe", "batch_size", 1, "at least 2"),
        ("teacher_recipe", "momentum", 1, "less than 1"),
        ("teacher_recipe", "schedule", "steps", "'step', 'cosine', 'constant', 'piecewise' or 'plateau'"),
        ("loss", "ce_weight", -0.1, "at least 0"),
        ("data", "name", 5, "text"),
        ("data", "source", "web", "'auto', 'digits', 'torchvision', 'parquet' or 'folder'"),
        ("data", "limit_train", 1, "at least 2"),
        ("data", "limit_test", "few", "plain number"),
        ("data", "validation", -1, "at least 0"),
        ("data", "split_seed", -1, "at least 0"),
        ("evaluation", "pairs", 5, "at least 20"),
        ("execution", "threads", 0, "at least 1"),
        ("execution", "device", "gpu", "must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_wrong_value(config, section, key, value, says):
    (line,) = problems({**config, section: {key: value}})
    assert line.startswith(f"{section}.{key}: ")
    assert says in line
    assert repr(value) in line


def test_recipes_that_are_wrong_only_for_teachers(config):
    config |= {"recipe": {"resize": 8, "crop": 8, "crop_padding": 0}, "teacher_recipe": {"crop_padding": 1}}
    (line,) = problems(config)
    assert "teacher_recipe, with what it takes from recipe: crop_padding is for images without resize" in line


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
        ("temperatures", ["hot"], "temperatures.0", "it must be a number > 0, or std"),
        ("temperatures", [True], "temperatures.0", "it must be a number > 0, or std"),
        ("temperatures", 2, "temperatures", "list"),
        ("alphas", [1, -0.5], "alphas.1", "more than 0"),
        ("alphas", [0], "alphas.0", "more than 0"),
        ("alphas", [10**400], "alphas.0", "number"),
        ("logit_scales", [0], "logit_scales.0", "more than 0"),
        ("seeds", [], "seeds", "empty"),
        ("seeds", [-1], "seeds.0", "at least 0"),
        ("seeds", [2**63], "seeds.0", "less than"),
        ("seeds", [0.5], "seeds.0", "whole number"),
        ("students", "resnet8", "students", "list"),
        ("students", [], "students", "empty"),
        ("students", ["resnet8_narow"], "students.0", "did you mean resnet8_narrow"),
        ("teachers", [], "teachers", "empty"),
        ("teachers", [8], "teachers.0", "mapping"),
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
    assert len(load(config)[0].grids["0"].teachers) == 2


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
    assert load(config)[0].grids["0"].teachers is None


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

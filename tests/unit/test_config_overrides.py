"""Overrides on the command line: what they change, and nothing else."""

import copy
import json
from pathlib import Path

import pytest
from configs import EXPERIMENTS, changed, leaves, load
from snakemake.cli import parse_config
from snakemake.common import dict_to_key_value_args

from vicinal.config import GRID_KEYS, SHORT_KEYS, experiment_file, overrides_of_snakemake, parse_yaml, read_config
from vicinal.errors import VicinalError


def error_of_set(config, override: str) -> str:
    with pytest.raises(VicinalError) as caught:
        load(config, override)
    (line,) = str(caught.value).splitlines()
    return line


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
    "methods=[ce_mixup]": "methods",  # all can have it, with teachers or without
    "alphas=[0.7]": "alphas",
    "temperatures=[7]": "temperatures",
    "logit_scales=[7]": "logit_scales",
}


# Overrides name a variant too (test_variants.py).
NAMED = {"name", "variant_of"}


def unnamed(config, *overrides):
    return [experiment.model_dump(exclude=NAMED) for experiment in load(config, *overrides)]


def should_change(path: Path, override: str) -> set[str]:
    """Return the settings of a shipped experiment that an override should change, found in the file itself."""
    config, key, field = read_config(path), override.partition("=")[0], SHORT[override]
    if key in GRID_KEYS:
        return {f"grids.main.{key}"}
    own = {"teacher_recipe.epochs"} if key == "epochs" and "epochs" in config.get("teacher_recipe", {}) else set()
    # Blocks with seeds of their own take the experiment's.
    seeds = {f"grids.{name}.seeds" for name, block in config["grids"].items() if "seeds" in block}
    return {field} | own | (seeds if key == "seeds" else set())


def test_every_short_key_is_tried():
    assert {*SHORT_KEYS, *GRID_KEYS} <= {text.partition("=")[0] for text in SHORT}


@pytest.mark.parametrize("name", ["digits", "cifar100", "cifar10"])
@pytest.mark.parametrize("override", SHORT)
def test_override_changes_what_it_should_and_nothing_else(name, override):
    path = experiment_file(name, EXPERIMENTS)
    (before,), (after,) = load(read_config(path)), load(read_config(path), override)
    wanted = should_change(path, override)
    assert wanted
    assert changed(before, after) - NAMED == wanted
    values = leaves(json.loads(after.model_dump_json()))
    value = parse_yaml(override.partition("=")[2], "here")
    if override.startswith("teachers"):
        value = [{"model": model, "mixup_alpha": None, "weights": None, "normalisation": None} for model in value]
    assert all(values[field] == (None if field.endswith(".seeds") else value) for field in wanted)


@pytest.mark.parametrize("override", SHORT)
def test_override_of_a_collection_reaches_all_experiments(override):
    paper = read_config(EXPERIMENTS / "paper.yaml")
    for before, after in zip(load(paper), load(paper, override), strict=True):
        assert changed(before, after) - NAMED == should_change(experiment_file(before.name, EXPERIMENTS), override)


@pytest.mark.parametrize(
    "override", [*SHORT, "recipe.lr=2e-2", "data.limit_train=null", "grids.main.teachers=[{model: resnet8}]"]
)
@pytest.mark.parametrize("name", ["digits", "paper"])
def test_snakemakes_config_means_what_set_does(name, override):
    """As Snakemake parses it, and again as it hands it to a job."""
    config = read_config(experiment_file(name, EXPERIMENTS))
    wanted = load(config, override)
    key, _, value = override.partition("=")
    *sections, field = key.split(".")
    entry = f"{field}={value}"
    for section in reversed(sections):
        entry = f"{section}={{{entry.replace('=', ': ', 1)}}}"
    for _ in range(2):
        parsed = parse_config([entry])
        assert load(config, *overrides_of_snakemake(parsed)) == wanted
        [entry] = dict_to_key_value_args(parsed, quote_str=False, repr_obj=True)


@pytest.mark.parametrize("override", [text for text in SHORT if not text.startswith("data.")])
def test_override_at_the_top_of_a_collection(override):
    paper = read_config(EXPERIMENTS / "paper.yaml")
    key, _, value = override.partition("=")
    assert unnamed({**paper, key: parse_yaml(value, "here")}) == unnamed(paper, override)


# There the seeds are the experiment's own.
@pytest.mark.parametrize("override", [text for text in SHORT if not text.startswith(("seeds", "data."))])
def test_override_at_the_top_of_an_experiment(config, override):
    key, _, value = override.partition("=")
    assert unnamed({**config, key: parse_yaml(value, "here")}) == unnamed(config, override)


def test_override_wins_over_a_short_key_in_the_file(config):
    assert load({**config, "epochs": 5}, "epochs=2")[0].recipe.epochs == 2


def test_last_override_wins(config):
    assert load(config, "epochs=2", "recipe.epochs=3")[0].recipe.epochs == 3


def test_epochs_apply_to_teachers_that_have_their_own(config):
    config["teacher_recipe"] = {"epochs": 9, "lr": 0.2}
    (before,), (after,) = load(config), load(config, "epochs=2")
    assert changed(before, after) - NAMED == {"recipe.epochs", "teacher_recipe.epochs"}
    assert after.teacher_recipe.epochs == 2


def test_a_short_key_changes_the_main_block_or_the_only_one(config):
    block = {"students": ["resnet8"], "methods": ["ce_mixup"]}
    for grids, wanted in (({"more": block, "main": block}, "main"), ({"more": block}, "more"), ([block], "0")):
        config["grids"] = grids
        (before,), (after,) = load(config), load(config, "alphas=[0.2]")
        assert changed(before, after) - NAMED == {f"grids.{wanted}.alphas"}
    config["grids"] = {"more": block, "other": block}
    says = "--set alphas: in which block? There are more, other, and none is called main: give grids.more.alphas"
    assert error_of_set(config, "alphas=[0.2]") == says


def test_a_block_that_is_null_is_left_out(config):
    block = {"students": ["resnet8"], "methods": ["ce_mixup"]}
    config["grids"] = {"main": block, "more": block}
    assert list(load(config, "grids.more=null")[0].grids) == ["main"]
    config["grids"]["more"] = None
    assert list(load(config)[0].grids) == ["main"]


def test_override_by_path_and_position(config):
    config["grids"] *= 2
    (before,), (after,) = load(config), load(config, "grids.1.temperatures=[8]", "recipe.lr_by_model.resnet8=1e-3")
    assert changed(before, after) - NAMED == {"grids.1.temperatures", "recipe.lr_by_model.resnet8"} | (
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
        ("grids.5=[1]", "grids.5: "),
        ("grids.a b={students: [resnet8], methods: [ce]}", "grids.a b: must be a name of letters, digits, '_' and '-'"),
        ("grids.0.methods.5=kd", "'5' is not a position in a list of 4"),
        ("grids.0.methods.x=kd", "'x' is not a position in a list of 4"),
        ("grids.0.methods.²=kd", "'²' is not a position in a list of 4"),
        (f"grids.0.methods.{'9' * 5000}=kd", "is not a position in a list of 4"),
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
    load(config, *SHORT, "data.name=cifar10", "grids.main.seeds=[5]") if name == "digits" else load(config, *SHORT)
    assert config == before


@pytest.mark.parametrize(("text", "seeds"), [("range(3)", [0, 1, 2]), ("range( 2, 5 )", [2, 3, 4]), ("[0, 7]", [0, 7])])
def test_seeds_may_be_a_range(config, text, seeds):
    assert load(config, f"seeds={text}")[0].model_dump(mode="json")["seeds"] == seeds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("range(0)", "the list is empty"),
        ("range(-3)", "must be a list"),
        ("range(0, 9, 2)", "must be a list"),
        ("range(100000)", "100,000 seeds; give at most 1,000"),
    ],
)
def test_a_wrong_range_is_one_line(config, text, says):
    assert f"seeds: {'range(100000): ' if '100000' in text else ''}{says}" in error_of_set(config, f"seeds={text}")

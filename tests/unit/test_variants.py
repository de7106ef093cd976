"""What a run with --set is called."""

from pathlib import Path

import pytest

from vicinal.config import experiment_file, read_config, run_name, validate
from vicinal.config.variants import LONGEST, variant_name
from vicinal.errors import VicinalError
from vicinal.planning.experiments import dump

ROOT = Path(__file__).resolve().parents[2]
DIGITS = read_config(ROOT / "config.yaml")
PAPER = read_config(ROOT / "experiments/paper.yaml")


def name_of(*overrides):
    return validate(DIGITS, "config.yaml", overrides)[0].name


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["epochs=1"], "digits+epochs1"),
        (["temperatures=[1,4]", "seeds=[0,1]"], "digits+temperatures1-4+seeds0-1"),
        (["recipe.lr=0.05"], "digits+recipe.lr0.05"),
        (["students=[resnet8]"], "digits+students-resnet8"),
        (["grids.calibration=null"], "digits+grids.calibration-null"),
        (["data.root=/elsewhere", "execution.threads=2", "epochs=1"], "digits+epochs1"),
        (["epochs=1", "name=trial"], "trial"),
    ],
)
def test_the_name_says_what_was_changed(overrides, name):
    assert name_of(*overrides) == name


@pytest.mark.parametrize("override", ["data.root=/elsewhere", "execution.threads=2", "cluster.partition=gpu"])
def test_what_changes_no_result_keeps_the_folder(override):
    assert name_of(override) == "digits"


def test_what_the_config_says_anyway_keeps_the_folder():
    pairs = validate(DIGITS, "config.yaml")[0].evaluation.pairs
    assert name_of(f"pairs={pairs}") == "digits"
    assert name_of(f"pairs={pairs + 1}") == f"digits+pairs{pairs + 1}"


def test_changes_that_letters_cannot_tell_apart_have_a_hash():
    pairs = [[("a", [1, 2])], [("a", "1-2")], [("a", [1, -2])], [("a", [])], [("a", "")], [("a", {"b": 1})]]
    assert len({variant_name("x", changes) for changes in pairs}) == len(pairs)
    assert variant_name("x", pairs[0]) == "x+a1-2"


def test_a_long_name_is_cut_and_stays_apart():
    changes = [("temperatures", list(range(1, 40))), ("epochs", 3)]
    first, second = (variant_name("x" * 64, [*changes, ("seeds", [seed])]) for seed in (0, 1))
    assert first != second
    assert len(first) <= 64 + 1 + LONGEST
    assert first.startswith("x" * 64 + "+temperatures1-2-3")


def test_the_config_of_a_run_is_read_again_under_its_name():
    [variant] = validate(DIGITS, "config.yaml", ["epochs=1"])
    written = dump(variant.name, [variant])
    assert validate(written, "snapshot") == [variant]
    assert validate(written, "snapshot", ["epochs=2"])[0].name == "digits+epochs1+epochs2"


def test_a_collection_and_its_experiments_are_named_too():
    experiments = validate(PAPER, "paper.yaml", ["epochs=1"], ROOT / "experiments")
    name = run_name(PAPER, experiments, ["epochs=1"])
    assert (name, experiments[0].name) == ("paper+epochs1", "cifar100+epochs1")
    written = dump(name, experiments)
    assert validate(written, "snapshot") == experiments
    assert run_name(written, experiments) == name
    unchanged = validate(PAPER, "paper.yaml", ["execution.threads=2"], ROOT / "experiments")
    assert run_name(PAPER, unchanged, ["execution.threads=2"]) == "paper"


@pytest.mark.parametrize(
    "names",
    [{"name": "digits+epochs1"}, {"name": "digits", "variant_of": "digits"}, {"name": "a+b", "variant_of": "c"}],
)
def test_nobody_names_an_experiment_like_a_variant(names):
    with pytest.raises(VicinalError, match=r"the part after a \+ is what --set changed"):
        validate({**DIGITS, **names}, "own.yaml")


def test_a_variant_is_asked_for_by_its_experiment_and_set():
    with pytest.raises(
        VicinalError, match=r"digits\+epochs1: a run of digits with --set: give digits and the same --set"
    ):
        experiment_file("digits+epochs1", ROOT / "experiments")


@pytest.mark.parametrize("name", ["a+", "a+b/c", "a+" + "b" * 60, "status+epochs1"])
def test_a_variants_name_is_the_name_of_a_folder(name):
    with pytest.raises(VicinalError, match="name: "):
        validate({**DIGITS, "name": name, "variant_of": name.partition("+")[0]}, "own.yaml")

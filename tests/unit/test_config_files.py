"""Files of experiments and collections: what they hold, and what is wrong with them."""

import pytest
import yaml
from configs import EXPERIMENTS, REPOSITORY, load, problems
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vicinal.config import experiment_file, parse_yaml, read_config, write_yaml
from vicinal.errors import VicinalError

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


def test_a_collection_says_for_all_how_they_run(config):
    config["execution"] = {"threads": 4}
    both = {"name": "both", "experiments": ["cifar100", config], "execution": {"threads": 2}}
    assert [experiment.execution.threads for experiment in load(both)] == [2, 2]
    assert [experiment.execution.threads for experiment in load({**both, "execution": None})] == [1, 4]
    found = load(both, "execution.device=cpu")
    assert {(e.execution.threads, e.execution.device) for e in found} == {(2, "cpu")}


@pytest.mark.parametrize(
    ("execution", "says"), [({"threads": 0}, "execution: threads: "), ({"thread": 1}, "execution: thread: unknown key"),
    (5, "execution: ")],
)  # fmt: skip
def test_a_collection_that_says_wrongly_how_they_run(config, execution, says):
    (line,) = problems({"name": "both", "experiments": [config], "execution": execution})
    assert line.startswith(says)


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
        ("a: 1\nb: !!int one\n", 2, ""),
        ("a: !!bool perhaps\n", 1, ""),
        ("a: !!timestamp soon\n", 1, ""),
        ("a: !!int 0x_\n", 1, ""),
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3), ("5E4", 5e4), ("1.e5", 1e5), ("+.5e2", 50.0), ("-2e+1", -20.0), ("0.1", 0.1), ("2e0", 2.0),
        ("010", 10), ("0o10", 8), ("0x10", 16), ("-.inf", float("-inf")), ("true", True), ("~", None), ("", None),
        # numbers, truth values and dates of YAML 1.1
        *((word, word) for word in ("1:30", "1_000", "0b11", "yes", "no", "On", "2001-01-01", "=")),
        *((word, word) for word in ("1e", "e3", "resnet8x4", "std")),
    ],
)  # fmt: skip
def test_words_are_read_by_the_core_schema_of_yaml_1_2(text, value):
    read = parse_yaml(f"[{text}]" if text else "", "here")
    read = read[0] if text else read
    assert (read, type(read)) == (value, type(value))


@settings(max_examples=100)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("01eE.x:_-+noyes~<= a"),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab1e", min_size=1), inner, max_size=3),
        max_leaves=6,
    )
)
@example(["1e3", "010", "1:30", "yes", "0o7", 1e-5, 1e22])
def test_what_is_written_is_read_again(value):
    text = write_yaml(value)
    assert parse_yaml(text, "here") == value
    assert yaml.safe_load(text) == value  # Snakemake reads it too


def test_merged_mappings_may_be_overridden():
    text = "{base: &base {a: 1, b: 2}, more: &more {<<: *base, b: 3}, most: {<<: *more, a: 4}}"
    assert parse_yaml(text, "here")["most"] == {"a": 4, "b": 3}
    # here the merged mapping lies deeper than the one that it is merged into
    text = "{top: {base: &base {a: 1, b: 2}, deeper: {more: &more {<<: *base, b: 3}}}, most: {<<: *more, a: 4}}"
    assert parse_yaml(text, "here") == yaml.safe_load(text)

"""The commands of ./reproduce: their names and options; what ``new`` writes and what the shell completes."""

import os
import subprocess
from pathlib import Path

import pytest

from vicinal import cli
from vicinal.cli import main
from vicinal.commands import COMMANDS, DEFAULT, command_of
from vicinal.config import Experiment, parse_yaml, read_config, validate
from vicinal.config.values import COMMAND_WORDS
from vicinal.errors import VicinalError
from vicinal.jobs.script import Parser

ROOT = Path(__file__).resolve().parents[2]


def reproduce(*words):
    words, command = (words[1:], words[0]) if words[0] in COMMANDS else (words, DEFAULT)
    module, parser = command_of(command)
    return module.main(parser.parse_args(words))


def test_no_experiment_may_have_the_name_of_a_command():
    assert COMMANDS.keys() == COMMAND_WORDS
    assert DEFAULT in COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_module_and_its_options_are_written_out(name, capsys):
    module, parser = command_of(name)
    assert callable(module.main)
    required = {"new": ["x"], "completion": ["bash"], "report": ["--from", "x"], "diff": ["x", "y"]}.get(name, [])
    for option in set(parser.long_options) - {"--help", "--version"}:
        with pytest.raises(SystemExit):
            parser.parse_args([*required, option[:-1]])
        assert "unrecognized arguments" in capsys.readouterr().err


def test_every_parser_is_ours():
    """A parser of argparse itself takes ``--delet`` for ``--delete``."""
    found = [
        path.relative_to(ROOT)
        for path in (ROOT / "workflow").rglob("*.py")
        if "argparse.ArgumentParser(" in path.read_text() and "class Parser(" not in path.read_text()
    ]
    assert found == []


def test_a_default_is_shown_where_there_is_one():
    parser = Parser()
    parser.add_argument("--one", default=7, help="first")
    parser.add_argument("--two", help="second")
    parser.add_argument("--three", action="store_true", help="third")
    text = parser.format_help()
    assert "first (default: 7)" in text
    assert "None" not in text
    assert "False" not in text


def test_the_version_is_printed(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["vicinal", "--version"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert capsys.readouterr().out == "Vicinal 0.1.0\n"


SHIPPED = [path.stem for path in (ROOT / "experiments").glob("*.yaml") if "experiments" not in read_config(path)]


@pytest.mark.usefixtures("own_project")
@pytest.mark.parametrize("source", [None, *SHIPPED])
def test_a_new_experiment_is_that_of_its_source_with_every_field_named(source):
    assert reproduce("new", "mine", *(["--from", source] if source else [])) == 0
    file = Path("experiments/mine.yaml")
    old_file = f"experiments/{source}.yaml" if source else "config.yaml"
    [new], [old] = validate(read_config(file), "new"), validate(read_config(old_file), "old")
    assert new == old.model_copy(update={"name": "mine"})
    lines = [line.strip().lstrip("#").split(":")[0] for line in file.read_text().splitlines()]
    assert set(lines) >= Experiment.model_fields.keys()


@pytest.mark.usefixtures("own_project")
def test_a_field_of_a_new_experiment_has_its_default_when_the_sign_is_removed():
    assert reproduce("new", "mine", "--from", "cifar100-short") == 0
    text = Path("experiments/mine.yaml").read_text()
    free = "\n".join(
        line.replace("#", "", 1) if line.strip().startswith("#") and line.strip()[1:2].isalpha() else line
        for line in text.splitlines()
    )
    config = parse_yaml(free, "free")
    config["cluster"] = None
    [all_set], [some_set] = validate(config, "free"), validate(parse_yaml(text, "text"), "text")
    assert all_set == some_set
    assert free != text


@pytest.mark.usefixtures("own_project")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["cifar100"], "cifar100: there is an experiment of this name"),
        (["digits"], "digits: there is an experiment of this name"),
        (["plan"], "'plan' is a folder of results/ or a command"),
        (["../x"], "use letters, digits"),
        (["x", "--from", "paper"], "a collection of experiments: name one of cifar100, "),
        (["x", "--from", "cifar"], "no experiment 'cifar'"),
    ],
)
def test_a_wrong_name_is_one_line_and_nothing_is_written(words, says):
    before = sorted(Path().rglob("*"))
    with pytest.raises(VicinalError) as error:
        reproduce("new", *words)
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pl"], {"plan"}),
        (["cifar100-t"], {"cifar100-transfer", "cifar100-transfer-ce"}),
        (["--skip"], {"--skip-missing"}),
        (["gc", "--del"], {"--delete"}),
        (["gc", "--skip"], set()),
        (["gc", "pl"], set()),
        (["cifar100", "--sl"], {"--slurm"}),
        (["plan", "pape"], {"paper"}),
    ],
)
def test_the_shell_completes_commands_options_and_experiments(capsys, words, expected):
    assert reproduce("completion", "bash") == 0
    script = capsys.readouterr().out
    given = " ".join(words)
    script += f'\nCOMP_WORDS=(./reproduce {given}); COMP_CWORD={len(words)}; _vicinal; echo "${{COMPREPLY[@]}}"'
    run = subprocess.run(["bash", "-uc", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) == expected
    assert run.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_takes_the_active_environment_if_it_is_checked(name, monkeypatch, capsys):
    checks = []
    monkeypatch.setattr(cli, "check_environment", lambda: checks.append(name))
    monkeypatch.setattr("sys.argv", ["vicinal", name, "--no-venv", "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code, checks) == (0, [name])
    assert "usage: ./reproduce" in capsys.readouterr().out


def test_a_folder_whose_name_is_not_utf_8_is_named(tmp_path, monkeypatch):
    folder = tmp_path / os.fsdecode(b"\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["vicinal", "status"])
    with pytest.raises(VicinalError, match=r"^the project's folder: '.*\\udce9' has .* bytes that are not UTF-8$"):
        cli.main()

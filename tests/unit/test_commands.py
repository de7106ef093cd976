"""The commands of ./reproduce: each has its module, and no experiment may have its name."""

import os
from importlib import import_module

import pytest

from vicinal import cli
from vicinal.commands import COMMANDS, DEFAULT
from vicinal.config.values import COMMAND_WORDS
from vicinal.errors import VicinalError


def test_no_experiment_may_have_the_name_of_a_command():
    assert COMMANDS.keys() == COMMAND_WORDS


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_module(name):
    module = import_module(f"vicinal.commands.{name}")
    assert callable(module.add_arguments)
    assert callable(module.main)
    assert DEFAULT in COMMANDS


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

"""The commands of ./reproduce: each has its module, and no experiment may have its name."""

from importlib import import_module

import pytest

from vicinal.commands import COMMANDS, DEFAULT
from vicinal.config.values import COMMAND_WORDS


def test_no_experiment_may_have_the_name_of_a_command():
    assert COMMANDS.keys() == COMMAND_WORDS


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_module(name):
    module = import_module(f"vicinal.commands.{name}")
    assert callable(module.add_arguments)
    assert callable(module.main)
    assert DEFAULT in COMMANDS

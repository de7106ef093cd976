"""./reproduce verify: one line for an experiment that never ran, and the command that makes what is missing."""

import json
from pathlib import Path

import pytest

from scripts import run_command
from vicinal.commands import verify as command
from vicinal.errors import VicinalError

pytestmark = pytest.mark.usefixtures("own_project")


def verify(*words):
    return run_command(command, *words)


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ((), "./reproduce"),
        (("cifar100",), "./reproduce cifar100"),
        (("--set", "seeds=[0, 1]"), "./reproduce --set 'seeds=[0, 1]'"),
    ],
)
def test_what_never_ran_is_one_line_with_the_command_that_runs_it(words, run):
    with pytest.raises(VicinalError) as error:
        verify(*words)
    assert str(error.value).endswith(f"was never run here: there is nothing to verify; run {run}")


def test_what_is_missing_is_made_by_the_command_of_its_experiment(capsys):
    table = Path("results/cifar100-short/metrics.parquet")
    table.parent.mkdir(parents=True)
    table.touch()
    assert verify("cifar100-short", "--json") == 1
    remedies = {problem["remedy"] for problem in json.loads(capsys.readouterr().out)["problems"]}
    assert "run ./reproduce cifar100-short" in remedies
    assert not any(remedy.endswith("./reproduce") for remedy in remedies)

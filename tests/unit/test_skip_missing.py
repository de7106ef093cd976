"""--skip-missing: which experiments run, which are left out and why, and how later plans and reports know."""

import argparse
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from scripts import parse
from vicinal.commands import plan as plan_command
from vicinal.commands import run as command
from vicinal.errors import VicinalError
from vicinal.planning.experiments import dump, read_experiments, resolve_named
from vicinal.planning.skipped import collection_name, read_skipped, skipped_file, write_skipped
from vicinal.running import last_run as finished
from vicinal.running import preflight
from vicinal.running.last_run import is_last_run, write_last_run

RESULTS = Path("results")
GRID = {"students": ["resnet8_narrow"], "methods": ["ce"]}
DIGITS, CIFAR, OWN = {"name": "digits"}, {"name": "cifar10"}, {"name": "flowers"}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Work in an empty folder, offline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preflight, "unreachable", lambda urls: dict.fromkeys(urls, "offline"))


def write(**data):
    """Write a collection of experiments, by name with their data."""
    experiments = [
        {"name": name, "data": fields, "seeds": [0], "grids": [GRID], "execution": {"device": "cpu"}}
        for name, fields in data.items()
    ]
    Path("all.yaml").write_text(yaml.safe_dump({"name": "all", "experiments": experiments}))


def arguments(*words, of=command):
    return parse(of, "all.yaml", *words)


def select(*words):
    args = arguments(*words)
    return command.select(*read_experiments(args), args)


def test_all_that_is_wrong_with_several_experiments_is_said_at_once():
    write(first=OWN, second=DIGITS, third=CIFAR, fourth={"name": "cifar100", "source": "parquet"})
    with pytest.raises(VicinalError) as error:
        select()
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith('first: data.name: "flowers" is no known data set')
    assert lines[1].startswith("fourth: data/cifar100: expected train-*.parquet")
    assert lines[2].startswith("third: data/cifar-10-python.tar.gz: not there")


def test_nothing_runs_and_nothing_is_written_then(monkeypatch):
    write(first=OWN, second=DIGITS)
    monkeypatch.delattr(command, "run_snakemake")
    with pytest.raises(VicinalError, match=r"^first: data.name"):
        command.main(arguments(), [])
    assert not command.SNAPSHOT.exists()


def test_results_that_cannot_be_written_are_one_problem_of_several(monkeypatch):
    write(third=CIFAR)
    monkeypatch.delattr(command, "head_lock")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(VicinalError) as error:
        command.main(arguments(), [])
    assert [line.partition(": ")[0] for line in str(error.value).splitlines()] == ["third", "results", "third"]
    write(second=DIGITS)
    shutil.rmtree(RESULTS)
    RESULTS.write_text("")
    with pytest.raises(VicinalError, match=r"^results: cannot be written \(.*/results is no folder\)"):
        command.main(arguments(), [])


def test_with_arguments_for_snakemake_nothing_is_checked(monkeypatch):
    write(third=CIFAR)
    monkeypatch.delattr(command, "select")
    monkeypatch.setattr(command, "run_snakemake_as_it_is", lambda *args: 3)
    assert command.main(arguments(), ["--dry-run"]) == 3


def test_what_can_run_is_chosen_and_the_others_are_named(capsys):
    write(first=OWN, second=DIGITS, third=CIFAR)
    experiments, skipped = select("--skip-missing")
    assert [experiment.name for experiment in experiments] == ["second"]
    assert list(skipped) == ["first", "third"]
    assert "(offline)" in skipped["third"]
    out = capsys.readouterr().out
    assert 'left out: first: data.name: "flowers"' in out
    assert "left out: third: data/cifar-10" in out


def test_where_nothing_can_run_all_is_said():
    write(first=OWN, third=CIFAR)
    with pytest.raises(VicinalError, match=r"(?s)first: .*third: "):
        select("--skip-missing")


def test_a_full_disk_is_not_a_matter_of_one_experiment(monkeypatch):
    write(first=OWN, second=DIGITS)
    monkeypatch.setattr(preflight, "full_disks", lambda *args: [preflight.Problem("full")])
    with pytest.raises(VicinalError, match=r"^full$"):
        select("--skip-missing")


def test_the_head_hands_on_what_is_left_and_remembers_the_rest(monkeypatch):
    write(first=OWN, second=DIGITS)
    monkeypatch.setattr(command, "run_snakemake", lambda *args: 0)
    assert command.main(arguments("--skip-missing"), []) == 0
    config = yaml.safe_load(command.SNAPSHOT.read_text())
    assert (config["name"], [entry["name"] for entry in config["experiments"]]) == ("all", ["second"])
    assert list(read_skipped(RESULTS, "all", ["second"])) == ["first"]
    name, experiments, where = read_experiments(argparse.Namespace(experiment=str(command.SNAPSHOT), set=[]))
    assert resolve_named(name, experiments, where)[0].collection == "all"
    write(first=DIGITS, second=DIGITS)
    assert command.main(arguments(), []) == 0
    assert not skipped_file(RESULTS, "all").exists()


def test_the_plan_lists_the_problems_and_plans_the_rest(capsys):
    write(first=OWN, second=DIGITS, third=CIFAR)
    assert plan_command.main(arguments(of=plan_command)) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "left out of all these numbers: first, which cannot run" in out
    assert "before: a run would stop before the first job: error: first: data.name:" in out
    assert "error: third: data/cifar-10-python.tar.gz: not there" in out
    assert plan_command.main(arguments("--json", of=plan_command)) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["left_out"] == ["first"]
    assert [(problem["kind"], problem["experiments"]) for problem in found["problems"]] == [
        ("error", ["first"]),
        ("error", ["third"]),
    ]
    assert {job["id"] for job in found["jobs"] if job["stage"] == "reports"} == {"second", "third"}


def test_the_plan_of_what_can_run_says_so(capsys):
    write(second=DIGITS, other={"name": "digits", "split_seed": 1})
    assert plan_command.main(arguments(of=plan_command)) == 0
    assert "before: all that a run needs is there or can be downloaded" in capsys.readouterr().out


def test_a_list_of_what_was_left_out():
    assert read_skipped(RESULTS, "all", []) == {}
    write_skipped(RESULTS, "all", {"a": "gone", "b": "old"})
    assert read_skipped(RESULTS, "all", ["b", "c"]) == {"a": "gone"}
    assert collection_name("all", ["c"], RESULTS) == "all"
    assert collection_name("all", ["a", "b"], RESULTS) == "all"
    assert collection_name("other", ["c"], RESULTS) is None
    assert collection_name("c", ["c"], RESULTS) is None
    write_skipped(RESULTS, "all", {})
    assert collection_name("all", ["c"], RESULTS) is None
    for text, says in (('{"a": 1}', "not a list .* delete it"), ("[]", "expected a JSON object")):
        skipped_file(RESULTS, "all").write_text(text)
        with pytest.raises(VicinalError, match=rf"plan/skipped/all.json: {says}"):
            read_skipped(RESULTS, "all", [])


def test_a_finished_run_is_known_until_something_changes(monkeypatch, tmp_path):
    write(second=DIGITS)
    name, experiments, where = read_experiments(arguments())
    artefacts = resolve_named(name, experiments, where)[0]
    config = yaml.safe_dump(dump(name, experiments))
    assert not is_last_run(artefacts, config, RESULTS)
    write_last_run(config, RESULTS)
    assert not is_last_run(artefacts, config, RESULTS)
    [(data, student, evaluation)] = [
        (f"data/{store}/data.json", f"students/{student}", f"evaluations/{evaluation}/{student}")
        for store in artefacts.stores
        for student in artefacts.students
        for evaluation in artefacts.evaluations
    ]
    for path in (data, student, evaluation):
        (RESULTS / path).mkdir(parents=True)
    assert is_last_run(artefacts, config, RESULTS)
    assert not is_last_run(artefacts, config + " ", RESULTS)
    (RESULTS / student).rmdir()
    assert not is_last_run(artefacts, config, RESULTS)
    (RESULTS / student).mkdir()
    code = tmp_path / "code"
    code.mkdir()
    monkeypatch.setattr(finished, "CODE", code)
    write_last_run(config, RESULTS)
    assert is_last_run(artefacts, config, RESULTS)
    (code / "new.py").write_text("")
    assert not is_last_run(artefacts, config, RESULTS)

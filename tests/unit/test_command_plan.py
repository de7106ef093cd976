"""./reproduce plan: what it says before anything, after everything, and of a change; what fits in a budget."""

import argparse
import itertools
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vicinal.commands import plan as command
from vicinal.commands.experiment import read_artefacts
from vicinal.errors import VicinalError
from vicinal.estimate.display import reason_groups, shown_groups
from vicinal.estimate.selection import Axes, merge
from vicinal.plan import read_plan, record_key
from vicinal.planfiles import write_plans
from vicinal.planning import build_plans

ROOT = Path(__file__).resolve().parents[2]
ON_CPU = ("--set", "execution.device=cpu", "--cores", "2")
ON_GPU = ("--set", "execution.device=cuda")
RESULTS = Path("results")


def arguments(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Work in a project without results, on a console of 100 columns; whatever is to be downloaded can be."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    shutil.copy(ROOT / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("vicinal.preflight.unreachable", lambda urls: {})
    return tmp_path


@pytest.fixture
def say(capsys):
    def run(*words):
        capsys.readouterr()
        assert command.main(arguments(*words)) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def say_json(say):
    return lambda *words: json.loads(say("--json", *words))


def make(*words):
    """Do as the jobs would: write every output, its key and the records of models and evaluations."""
    _, artefacts, _ = read_artefacts(arguments(*words))
    plans = list(build_plans(artefacts))
    write_plans(plans, RESULTS)
    for wanted in plans:
        output = RESULTS / wanted.output
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("{}")
        content = read_plan(RESULTS / wanted.path, wanted.stage)
        record_key(output, content)
        records = {}
        if wanted.stage == "teachers":
            records = {f"{wanted.directories[0]}/model.json": {"spec": content["spec"], "code": content["code"]}}
        elif wanted.stage == "cohorts":
            for id_, student in content["students"].items():
                record = {"spec": {**content["spec"], **student["own"]}, "code": student["code"]}
                records[f"students/{id_}/model.json"] = record
        elif wanted.stage == "evaluations":
            record = {"spec": content["spec"], "code": content["code"]}
            records = {f"evaluations/{wanted.id}/{id_}/evaluation.json": record for id_ in content["models"]}
        for name, record in records.items():
            (RESULTS / name).parent.mkdir(parents=True, exist_ok=True)
            (RESULTS / name).write_text(json.dumps(record))


def row(text, stage):
    return next(line.removeprefix(stage).split() for line in text.splitlines() if line.startswith(stage))


def files():
    return sorted(path for path in Path().rglob("*") if path.name != "sources.json" and path != RESULTS / "plan")


def test_a_first_run_is_all_new_and_nothing_is_written(say):
    before = files()
    text = say(*ON_CPU)
    assert row(text, "teachers")[:4] == ["10", "0", "10", "0"]
    assert row(text, "cohorts of students")[:4] == ["30", "0", "90", "0"]
    assert row(text, "evaluations")[:2] == ["40", "0"]
    assert "all of it is new" in text
    assert "models: 90 students trained, 0 reused; 10 teachers trained, 0 reused" in text
    assert "80 jobs: operations at the stated rate of 60 GFLOP/s a thread" in text
    assert "jobs:   80 for a cluster (train_teacher 10, distill 30, evaluate 40)" in text
    assert "after" not in text
    assert [path for path in files() if path not in before and path != RESULTS] == []


def test_no_torch_is_imported():
    code = "import sys; from vicinal.cli import main; main(); sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, "plan", "--budget-hours", "1"], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()


def test_when_all_is_made_there_is_nothing_to_do(say, say_json):
    make()
    text = say(*ON_CPU)
    assert text.startswith("digits: nothing to do: all ")
    assert "10 teachers, 90 students" in text
    found = say_json(*ON_CPU)
    assert found["jobs"] == []
    assert found["time"]["wall_seconds"] == 0


def test_a_new_temperature_is_named_and_only_its_students_are_trained(say, say_json):
    make()
    change = (*ON_CPU, "--set", "grids.0.temperatures=[1,2,4,8]")
    text = say(*change)
    assert row(text, "cohorts of students")[:4] == ["20", "10", "20", "90"]
    assert row(text, "  new: temperature 8") == ["20"]
    assert row(text, "  after new or changed cohorts of students") == ["20"]
    assert "models: 20 students trained, 90 reused; 0 teachers trained, 10 reused" in text
    found = say_json(*change)
    assert found["totals"]["students"] == 20
    assert all("_t8_" in id_ for job in found["jobs"] for id_ in job["train"])
    everything = say("--all", *change)
    for job in found["jobs"]:
        assert f"{job['rule']} {job['id']}: " in everything
    assert everything.count("\n  after cohorts/") == 20


def test_a_changed_setting_is_named_with_its_old_and_new_value(say):
    make()
    text = say(*ON_CPU, "--set", "epochs=40")
    assert row(text, "  recipe.epochs: 30 → 40") == ["10"]
    assert row(text, "teachers")[:4] == ["10", "0", "10", "0"]


def change(*reasons):
    return argparse.Namespace(reasons=list(reasons))


def test_reasons_are_grouped_by_number_and_consequences_by_stage():
    jobs = [
        change("recipe.lr: 0.1 → 0.2", "after teachers/a"),
        change("recipe.lr: 0.1 → 0.2"),
        change("after teachers/a", "after data/b"),
        change("after teachers/c", "after data/b"),
        change("after teachers/d", "after data/b"),
        change("missing: results/a"),
        change("older than teachers/a", "older than teachers/b"),
    ]
    assert reason_groups(jobs) == [
        ("after new or changed data, teachers", 3),
        ("recipe.lr: 0.1 → 0.2", 2),
        ("missing: made before, and gone", 1),
        ("older than their teachers", 1),
    ]
    many = shown_groups([change(f"new: seed {seed}") for seed in range(12)])
    assert (len(many), many[-1]) == (9, ("and 4 more (--all)", ""))


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_lines_fit_the_console(say, monkeypatch, columns):
    make("--set", "seeds=[0]")
    monkeypatch.setenv("COLUMNS", str(columns))
    text = say(*ON_CPU, "--set", "seeds=[0]", "--set", "epochs=31", "--budget-hours", "0.01")
    assert "recipe.epochs:" in text
    assert max(map(len, text.splitlines())) <= columns


def test_the_fields_of_the_json_are_those_of_the_help(say_json):
    found = say_json("--budget-hours", "0.1", *ON_CPU)
    assert list(found) == ["experiment", "jobs", "stages", "totals", "time", "disk", "notes", "problems", "budget"]
    parts = [found["jobs"][0], found["stages"][0], found["totals"], found["time"], found["disk"], found["budget"]]
    for name in (*found, *(name for part in parts for name in part), *found["budget"]["chosen"][0]):
        assert name in command.SCHEMA
    assert say_json(*ON_CPU)["budget"] is None


def test_the_grid_of_the_paper_is_planned_in_seconds(say):
    began = time.perf_counter()
    text = say("paper", *ON_GPU)
    assert time.perf_counter() - began < 10
    assert "1,270 students trained" in text  # without ImageNet, which is not there
    assert "imagenet: data/imagenet: no such folder" in text
    assert "GPU-hours" in text


def students(*words):
    return set(read_artefacts(arguments(*words))[1].students)


def test_a_large_budget_takes_all(say_json):
    budget = say_json("--budget-hours", "1000", *ON_CPU)["budget"]
    assert budget["complete"]
    assert budget["left_out"] == []
    assert all(done == wanted > 0 for done, wanted in budget["claims"].values())
    assert students(*shlex.split(budget["command"])[1:]) == students()


def test_a_small_budget_takes_nothing(say):
    text = say("--budget-hours", "0.001", *ON_CPU)
    assert "nothing more fits" in text
    assert "C3 0 of 2" in text


@pytest.mark.parametrize("hours", [5, 14, 23, 32])
def test_what_is_chosen_fits_and_is_what_the_written_experiment_asks_for(say_json, hours):
    words = ("--budget-hours", str(hours), "--write", "some.yaml")
    budget = say_json("cifar100", *ON_GPU, *words)["budget"]
    assert 0 < budget["cost_hours"] <= hours
    assert budget["command"] == "./reproduce some.yaml"
    written = say_json("some.yaml")
    assert written["totals"]["students"] == budget["students"]
    assert written["time"]["device_hours"] == pytest.approx(budget["cost_hours"], rel=1e-3)
    assert students("some.yaml") < students("cifar100")


def test_the_primary_cells_come_first_and_nothing_is_chosen_without_them(say_json):
    budget = say_json("cifar100", *ON_GPU, "--budget-hours", "14")["budget"]
    assert [entry["seeds"] for entry in budget["chosen"][:4]] == [[0, 1, 2]] * 4
    assert [entry["rank"] for entry in budget["chosen"]] == sorted(entry["rank"] for entry in budget["chosen"])
    primary = {entry["what"].partition(",")[0] for entry in budget["chosen"] if entry["rank"] == 1}
    assert {entry["what"].partition(",")[0] for entry in budget["chosen"] if entry["rank"] == 3} <= primary
    assert budget["claims"]["C3"][0] >= 4


def test_a_long_list_is_cut_unless_all_is_asked_for(say):
    words = ("cifar100", *ON_GPU, "--budget-hours", "5")
    assert "     and 8 more (--all)" in say(*words)
    text = say(*words, "--all")
    assert "more (--all)" not in text
    assert text.count("teacher with mixup") == 2


def test_finished_students_cost_nothing(say_json):
    make("--set", "seeds=[0,1,2]")
    budget = say_json("--budget-hours", "0.0001", *ON_CPU)["budget"]
    assert (budget["students"], budget["chosen"]) == (54, [])
    assert all(done == wanted for done, wanted in budget["claims"].values())
    assert students(*shlex.split(budget["command"])[1:]) == students("--set", "seeds=[0,1,2]")


def test_experiments_of_a_collection_are_written_as_one(say_json):
    say_json("paper", *ON_GPU, "--budget-hours", "14", "--write", "part.yaml")
    name, artefacts, _ = read_artefacts(arguments("part.yaml"))
    assert name == "part"
    assert set(artefacts.studies) == {"cifar100-part", "cifar10-part"}


def test_what_cannot_be_written_is_said():
    with pytest.raises(VicinalError, match="--write: needs --budget-hours"):
        command.main(arguments("--write", "a.yaml"))
    with pytest.raises(VicinalError, match=r"--write a.txt: must end with .yaml"):
        command.main(arguments("--budget-hours", "1", "--write", "a.txt"))
    with pytest.raises(VicinalError, match=r"--write config.yaml: there is such a file already"):
        command.main(arguments("--budget-hours", "1", "--write", "config.yaml"))


@pytest.mark.parametrize("words", [("--budget-hours", "0"), ("--budget-hours", "soon"), ("--cores", "0")])
def test_wrong_numbers_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        arguments(*words)
    assert "must be a" in capsys.readouterr().err


def test_merged_blocks_have_the_same_students():
    points = set(itertools.product("ab", "s", ("kd", "kd_mixup"), (1,), (1, 2, 4), (1,), ("l",), (0, 1, 2)))
    points -= {point for point in points if point[4] == 4 and point[7] == 2}
    blocks = merge(Axes(*((entry,) for entry in point)) for point in sorted(points))
    found = [point for block in blocks for point in itertools.product(*block)]
    assert len(found) == len(points)
    assert set(found) == points
    assert len(blocks) == 2

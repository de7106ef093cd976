"""./reproduce plan: what it says before anything, after everything, and of a change; blocks and seeds."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import parse
from vicinal.commands import plan as command
from vicinal.jobs.plan import read_plan, record_key
from vicinal.jobs.records import measurement_spec
from vicinal.models.cost import Cost
from vicinal.planning.experiments import read_artefacts
from vicinal.planning.files import write_plans
from vicinal.planning.plans import build_plans

ON_CPU = ("--set", "execution.device=cpu", "--cores", "2")
ON_GPU = ("--set", "execution.device=cuda")
RESULTS = Path("results")


def arguments(*words):
    return parse(command, *words)


@pytest.fixture(autouse=True)
def project(own_project, monkeypatch):
    """Work in a project without results, on a console of 100 columns; whatever is to be downloaded can be."""
    text = (own_project / "config.yaml").read_text()
    assert "seeds: [0, 1, 2, 3, 4, 5," in text
    (own_project / "config.yaml").write_text(re.sub("seeds: .*", "seeds: [0, 1, 2, 3, 4]", text))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("vicinal.running.preflight.unreachable", lambda urls: {})


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
            for unit in content["units"].values():
                record = {"spec": measurement_spec(content, unit), "code": unit["code"]}
                records |= {f"evaluations/{wanted.id}/{id_}/evaluation.json": record for id_ in unit["models"]}
        for name, record in records.items():
            (RESULTS / name).parent.mkdir(parents=True, exist_ok=True)
            (RESULTS / name).write_text(json.dumps(record))


def row(text, stage):
    return next(line.removeprefix(stage).split() for line in text.splitlines() if line.startswith(stage))


def files():
    caches = {RESULTS / "plan", RESULTS / "plan" / "sources.json", RESULTS / "plan" / "costs.json"}
    return sorted(path for path in Path().rglob("*") if path not in caches)


def test_a_first_run_is_all_new_and_nothing_is_written(say):
    before = files()
    text = say(*ON_CPU)
    assert row(text, "teachers")[:4] == ["5", "0", "5", "0"]
    assert row(text, "cohorts of students")[:4] == ["10", "0", "50", "0"]
    assert row(text, "evaluations")[:2] == ["5", "0"]
    assert "all of it is new" in text
    assert "models: 50 students trained, 0 reused; 5 teachers trained, 0 reused" in text
    assert "20 jobs: operations at the stated rate of 60 GFLOP/s a thread" in text
    assert "jobs:   20 for a cluster (train_teacher 5, distill 10, evaluate 5)" in text
    assert "after" not in text
    assert [path for path in files() if path not in before and path != RESULTS] == []


def test_no_torch_is_imported_where_costs_are_kept_or_shipped_or_nothing_is_to_do(say):
    code = "import sys; from vicinal.cli import main; main(); sys.exit('torch' in sys.modules)"
    command_line = [sys.executable, "-c", code, "plan", "--set", "execution.device=cpu"]
    other = [*command_line, "--set", "students=[resnet20]"]
    assert subprocess.run(other, capture_output=True, check=False).returncode == 1  # the network is counted
    assert subprocess.run(other, capture_output=True, check=False).returncode == 0
    (RESULTS / "plan" / "costs.json").unlink()
    assert subprocess.run(command_line, capture_output=True, check=False).returncode == 0  # shipped
    make()
    run = subprocess.run(command_line, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "nothing to do" in run.stdout


def test_when_all_is_made_there_is_nothing_to_do(say, say_json):
    make()
    text = say(*ON_CPU)
    assert text.startswith("digits: nothing to do: all ")
    assert "5 teachers, 50 students" in text
    found = say_json(*ON_CPU)
    assert found["jobs"] == []
    assert found["time"]["wall_seconds"] == 0


def test_a_new_temperature_is_named_and_only_its_students_are_trained(say, say_json):
    make()
    change = (*ON_CPU, "--set", "temperatures=[1,2,4,8]")
    text = say(*change)
    assert row(text, "cohorts of students")[:4] == ["5", "5", "10", "50"]
    assert row(text, "  new: temperature 8") == ["5"]
    assert row(text, "  2 more models") == ["5"]
    assert "models: 10 students trained, 50 reused; 0 teachers trained, 5 reused" in text
    found = say_json(*change)
    assert found["totals"]["students"] == 10
    assert all("_t8_" in id_ for job in found["jobs"] for id_ in job["train"])
    everything = say("--all", *change)
    for job in found["jobs"]:
        assert f"{job['rule']} {job['id']}: " in everything
    assert everything.count("\n  after cohorts/") == 5


def test_a_changed_setting_is_named_with_its_old_and_new_value(say):
    make()
    text = say(*ON_CPU, "--set", "recipe.batch_size=16")
    rows = [line.split()[-1] for line in text.splitlines() if line.startswith("  recipe.batch_size: 32 → 16")]
    assert rows == ["5", "10"]  # teachers, cohorts
    assert row(text, "teachers")[:4] == ["5", "0", "5", "0"]


def test_what_an_interrupted_run_left_is_not_finished_yet(say_json):
    more = (*ON_CPU, "--set", "seeds=[0, 1]")
    make("--set", "seeds=[0]")
    _, artefacts, _ = read_artefacts(arguments(*more))
    write_plans(list(build_plans(artefacts)), RESULTS)
    found = {
        stage: {reason for job in say_json(*more)["jobs"] if job["stage"] == stage for reason in job["reasons"]}
        for stage in ("data", "teachers", "cohorts", "evaluations")
    }
    assert all("not finished yet" in reasons for reasons in found.values())
    assert all(reason.startswith(("not finished", "after ")) for reasons in found.values() for reason in reasons)
    # Settings that no run planned yet are named.
    changed = say_json(*more, "--set", "recipe.lr=0.2")
    assert any("recipe.lr: 0.1 → 0.2" in job["reasons"] for job in changed["jobs"])


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_lines_fit_the_console(say, monkeypatch, columns):
    make("--set", "seeds=[0]")
    monkeypatch.setenv("COLUMNS", str(columns))
    text = say(*ON_CPU, "--set", "seeds=[0]", "--set", "epochs=31")
    assert "recipe.epochs:" in text
    assert max(map(len, text.splitlines())) <= columns


def test_the_fields_of_the_json_are_those_of_the_help(say_json):
    found = say_json(*ON_CPU)
    fields = ["experiment", "jobs", "stages", "totals", "time", "disk", "blocks", "seeds", "notes", "energy"]
    fields += ["left_out", "problems"]
    assert list(found) == fields
    parts = [found["jobs"][0], found["stages"][0], found["totals"], found["time"], found["disk"], found["blocks"][0]]
    for name in (*found, *(name for part in parts for name in part)):
        assert name in command.SCHEMA


def test_the_grid_of_the_paper_is_planned_in_seconds(say, monkeypatch):
    # A stand-in for the counting, which is done once and not in seconds.
    monkeypatch.setattr("vicinal.models.cost.count_cost", lambda *asked: Cost(10**6, 10**8, 50, 4 * 10**6, 10**6))
    began = time.process_time()
    text = say("paper", *ON_GPU)
    assert time.process_time() - began < 10
    assert "1,330 students trained" in text
    assert "error: imagenet: data/imagenet: no such folder" in text
    assert "GPU-hours" in text
    assert "cifar100 main: " in text


def test_photos_that_are_not_there_are_planned_with_and_named(say, say_json):
    text = say("imagenet", *ON_GPU)
    assert row(text, "cohorts of students")[:4] == ["30", "0", "60", "0"]
    assert "error: imagenet: data/imagenet: no such folder" in text
    found = say_json("imagenet", *ON_GPU)
    assert found["disk"]["parts"]["data"] > 100e9
    assert found["disk"]["fits"] is (sum(found["disk"]["parts"].values()) <= found["disk"]["free"])
    assert found["left_out"] == []


def test_years_on_a_cpu_are_years_and_need_a_gpu(say):
    text = " ".join(say("imagenet", *ON_CPU).split())
    assert re.search(r"time: about \d+ years on 2 cores, 1 job of 2 threads at a time: it needs a GPU", text)
    assert "core-hours" not in text
    assert "core-years" in text


def test_energy_is_hours_times_power(say, say_json):
    assert say_json(*ON_CPU)["energy"] is None
    energy = "{watts: 20, co2_grams: 400, price: 0.5, currency: CHF}"
    found = say_json(*ON_CPU, "--set", f"execution.energy={energy}")
    kwh = found["time"]["device_hours"] * 0.02
    assert found["energy"] == {"kwh": kwh, "co2_kg": kwh * 0.4, "cost": kwh * 0.5, "currency": "CHF"}
    text = say("cifar100-short", *ON_GPU, "--set", "execution.energy={watts: 700, price: 0.3}")
    assert re.search(r"energy: [\d.]+ kWh, [\d.]+ EUR \(by execution.energy\)", text)


# Blocks and seeds

OVERLAPPING = (
    "{teachers: [resnet14], students: [resnet8_narrow], methods: [ce, kd], temperatures: [1, 2]}",
    "{teachers: [resnet14], students: [resnet8_narrow], methods: [ce, kd], temperatures: [2, 4, 8]}",
    "{teachers: [{model: resnet8, mixup_alpha: 0.5}], students: [resnet8_narrow], methods: [kd], seeds: [0]}",
)


def setting(*blocks, seeds="[0,1,2]"):
    named = ", ".join(f"{name}: {block}" for name, block in zip(("first", "second", "third"), blocks, strict=False))
    return (*ON_CPU, "--set", f"seeds={seeds}", "--set", f"grids={{{named}}}")


def test_a_block_has_what_only_it_asks_for_and_what_is_shared_counts_once(say, say_json):
    found = say_json(*setting(*OVERLAPPING))
    # ce and T = 2 are in both of the first blocks, in three seeds, and so is their teacher.
    numbers = {part["name"]: (part["students"], part["teachers"]) for part in found["blocks"]}
    assert numbers == {"first": (3, 0), "second": (6, 0), "third": (1, 1), "shared": (6, 3)}
    assert sum(part["hours"] for part in found["blocks"]) == pytest.approx(found["time"]["device_hours"], abs=1e-3)
    text = say(*setting(*OVERLAPPING))
    assert "second: ce, kd: resnet14 → resnet8_narrow; temperatures 2, 4, 8" in " ".join(text.split())
    assert "resnet8 (mixup 0.5) → resnet8_narrow" in " ".join(text.split())


def test_a_block_with_the_temperature_of_each_sample_is_named(say_json):
    block = "{teachers: [resnet14], students: [resnet8_narrow], methods: [kd], temperatures: [1, std]}"
    assert say_json(*setting(block))["blocks"][0]["what"].endswith("temperatures 1, std")


@pytest.mark.parametrize("left_out", range(3))
def test_leaving_a_block_out_saves_what_its_line_says(say_json, left_out):
    whole = say_json(*setting(*OVERLAPPING))
    rest = say_json(*setting(*(block for number, block in enumerate(OVERLAPPING) if number != left_out)))
    part = whole["blocks"][left_out]
    for name in ("students", "teachers"):
        assert whole["totals"][name] - rest["totals"][name] == part[name]
    saved = whole["time"]["device_hours"] - rest["time"]["device_hours"]
    assert saved == pytest.approx(part["hours"], abs=2e-4)


def test_leaving_a_seed_out_saves_what_its_line_says(say, say_json):
    whole, rest = say_json(*setting(*OVERLAPPING)), say_json(*setting(*OVERLAPPING, seeds="[0,1]"))
    part = next(part for part in whole["seeds"] if part["name"] == "seed 2")
    assert (part["students"], part["teachers"]) == (5, 1)
    assert whole["totals"]["students"] - rest["totals"]["students"] == 5
    saved = whole["time"]["device_hours"] - rest["time"]["device_hours"]
    assert saved == pytest.approx(part["hours"], abs=2e-4)
    rows = [line for line in say(*setting(*OVERLAPPING)).splitlines() if "seed" in line]
    assert [row.rsplit(maxsplit=3)[0] for row in rows if "students" not in row] == ["seed 0", "each of the seeds 1, 2"]


def test_finished_students_add_nothing(say_json):
    make("--set", "seeds=[0,1,2]")
    found = say_json("--set", "seeds=[0,1,2,3]", *ON_CPU)
    added = {part["name"]: part["students"] for part in found["seeds"]}
    assert added == {"seed 0": 0, "seed 1": 0, "seed 2": 0, "seed 3": 10, "shared": 0}
    assert [part["hours"] for part in found["seeds"] if part["students"] == 0] == pytest.approx([0.0] * 4)


@pytest.mark.parametrize("words", [("--cores", "0"), ("--cores", "many")])
def test_wrong_numbers_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        arguments(*words)
    assert "must be a" in capsys.readouterr().err

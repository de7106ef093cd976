"""Every script runs by hand, also where Snakemake and pydantic are not installed."""

import os
import re
import resource
import subprocess
import sys

import pandas as pd
import pytest
from project import ROOT
from warm import warm_python

from vicinal.config import read_config, validate
from vicinal.data.catalogue import resolve_source
from vicinal.planning.files import write_plans
from vicinal.planning.grid import expand
from vicinal.planning.plans import build_plans

SCRIPTS = ROOT / "workflow" / "scripts"
WITHOUT = """
import sys
for name in ["snakemake", "pydantic", *sys.modules]:
    if name.partition(".")[0] in ("snakemake", "pydantic"):
        sys.modules[name] = None
"""
# What each needs beside its plan.
ARGUMENTS = {
    "fetch_data.py": ["--record", "out/fetched.json"],
    "fetch_weights.py": ["--record", "out/weights.json"],
    "prepare_data.py": ["--output", "out/data.json"],
    "train_teacher.py": ["--data", "d/data.json", "--record", "out/teacher.json"],
    "distill.py": ["--data", "d/data.json", "--manifest", "out/manifest.json"],
    "evaluate.py": ["--data", "d/data.json", "--manifest", "out/manifest.json"],
    "aggregate.py": ["--data", "d/data.json", "--output", "out"],
    "claims.py": ["--tables", "out", "--output", "out/claims.parquet"],
    "plot.py": ["--tables", "out", "--output", "out/figures"],
    "report.py": ["--tables", "out", "--output", "out/report.html"],
    "fetch_corruptions.py": ["--data", "d/data.json", "--record", "out/corruptions.json"],
    "evaluate_corruptions.py": [
        "--data", "d/data.json", "--corruptions", "d/c.json", "--manifest", "out/manifest.json"
    ],
    "combine.py": ["--tables", "out", "--output", "both/report.html"],
}  # fmt: skip
RULE_SCRIPTS = list(ARGUMENTS)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs scripts in a folder, and returns status, stdout and stderr of each.

    There, Snakemake and pydantic are as good as not installed.
    """
    library = tmp_path_factory.mktemp("library")
    (library / "sitecustomize.py").write_text(WITHOUT)
    environment = {**os.environ, "PYTHONPATH": f"{library}:{ROOT / 'workflow'}", "COLUMNS": "200"}

    def run(folder, *commands, python=None):
        answers = []
        for script, *arguments in commands:
            command = [python or warm_python(), SCRIPTS / script, *arguments]
            answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            answers.append((answer.returncode, answer.stdout, answer.stderr))
        return answers

    return run


def plan(results, *settings):
    """Write the plans of the default experiment with some settings; return them, and those by their stage."""
    [experiment] = validate(read_config(ROOT / "config.yaml"), "config.yaml", ["name=digits", "seeds=[0]", *settings])
    plans = list(build_plans(expand([(experiment, resolve_source("digits", "data"))])))
    write_plans(plans, results)
    return plans, {plan.stage: plan for plan in plans}


def test_every_script_of_a_rule_is_tested_here():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    assert {f"workflow/scripts/{name}" in rules for name in RULE_SCRIPTS} == {True}
    assert {path.name for path in SCRIPTS.glob("*.py")} == {
        *RULE_SCRIPTS,
        "export_columns.py",
        "export_costs.py",
        "export_schema.py",
    }


@pytest.fixture(scope="module")
def answers(run, tmp_path_factory):
    """What each script answers to --help, and to a plan that is not there."""
    folder = tmp_path_factory.mktemp("empty")
    helps = run(folder, *([script, "--help"] for script in RULE_SCRIPTS))
    plan = ["--plan", "nowhere.json"]
    errors = run(folder, *([script, *plan, *ARGUMENTS[script]] for script in RULE_SCRIPTS))
    assert list(folder.iterdir()) == []
    return {script: pair for script, *pair in zip(RULE_SCRIPTS, helps, errors, strict=True)}


@pytest.mark.parametrize("script", RULE_SCRIPTS)
def test_help(answers, script):
    (status, out, err), _ = answers[script]
    assert status == 0, err
    assert "usage:" in out
    options = re.findall(r"^  (--?\w.*(?:\n {8,}.*)*)", out, re.M)
    assert len(options) >= 3
    for option in options:
        # The name and its value, then, after two spaces or on a line of its own, what it means.
        assert re.search(r"\s{2,}\w", option), f"{option}: not explained"


@pytest.mark.parametrize("script", RULE_SCRIPTS)
def test_a_missing_plan_is_one_line(answers, script):
    _, (status, _, err) = answers[script]
    assert (status, err) == (1, "error: nowhere.json: no such file\n")


def test_the_whole_chain_by_hand(run, tmp_path):
    settings = ["teachers=[resnet8]", "methods=[kd_mixup]", "temperatures=[2]", "grids.calibration=null"]
    settings += ["epochs=1", "limit_train=40", "limit_test=60", "pairs=40"]
    plans, of = plan(tmp_path / "results", *settings)

    def steps(*commands, python=None):
        commands = [[script, "--plan", f"results/{plan.path}", *rest] for script, plan, *rest in commands]
        answers = run(tmp_path, *commands, python=python)
        for status, _, err in answers:
            assert status == 0, err
        return answers[-1][1]

    data, teacher = f"results/{of['data'].output}", f"results/{of['teachers'].output}"
    common = ["--data", data, "--device", "cpu"]
    cohort = ["--teacher", teacher]
    distill = ["distill.py", of["cohorts"], *common, *cohort, "--manifest", f"results/{of['cohorts'].output}"]
    said = steps(
        ["prepare_data.py", of["data"], "--output", data],
        ["train_teacher.py", of["teachers"], *common, "--record", teacher],
        distill,
    )
    assert "1 student to train, 0 finished before" in said
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "0 students to train, 1 finished before" in steps(distill, python=sys.executable)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: the wall time of a test depends on what else runs.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
    tables = ["--tables", "results/digits"]
    steps(
        ["evaluate.py", of["evaluations"], *common, *cohort, "--manifest", f"results/{of['evaluations'].output}"],
        ["aggregate.py", of["experiments"], "--data", data, "--results", "results", "--output", "results/digits"],
        ["claims.py", of["claims"], *tables, "--output", "results/digits/claims.parquet"],
        ["plot.py", of["figures"], *tables, "--output", "results/digits/figures"],
        ["report.py", of["reports"], *tables, "--output", f"results/{of['reports'].output}"],
    )
    assert pd.read_parquet(tmp_path / "results/digits/metrics.parquet")["model_id"].nunique() == 2
    assert write_plans(plans, tmp_path / "results") == {}


def test_a_device_that_is_not_there(run, tmp_path):
    _, of = plan(tmp_path / "results", "methods=[ce]", "epochs=1", "limit_train=40")
    data = f"results/{of['data'].output}"
    arguments = ["--plan", f"results/{of['cohorts'].path}", "--data", data]
    arguments += ["--manifest", f"results/{of['cohorts'].output}"]
    prepared, *refused = run(
        tmp_path,
        ["prepare_data.py", "--plan", f"results/{of['data'].path}", "--output", data],
        ["distill.py", *arguments, "--device", "cuda:99"],
        ["distill.py", *arguments, "--device", "gpu"],
    )
    assert prepared[0] == 0
    for (status, _, err), says in zip(refused, ("cuda:99: there are ", "gpu: no such device"), strict=True):
        assert status == 1
        assert err.startswith(f"error: --device {says}")
    assert not (tmp_path / "results/students").exists()

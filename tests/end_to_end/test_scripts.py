"""Every script runs by hand, also where Snakemake and pydantic are not installed."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from project import ROOT

from vicinal.config import read_config, validate
from vicinal.data.catalogue import resolve_source
from vicinal.grid import expand
from vicinal.planfiles import write_plans
from vicinal.planning import build_plans

SCRIPTS = ROOT / "workflow" / "scripts"
WITHOUT = "import sys, runpy; sys.modules.update(snakemake=None, pydantic=None); sys.argv = sys.argv[1:]; "
WITHOUT += "runpy.run_path(sys.argv[0], run_name='__main__')"
RULE_SCRIPTS = ["fetch_data.py", "prepare_data.py", "train_teacher.py", "distill.py", "evaluate.py", "aggregate.py"]
RULE_SCRIPTS += ["claims.py", "plot.py", "report.py", "combine.py", "fetch_corruptions.py", "evaluate_corruptions.py"]
RULE_SCRIPTS += ["fetch_weights.py"]


def run(script, *arguments, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "COLUMNS": "200"}
    command = [sys.executable, "-c", WITHOUT, str(SCRIPTS / script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_every_script_of_a_rule_is_tested_here():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    assert {f"workflow/scripts/{name}" in rules for name in RULE_SCRIPTS} == {True}
    assert {path.name for path in SCRIPTS.glob("*.py")} == {*RULE_SCRIPTS, "export_schema.py"}


@pytest.mark.parametrize("script", RULE_SCRIPTS)
def test_help(script):
    result = run(script, "--help")
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout
    options = re.findall(r"^  (--?\w.*(?:\n {8,}.*)*)", result.stdout, re.M)
    assert len(options) >= 3
    for option in options:
        # The name and its value, then, after two spaces or on a line of its own, what it means.
        assert re.search(r"\s{2,}\w", option), f"{option}: not explained"


@pytest.mark.parametrize("script", RULE_SCRIPTS)
def test_a_missing_plan_is_one_line(script, tmp_path):
    arguments = {
        "fetch_data.py": ["--record", "out/fetched.json"],
        "fetch_weights.py": ["--record", "out/weights.json"],
        "prepare_data.py": ["--output", "out/data.json"],
        "train_teacher.py": ["--data", "d/data.json", "--record", "out/teacher.json"],
        "distill.py": ["--data", "d/data.json", "--manifest", "out/manifest.json"],
        "evaluate.py": ["--data", "d/data.json", "--manifest", "out/manifest.json"],
        "aggregate.py": ["--output", "out"],
        "claims.py": ["--tables", "out", "--output", "out/claims.parquet"],
        "plot.py": ["--tables", "out", "--output", "out/a.pdf"],
        "report.py": ["--tables", "out", "--output", "out/report.html"],
        "fetch_corruptions.py": ["--data", "d/data.json", "--record", "out/corruptions.json"],
        "evaluate_corruptions.py": [
            "--data", "d/data.json", "--corruptions", "d/c.json", "--manifest", "out/manifest.json"
        ],
        "combine.py": ["--tables", "out", "--output", "both/report.html"],
    }[script]  # fmt: skip
    result = run(script, "--plan", "nowhere.json", *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == "error: nowhere.json: no such file\n"
    assert list(tmp_path.iterdir()) == []


def test_the_whole_chain_by_hand(tmp_path):
    settings = ["seeds=[0]", "teachers=[resnet8]", "methods=[kd_mixup]", "temperatures=[2]", "logit_scales=[1]"]
    settings += ["epochs=1", "limit_train=40", "limit_test=60", "pairs=40"]
    [experiment] = validate(read_config(ROOT / "config.yaml"), "config.yaml", settings)
    plans = list(build_plans(expand([(experiment, resolve_source("digits", "data"))])))
    write_plans(plans, tmp_path / "results")
    of = {plan.stage: plan for plan in plans if plan.stage != "evaluations"}
    teacher_evaluation, cohort_evaluation = (plan for plan in plans if plan.stage == "evaluations")

    def step(script, plan, *arguments):
        result = run(script, "--plan", f"results/{plan.path}", *arguments, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return result.stdout

    data, teacher = f"results/{of['data'].output}", f"results/{of['teachers'].output}"
    common = ["--data", data, "--device", "cpu"]
    step("prepare_data.py", of["data"], "--output", data)
    step("train_teacher.py", of["teachers"], *common, "--record", teacher)
    cohort = ["--teacher", teacher]
    manifest = ["--manifest", f"results/{of['cohorts'].output}"]
    assert "1 students to train, 0 finished before" in step("distill.py", of["cohorts"], *common, *cohort, *manifest)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "0 students to train, 1 finished before" in step("distill.py", of["cohorts"], *common, *cohort, *manifest)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: the wall time of a test depends on what else runs.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
    if cohort_evaluation.id.startswith("resnet8_s0"):
        teacher_evaluation, cohort_evaluation = cohort_evaluation, teacher_evaluation
    for plan, models in ((teacher_evaluation, ["--teacher", teacher]), (cohort_evaluation, cohort)):
        step("evaluate.py", plan, *common, *models, "--manifest", f"results/{plan.output}")
    step("aggregate.py", of["experiments"], "--data", data, "--results", "results", "--output", "results/digits")
    step("claims.py", of["claims"], "--tables", "results/digits", "--output", "results/digits/claims.parquet")
    for plan in (plan for plan in plans if plan.stage == "figures"):
        step("plot.py", plan, "--tables", "results/digits", "--output", f"results/{plan.output}")
    step("report.py", of["reports"], "--tables", "results/digits", "--output", f"results/{of['reports'].output}")
    assert pd.read_parquet(tmp_path / "results/digits/metrics.parquet")["model_id"].nunique() == 2
    assert write_plans(plans, tmp_path / "results") == {}


def test_a_device_that_is_not_there(tmp_path):
    settings = ["seeds=[0]", "methods=[ce]", "epochs=1", "limit_train=40"]
    [experiment] = validate(read_config(ROOT / "config.yaml"), "config.yaml", settings)
    plans = list(build_plans(expand([(experiment, resolve_source("digits", "data"))])))
    write_plans(plans, tmp_path / "results")
    of = {plan.stage: plan for plan in plans}
    data = f"results/{of['data'].output}"
    run("prepare_data.py", "--plan", f"results/{of['data'].path}", "--output", data, cwd=tmp_path)
    arguments = ["--plan", f"results/{of['cohorts'].path}", "--data", data]
    arguments += ["--manifest", f"results/{of['cohorts'].output}"]
    for device, says in (("cuda:99", "there are "), ("gpu", "no such device")):
        result = run("distill.py", *arguments, "--device", device, cwd=tmp_path)
        assert result.returncode == 1
        assert result.stderr.startswith(f"error: --device {device}: {says}")
    assert not (tmp_path / "results/students").exists()


def test_a_job_refuses_a_plan_of_other_code(tmp_path):
    [experiment] = validate(read_config(ROOT / "config.yaml"), "config.yaml", ["seeds=[0]"])
    plans = list(build_plans(expand([(experiment, resolve_source("digits", "data"))])))
    write_plans(plans, tmp_path)
    path = tmp_path / plans[0].path
    plan = json.loads(path.read_text())
    path.write_text(json.dumps({**plan, "code": "0123456789abcdef"}))
    result = run("prepare_data.py", "--plan", path, "--output", tmp_path / "out/data.json")
    assert result.returncode == 1
    assert "the code changed after this run was planned (0123456789abcdef, now " in result.stderr
    assert not Path(tmp_path / "out/data.json").exists()

"""A collection: several experiments in one graph of jobs, what they share made once, and one report over them."""

import json

import pandas as pd
import pytest
import yaml
from project import Project


@pytest.fixture(scope="session")
def both(once, first) -> Project:
    """The finished project after a run of a collection of two experiments, its own and a part of it; read only."""

    def run(folder):
        project = first.project.copy(folder)
        whole = yaml.safe_load((project.results / "plan" / "config.yaml").read_text())
        mixed = {**whole, "name": "mixed", "grids": {"main": {**whole["grids"]["main"], "methods": ["ce", "kd_mixup"]}}}
        experiments = [whole, mixed]
        (folder / "both.yaml").write_text(yaml.safe_dump({"name": "both", "experiments": experiments}))
        result = project.reproduce("both.yaml", settings=())
        assert result.returncode == 0, result.stdout + result.stderr

    return Project(once("both", run))


def test_what_the_experiments_share_with_each_other_and_the_finished_one_is_made_once(both, first):
    assert len(list(both.results.glob("teachers/*"))) == 1
    assert both.students() == first.project.students()
    models = {}
    for name in ("digits", "mixed"):
        metrics = pd.read_parquet(both.results / name / "metrics.parquet")
        models[name] = set(metrics["model_id"])
    assert models["mixed"] < models["digits"]
    # the teacher, one on labels, two of kd_mixup; with mixup on labels and two of kd
    assert {name: len(ids) for name, ids in models.items()} == {"digits": 7, "mixed": 4}


def test_one_report_shows_them_side_by_side(both):
    page = (both.results / "both" / "report.html").read_text()
    for name in ("digits", "mixed"):
        assert f'href="../{name}/report.html"' in page
        assert (both.results / name / "report.html").is_file()
    record = json.loads((both.results / "both" / "report.json").read_text())
    assert {"digits/claims.parquet", "mixed/claims.parquet"} <= record["made_from"].keys()


def test_again_there_is_nothing_to_do_and_everything_agrees(both, tmp_path):
    project = both.copy(tmp_path / "project")
    again = project.reproduce("both.yaml", settings=())
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert "both: report over all of them in results/both/report.html" in again.stdout
    verified = project.command("verify", "both.yaml")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "all agree" in verified.stdout


def test_one_experiment_of_it_alone_trains_and_measures_nothing_anew(both, tmp_path):
    project = both.copy(tmp_path / "project")
    config = yaml.safe_load((project.folder / "both.yaml").read_text())["experiments"][1]
    (project.folder / "mixed.yaml").write_text(yaml.safe_dump(config))
    plan = json.loads(project.command("plan", "mixed.yaml", "--json").stdout)
    # Its jobs train and measure fewer students: they only look what is there.
    rules = {"distill", "evaluate", "aggregate", "judge_claims", "plot_figures", "make_report"}
    assert {job["rule"] for job in plan["jobs"]} == rules
    assert not any(job["train"] for job in plan["jobs"])
    before = {path: path.stat().st_mtime_ns for path in project.results.glob("evaluations/*/*/*")}
    assert project.until("evaluate", "mixed.yaml", settings=()).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in project.results.glob("evaluations/*/*/*")} == before

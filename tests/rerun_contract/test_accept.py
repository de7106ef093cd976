"""--accept-code keeps finished results under changed code, and their records say so."""

import json
import os
import re
import shutil
import subprocess
from collections import Counter

import pytest
import yaml
from dependencies import changed
from finished import BASE, artefacts_of, dry_runs
from warm import warm_python

from vicinal.planning.plans import build_plans


@pytest.fixture
def folder(project, tmp_path):
    """A copy of the project whose engine and evaluation have changed."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder)
    for name in ("vicinal/training/loop.py", "scripts/evaluate.py", "scripts/prepare_data.py"):
        with (folder / "workflow" / name).open("a") as file:
            file.write("\n_ADDED = 1\n")
    return folder


def accept(folder, config=BASE):
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    command = [warm_python(), "-m", "vicinal", "own.yaml", "--accept-code", "--cores", "1", "--", "--dry-run"]
    environment = {**os.environ, "PYTHONPATH": str(folder / "workflow")}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return [line for line in result.stdout.splitlines() if line.startswith("accepted ")]


def records(folder):
    plans = build_plans(artefacts_of(BASE, folder))
    return {
        path: json.loads(path.read_text()) for plan in plans for _, path, _, _ in plan.code_records(folder / "results")
    }


def test_accepted_results_are_kept_and_say_so(folder):
    before = records(folder)
    times = {path: path.stat().st_mtime_ns for path in before}
    [answer] = dry_runs(folder, [{"config": BASE}])
    assert len(answer["trained"]) == 27
    lines = accept(folder)
    kept: Counter[str] = Counter()
    for line in lines:
        what, number = re.fullmatch(
            r"accepted under the present code: (.+): (\d+), code \w{16} → \w{16}", line
        ).groups()
        kept[what] += int(number)
    assert kept == {"data stores": 1, "teachers": 5, "students": 22, "measured models": 27}
    [answer] = dry_runs(folder, [{"config": BASE}])
    # The tables and what follows say what was accepted, so they are made anew.
    assert {rule for rule, _ in answer["snakemake"]} == {"aggregate", "judge_claims", "plot_figures", "make_report"}
    assert answer["planned"] == answer["snakemake"]
    assert answer["trained"] == []
    for path, record in records(folder).items():
        [entry] = record["accepted"]
        assert entry["from"] == before[path]["code"] != record["code"] == entry["to"]
        assert entry["date"].startswith("20")
        assert path.stat().st_mtime_ns == times[path]
    assert accept(folder) == ["accepted nothing: no result here differs from its plan by code only"]


def test_what_differs_by_more_than_code_is_not_accepted(folder):
    config = changed(BASE, "grids.0.temperatures", [2, 4, 8])
    accept(folder, config)
    [answer] = dry_runs(folder, [{"config": config}])
    assert len(answer["trained"]) == 8
    assert all("_t8_" in id_ for id_ in answer["trained"])
    other = changed(BASE, "recipe.lr", 0.05)
    assert accept(folder, other) == ["accepted nothing: no result here differs from its plan by code only"]
    [answer] = dry_runs(folder, [{"config": other}])
    assert len(answer["trained"]) == 27

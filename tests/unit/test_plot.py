"""The script that draws the figures: their files, equal bytes, one line for what is wrong."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from figure_tables import module, usual

from scripts import SCRIPTS, run_script
from vicinal.analysis.figures.files import drawn
from vicinal.jobs.fingerprint import named_modules, stage_fingerprint

NAMES = ["temperature", "plane"]


def arguments(folder, tables, *options, **change):
    spec = {"experiment": "digits", "figures": NAMES}
    code = stage_fingerprint("figures", named_modules(spec))
    plan = {"stage": "figures", "id": "digits", "key": "abc", "spec": spec, "code": code} | change
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    return ["--plan", folder / "plan.json", "--tables", tables, "--output", folder / "figures", *options]


@pytest.fixture(scope="module")
def tables_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for name, table in usual().items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def test_plot_writes_the_same_bytes_again(tables_folder, tmp_path):
    # A process of its own has another order of sets.
    command = [sys.executable, SCRIPTS / "plot.py", *arguments(tmp_path / "a", tables_folder)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent), "PYTHONHASHSEED": "1"}
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stderr
    assert "digits: 2/2 figures, " in said
    assert run_script("plot.py", *arguments(tmp_path / "b", tables_folder)).returncode == 0
    first, second = tmp_path / "a/figures", tmp_path / "b/figures"
    made = [f"{name}.{ending}" for name in NAMES for ending in ("json", "parquet", "pdf", "png")]
    assert {path.name for path in first.iterdir()} == {*made, "temperature.pdf.key"}
    for path in first.iterdir():
        if path.suffix != ".json":
            assert path.read_bytes() == (second / path.name).read_bytes(), path
    for name in NAMES:
        record = json.loads((first / f"{name}.json").read_text())
        assert record["caption"] == drawn(module(name), pd.read_parquet(first / f"{name}.parquet"))[1]
        assert record["drawn"] is True
        assert record["spec"] == {"experiment": "digits", "figure": name}
        assert {"code", "provenance"} <= record.keys()


def test_one_figure_by_name_leaves_the_others_to_the_next_run(tables_folder, tmp_path):
    result = run_script("plot.py", *arguments(tmp_path, tables_folder, "--figure", "plane"))
    assert result.returncode == 0, result.stderr
    files = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert files == [f"plane.{ending}" for ending in ("json", "parquet", "pdf", "png")]


@pytest.mark.parametrize(
    ("change", "tables", "problem"),
    [
        ({"code": "0000"}, "here", "the code changed"),
        ({"spec": {"experiment": "digits", "figures": ["temprature"]}}, "here", "did you mean temperature?"),
        ({"stage": "cohorts"}, "here", "expected figures"),
        ({}, "nowhere", "no such file"),
    ],
)
def test_plot_stops_with_one_line(tables_folder, tmp_path, change, tables, problem):
    folder = tables_folder if tables == "here" else tmp_path / tables
    result = run_script("plot.py", *arguments(tmp_path, folder, **change))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and problem in result.stderr
    assert not (tmp_path / "figures" / "temperature.pdf").exists()

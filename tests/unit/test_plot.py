"""The script that draws a figure: its files, equal bytes, one line for what is wrong."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from figure_tables import module, usual

from scripts import SCRIPTS, run_script
from vicinal.jobs.fingerprint import stage_fingerprint


def arguments(folder, name, tables, change=None):
    plan = {
        "stage": "figures", "id": f"digits/{name}", "key": "abc", "spec": {"experiment": "digits", "figure": name},
        "code": stage_fingerprint("figures", (f"vicinal.analysis.figures.{name}",)),
    }  # fmt: skip
    plan |= change or {}
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    output = folder / "figures" / f"{name}.pdf"
    return ["--plan", folder / "plan.json", "--tables", tables, "--output", output]


@pytest.fixture(scope="module")
def tables_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for name, table in usual().items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def test_plot_writes_the_same_bytes_again(tables_folder, tmp_path):
    # A process of its own has another order of sets.
    command = [sys.executable, SCRIPTS / "plot.py", *arguments(tmp_path / "a", "plane", tables_folder)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent), "PYTHONHASHSEED": "1"}
    subprocess.run(command, env=environment, check=True)
    assert run_script("plot.py", *arguments(tmp_path / "b", "plane", tables_folder)).returncode == 0
    first, second = tmp_path / "a/figures", tmp_path / "b/figures"
    files = sorted(path.name for path in first.iterdir())
    assert files == [f"plane.{ending}" for ending in ("json", "parquet", "pdf", "pdf.key", "png")]
    for name in set(files) - {"plane.json"}:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    record = json.loads((first / "plane.json").read_text())
    assert record["caption"] == module("plane").caption(pd.read_parquet(first / "plane.parquet"))
    assert {"spec", "code", "provenance"} <= record.keys()


@pytest.mark.parametrize(
    ("change", "tables", "problem"),
    [
        ({"code": "0000"}, "here", "the code changed"),
        ({"spec": {"experiment": "digits", "figure": "plain"}}, "here", "did you mean plane?"),
        ({"stage": "cohorts"}, "here", "expected figures"),
        ({}, "nowhere", "no such file"),
    ],
)
def test_plot_stops_with_one_line(tables_folder, tmp_path, change, tables, problem):
    folder = tables_folder if tables == "here" else tmp_path / tables
    result = run_script("plot.py", *arguments(tmp_path, "plane", folder, change))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and problem in result.stderr
    assert not (tmp_path / "figures" / "plane.pdf").exists()

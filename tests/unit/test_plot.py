"""The script that draws a figure: its files, equal bytes, one line for what is wrong."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from figure_tables import ROOT, module, usual


def plot(folder, name, tables, hash_seed="0", change=None):
    from vicinal.jobs.fingerprint import stage_fingerprint

    plan = {
        "stage": "figures", "id": f"digits/{name}", "key": "abc", "spec": {"experiment": "digits", "figure": name},
        "code": stage_fingerprint("figures", (f"vicinal.analysis.figures.{name}",)),
    }  # fmt: skip
    plan |= change or {}
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, ROOT / "workflow/scripts/plot.py", "--plan", folder / "plan.json", "--tables", tables]
    command += ["--output", folder / "figures" / f"{name}.pdf"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def tables_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for name, table in usual().items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def test_plot_writes_the_same_bytes_again(tables_folder, tmp_path):
    for folder, hash_seed in (("a", "1"), ("b", "2")):
        result = plot(tmp_path / folder, "temperature", tables_folder, hash_seed)
        assert result.returncode == 0, result.stderr
    first, second = tmp_path / "a/figures", tmp_path / "b/figures"
    files = sorted(path.name for path in first.iterdir())
    assert files == [f"temperature.{ending}" for ending in ("json", "parquet", "pdf", "pdf.key", "png")]
    for ending in ("pdf", "png", "parquet", "pdf.key"):
        assert (first / f"temperature.{ending}").read_bytes() == (second / f"temperature.{ending}").read_bytes(), ending
    record = json.loads((first / "temperature.json").read_text())
    assert record["caption"] == module("temperature").caption(pd.read_parquet(first / "temperature.parquet"))
    assert {"spec", "code", "provenance"} <= record.keys()


@pytest.mark.parametrize(
    ("change", "tables", "problem"),
    [
        ({"code": "0000"}, "here", "the code changed"),
        ({"spec": {"experiment": "digits", "figure": "temprature"}}, "here", "did you mean temperature?"),
        ({"stage": "cohorts"}, "here", "expected figures"),
        ({}, "nowhere", "no such file"),
    ],
)
def test_plot_stops_with_one_line(tables_folder, tmp_path, change, tables, problem):
    folder = tables_folder if tables == "here" else tmp_path / tables
    result = plot(tmp_path, "temperature", folder, change=change)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and problem in result.stderr
    assert not (tmp_path / "figures" / "temperature.pdf").exists()

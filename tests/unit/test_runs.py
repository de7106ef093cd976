"""The runs of an experiment in the report: what tells them apart, and their summary."""

import math

import pandas as pd
import pytest
from report_tables import metrics_table

from vicinal.analysis.runs import runs_context


def test_runs_table_and_summary():
    found = runs_context(metrics_table())
    # α is the same wherever there is one
    assert list(found["settings"].values()) == ["Role", "Model", "Method", "Teacher", "T"]
    assert [run["settings"][2] for run in found["runs"]] == ["ce"] * 3 + ["kd"] * 3 + ["kd_mixup"] * 3
    row = found["summary"][1]
    assert (row["n"], row["settings"]) == (3, ["student", "resnet20", "kd", "resnet56", "4"])
    assert row["means"] == pytest.approx([71, 6])
    assert row["sds"] == pytest.approx([1, 1])
    assert [row["name"] for row in found["summary"]] == [
        "resnet56, teacher", "resnet56 → resnet20, KD, T = 4", "resnet56 → resnet20, KD + mixup, T = 16",
    ]  # fmt: skip
    assert ("recipe: epochs", "240") in found["recipe"]


def test_the_name_of_a_run_says_what_differs_among_runs():
    table = metrics_table().astype({"model_id": object})
    scaled = table[table["method"].eq("kd")].assign(logit_scale=0.5)
    scaled["model_id"] += "_c"
    names = [row["name"] for row in runs_context(pd.concat([table, scaled]))["summary"]]
    assert "resnet56 → resnet20, KD, T = 4, logit scale = 0.5" in names and "resnet56 → resnet20, KD, T = 4" in names
    assert len(set(names)) == len(names)


def test_one_seed_has_no_sd():
    assert all(map(math.isnan, runs_context(metrics_table(seeds=1))["summary"][0]["sds"]))

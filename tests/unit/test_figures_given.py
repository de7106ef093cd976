"""Figures of students whose teacher is given: it has no seed, and stands beside the students of every seed."""

import figure_tables
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import test_figures_claims
from figure_tables import grid, make, model

from vicinal.analysis.runs import runs_context
from vicinal.analysis.schema import tidy

SEEDS, SCALES = 3, (0.5, 1.0, 2.0)


@pytest.fixture(scope="module")
def tables():
    """Tables as an experiment has them, of one teacher without a seed and of students of three seeds."""
    trained = grid(temperatures=("1", "2"), seeds=SEEDS, scales=SCALES)
    models = [row for row in trained if row["role"] == "student"] + [model("teacher", "big", "ce", 0)]
    more, found = figure_tables.tables_of(models), test_figures_claims.tables_of(models)
    metrics = pd.concat([found["metrics"], more["metrics"]]).drop_duplicates(["model_id", "split", "metric"])
    found = more | found | {"metrics": metrics}
    for name, table in found.items():
        if "seed" in table:
            found[name] = table.assign(seed=table["seed"].astype("Int64").where(table["role"] != "teacher"))
    return {name: tidy(name, table) for name, table in found.items()}


@pytest.mark.parametrize("name", [*figure_tables.FIGURES, *test_figures_claims.NAMES])
def test_every_figure_is_drawn(name, tables):
    data, figure, caption = make(name, tables)
    # One teacher is no ladder of capacities.
    assert (len(data) > 0) == (name != "capacity")
    assert caption
    plt.close(figure)


def test_inheritance_pairs_every_seed_with_it(tables):
    data, figure, _ = make("inheritance", tables)
    plt.close(figure)
    assert len(data) == SEEDS * len(SCALES)
    assert sorted(data["seed"].unique()) == list(range(SEEDS))
    assert data["seed"].dtype == "int64"
    metrics = tables["metrics"]
    own = metrics[(metrics["role"] == "teacher") & (metrics["split"] == "test")].set_index("metric")["value"]
    for scale in SCALES:
        gap = own["confidence_gap" if scale == 1 else f"confidence_gap_c{scale:g}"]
        np.testing.assert_allclose(data.loc[data["logit_scale"] == scale, "teacher_gap"], 100 * gap)


def test_reliability_counts_it_once(tables):
    data, figure, _ = make("reliability", tables)
    plt.close(figure)
    assert set(data.loc[data["method"] == "teacher", "n"]) == {1}
    assert set(data.loc[data["method"] != "teacher", "n"]) == {SEEDS}


def test_the_report_lists_it_for_all_seeds(tables):
    runs = runs_context(tables["metrics"])["runs"]
    assert [run["seed"] for run in runs if "teacher" in run["settings"]] == ["all"]
    assert {run["seed"] for run in runs if "teacher" not in run["settings"]} == set(range(SEEDS))

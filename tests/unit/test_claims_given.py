"""Claims about students that learned from one given teacher: it has no seed, and every seed is compared with it."""

import math

import numpy as np
import pytest
from planted_claims import NAMES, planted, rows, simulated, verdict
from scipy import stats

from vicinal.analysis.claims import INCONCLUSIVE, REPRODUCED
from vicinal.analysis.claims.cells import GIVEN_TEACHER
from vicinal.analysis.claims.report import markdown
from vicinal.analysis.claims.samples import ALL_SEEDS, Series, paired
from vicinal.errors import VicinalError

# Claims that compare runs of students, or these with their teacher.
OF_STUDENTS = [name for name in NAMES if name != "C1"]


def given(tables: dict) -> dict:
    """Return the tables as if one teacher, that of seed 0, had served all seeds."""
    changed = {}
    for name, table in tables.items():
        of_teacher = table["role"] == "teacher"
        table = table[~of_teacher | (table["seed"] == 0)]
        changed[name] = table.assign(seed=table["seed"].where(table["role"] != "teacher", np.nan))
    return changed


def with_teachers(tables: dict) -> dict:
    """Return the tables with a row of each teacher that students name, where teachers are in none of them."""
    if any((table["role"] == "teacher").any() for table in tables.values()):
        return tables
    metrics = tables["metrics"].astype(object)
    names = metrics["teacher"].dropna().unique()
    seeds = sorted(metrics["seed"].unique())
    more = [
        {"model_id": f"{name}_{seed}", **simulated.teacher(name), "seed": seed, "split": "test", "metric": "accuracy",
         "value": 0.7 + seed / 100}
        for name in names for seed in seeds
    ]  # fmt: skip
    together = metrics.to_dict("records") + more
    return {**tables, "metrics": type(metrics)(together).astype({"value": float})}


@pytest.mark.parametrize("claim", OF_STUDENTS)
def test_a_claim_holds_for_the_students_of_one_teacher_and_says_so(claim):
    tables = given(with_teachers(planted(claim)))
    row = verdict(tables, claim)
    assert row["verdict"] == REPRODUCED, row["reason"]
    assert row["n"] == 5
    assert GIVEN_TEACHER in row["warning"].split("; ")
    primary = rows(tables, claim, "primary")
    assert primary["warning"].str.contains(GIVEN_TEACHER, regex=False).all()


@pytest.mark.parametrize("claim", NAMES)
def test_teachers_with_seeds_are_not_called_given(claim):
    table = rows(with_teachers(planted(claim)), claim)
    assert not table["warning"].str.contains("given").any()


def test_each_seed_is_compared_with_the_one_teacher():
    tables = given(planted("C2"))
    found = rows(tables, "C2", "primary")
    vicinal = tables["vicinal"]
    for metric, row in zip(("nonlinearity", "nonlinearity_matched"), found.to_dict("records")[:2], strict=True):
        values = vicinal[vicinal["metric"] == metric]
        [teacher] = values.loc[values["role"] == "teacher", "value"]
        differences = teacher - values.loc[values["role"] == "student", "value"].to_numpy()
        test = stats.ttest_1samp(differences, 0, alternative="greater")
        low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
        assert (row["n"], row["estimate"]) == (5, pytest.approx(differences.mean()))
        assert [row["low"], row["high"], row["p"]] == pytest.approx([low, high, test.pvalue])


def test_one_teacher_alone_has_a_number_and_no_interval():
    tables = given(planted("C1"))
    row = verdict(tables, "C1")
    assert row["verdict"] == INCONCLUSIVE
    assert "one network for all seeds, so there is no interval over seeds" in row["reason"]
    for test in rows(tables, "C1", "primary").to_dict("records"):
        table = tables["confusion"]
        share = table.loc[table["model"] == test["cell"].split(",")[0], "value"].max()
        assert test["estimate"] == pytest.approx(100 * (0.5 - share))
        assert all(math.isnan(test[name]) for name in ("low", "high", "p"))


def test_the_page_says_it():
    tables = given(planted("C2"))
    page = markdown(rows(tables, "C2"))
    assert page.count(GIVEN_TEACHER) >= 3  # at the verdict and at the primary tests


def test_a_student_needs_a_seed():
    tables = planted("C3-CE")
    metrics = tables["metrics"].astype({"seed": float})
    metrics.loc[metrics["method"] == "kd_mixup", "seed"] = np.nan
    with pytest.raises(VicinalError, match="seed"):
        rows({**tables, "metrics": metrics}, "C3-CE")


def test_a_network_for_all_seeds_is_no_copy_and_must_be_finite():
    own = Series("student", {seed: [0.1 * seed] for seed in range(5)})
    one = Series("teacher", {ALL_SEEDS: [2.0]}, "given")
    sample = paired([one, own], lambda theirs, mine: theirs - mine)
    assert (sample.seeds, sample.problem, sample.note) == ([0, 1, 2, 3, 4], "", "given")
    np.testing.assert_allclose(sample.values[:, 0], 2 - 0.1 * np.arange(5))
    broken = paired([Series("teacher", {ALL_SEEDS: [math.nan]}), own], lambda theirs, mine: theirs - mine)
    assert "teacher is not finite" in broken.problem
    twice = paired([Series("teacher", {ALL_SEEDS: [1.0, 2.0]}), own], lambda theirs, mine: theirs - mine)
    assert twice.problem == "teacher occurs 2 times for all seeds"

"""Bad tables give one clear line or an inconclusive verdict with its reason, never a crash or a wrong verdict."""

from functools import cache
from importlib import import_module

import made_up_experiment as experiment
import numpy as np
import pandas as pd
import pytest

from vicinal.analysis.claims import (
    CLAIMS,
    INCONCLUSIVE,
    NOT_JUDGED,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    evaluate_claims,
)
from vicinal.analysis.figures import FIGURES
from vicinal.analysis.figures.files import drawn
from vicinal.analysis.published import read_published
from vicinal.analysis.report.context import Inputs, context
from vicinal.analysis.report.page import render
from vicinal.analysis.schema import tidy
from vicinal.analysis.tables import summarise
from vicinal.errors import VicinalError

TEXTS = ("model_id", "role", "data", "model", "method", "teacher", "temperature", "split", "metric", "pairs", "kind")


@cache
def base(fails):
    return experiment.study(fails)


@cache
def base_verdicts(fails):
    return verdicts(base(fails))


def verdicts(tables):
    found = evaluate_claims(tables)
    return found[found["kind"] == "verdict"].set_index("claim")


# --- the mutations ---


def of_models(tables, chosen):
    """Keep the models for which ``chosen`` holds, in all tables that have models."""
    ids = set(tables["metrics"].loc[chosen(tables["metrics"]).to_numpy(dtype=bool), "model_id"])
    return {n: t[t["model_id"].isin(ids)] if "model_id" in t else t for n, t in tables.items()}


def without_rows(name, chosen):
    return lambda tables: {**tables, name: tables[name][~chosen(tables[name]).to_numpy(dtype=bool)]}


def only(chosen):
    return lambda tables: of_models(tables, chosen)


def value(name, metric, new, first=True):
    def change(tables):
        at = tables[name]["metric"] == metric
        at &= (at.cumsum() == 1) if first else True
        return {**tables, name: tables[name].assign(value=tables[name]["value"].mask(at, new))}

    return change


def constant(column, new):
    return lambda tables: {n: t.assign(**{column: new}) if column in t else t for n, t in tables.items()}


def same_id(tables):
    """Give a kd_mixup run the id of a kd run, as where two results folders were joined by hand."""
    ids = tables["metrics"].drop_duplicates("model_id").set_index("method")["model_id"]
    change = {ids["kd_mixup"].iloc[0]: ids["kd"].iloc[0]}
    return {n: t.assign(model_id=t["model_id"].replace(change)) if "model_id" in t else t for n, t in tables.items()}


def twice(tables):
    """Join the tables with those of one run again."""
    again = of_models(tables, lambda t: (t["method"] == "kd_mixup") & (t["seed"] == 0))
    return {n: pd.concat([t, again[n]]) if "model_id" in t else t for n, t in tables.items()}


def as_type(kind, numbers=True):
    def change(tables):
        return {
            n: t.astype({c: kind for c in t if (numbers or c in TEXTS) and c not in ("name", "superclass")})
            for n, t in tables.items()
        }

    return change


def std_only(tables):
    kept = of_models(tables, lambda t: t["temperature"].isna() | (t["temperature"] == "2"))
    return {n: t.replace({"temperature": {"2": "std"}}) if "temperature" in t else t for n, t in kept.items()}


def unused_categories(tables):
    """Leave out the kd runs, but not the word from the categories."""
    typed = as_type("category", numbers=False)(tables)
    return {n: t[t["method"] != "kd"] if "method" in t else t for n, t in typed.items()}


def of_lost(t):
    return t["teacher"] == experiment.LOST


STUDENTS = [c for c in CLAIMS if c != "C1"]
C3, C4 = ("C3-CE", "C3-KD"), ("C4-CE", "C4-KD")
# Name → the mutation, the claims that it must leave inconclusive (None: it is an error), and words of every reason.
CASES = {
    "no metric of accuracy": (without_rows("metrics", lambda t: t["metric"] == "accuracy"), (*C3, "C5", "C6", "C7"),
                              "accuracy of "),
    "no metric of a method": (without_rows("metrics", lambda t: (t["method"] == "ce") & (t["role"] == "student")),
                              (*C3, "C4-CE", "C5", "C7"), "of CE resnet8_narrow"),
    "a metric at two seeds": (without_rows("metrics", lambda t: (t["metric"] == "oe") & (t["seed"] > 1)), C4,
                              "2 seeds, at least 3"),
    "no test split": (without_rows("metrics", lambda t: t["split"] == "test"), tuple(STUDENTS[1:]), "needs"),
    "no kd_mixup at T = 2 for one teacher": (
        only(lambda t: ~(of_lost(t) & (t["method"] == "kd_mixup") & (t["temperature"] == "2"))),
        ("C2", *C3, *C4, "C6", "C7"),
        "KD + mixup resnet8 → resnet8_narrow (α = 1, T = 2)|KD + mixup resnet8 → resnet8_narrow (α = 1) at T = 2"),
    "no students of one teacher": (only(lambda t: ~of_lost(t)), ("C2", *C3, *C4, "C6", "C7"),
                                   "KD + mixup resnet8 → resnet8_narrow"),
    "two temperatures for one teacher": (only(lambda t: ~(of_lost(t) & (t["temperature"] == "4"))), ("C6",),
                                         "KD + mixup resnet8 → resnet8_narrow (α = 1) at more temperatures"),
    "bins lost": (without_rows("reliability", lambda t: t["low"] > 0.8), C4, "reliability bins"),
    "a NaN metric": (value("metrics", "oe", np.nan, first=False), C4, "not finite"),
    "an infinite metric": (value("metrics", "accuracy", np.inf, first=False), (*C3, "C5", "C6", "C7"), "not finite"),
    "one seed": (only(lambda t: t["seed"] == 3), tuple(CLAIMS), "1 seed, at least 3"),
    "two seeds": (only(lambda t: t["seed"] < 2), tuple(CLAIMS), "2 seeds, at least 3"),
    "no seed in common": (only(lambda t: (t["seed"] < 2) == (t["method"] == "kd_mixup")), tuple(STUDENTS),
                          "0 seeds, at least 3|2 seeds, at least 3"),
    "two runs with one id": (same_id, None, "two runs have th"),
    "runs twice": (twice, tuple(STUDENTS), "occurs 2 times"),
    "a constant value": (constant("value", 0.5), tuple(CLAIMS), "the same number for all 5 seeds"),
    "a constant seed": (constant("seed", 0), tuple(CLAIMS), "occurs 5 times"),
    "a constant method": (constant("method", "kd_mixup"), None, "method kd_mixup with no alpha"),
    "a constant role": (constant("role", "teacher"), None, "role teacher with method kd"),
    "a constant temperature": (constant("temperature", "2"), tuple(STUDENTS),
                               "occurs 3 times|needs: |numeric temperatures"),
    "no teacher": (only(lambda t: (t["role"] == "student") & t["teacher"].isna()), tuple(CLAIMS), "distillation"),
    "no teacher's rows": (only(lambda t: t["role"] == "student"), ("C1", "C2", *C3, "C5", "C7"), "the teacher resnet"),
    "no mixup": (only(lambda t: t["alpha"].isna()), tuple(STUDENTS), "needs: KD + mixup"),
    "only ce": (only(lambda t: (t["method"] == "ce") & (t["role"] == "student")), tuple(CLAIMS), "distillation"),
    "one temperature": (only(lambda t: t["temperature"].isna() | (t["temperature"] == "2")), ("C6",),
                        "fewer than two numeric temperatures"),
    "only std": (std_only, tuple(STUDENTS), "needs: |numeric temperatures"),
    "a recipe that changes within a run": (
        lambda tables: {**tables, "metrics": tables["metrics"].assign(recipe_epochs=range(len(tables["metrics"])))},
        None, "two runs have the id"),
    "a seed that is none": (constant("seed", 0.5), None, "table metrics: seed: 0.5 is no whole number"),
    "a value that is no number": (
        lambda tables: {**tables, "vicinal": tables["vicinal"].astype({"value": object}).assign(value="much")},
        None, "table vicinal: column value"),
    "a temperature that is none": (constant("temperature", "warm"), None, "'warm' is no number above 0 and not std"),
    "empty tables": (lambda tables: {n: t[:0] for n, t in tables.items()}, tuple(CLAIMS), "needs: "),
    "unused categories": (unused_categories, ("C2", "C3-KD", "C4-KD", "C6"), "KD resnet"),
    "text as objects": (as_type(object, numbers=False), (), ""),
    "all as strings": (as_type("string"), (), ""),
    "all as categories": (as_type("category"), (), ""),
    "a column less": (lambda tables: {n: t.drop(columns="kd_weight", errors="ignore") for n, t in tables.items()},
                      None, "column kd_weight is missing"),
}  # fmt: skip
# Of these the figures can say nothing: one line says why.
NO_FIGURE = {name for name, (_, inconclusive, _) in CASES.items() if inconclusive is None} | {
    "runs twice", "a constant seed", "a constant temperature",
}  # fmt: skip
NOTHING_DISTILLED = {"no teacher", "only ce"}
# Figures without these runs have tests of their own: test_figures_gaps, test_figures_claims, test_figures_corruptions.
MISSING_RUNS = {
    "a metric at two seeds", "one seed", "two seeds", "two temperatures for one teacher", "no students of one teacher",
    "no teacher", "no mixup", "only ce", "one temperature", "only std",
}  # fmt: skip
UNTESTABLE = {("C6", "one temperature"), ("C6", "a constant temperature"), ("C6", "only std")}


def assert_one_line(error):
    assert str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("fails", [False, True], ids=["holds", "fails"])
@pytest.mark.parametrize("case", CASES)
def test_a_verdict_is_what_it_was_or_inconclusive_with_its_reason(case, fails):
    mutation, inconclusive, words = CASES[case]
    if inconclusive is None:
        with pytest.raises(VicinalError, match=words) as error:
            evaluate_claims(mutation(base(fails)))
        assert_one_line(error.value)
        return
    found = verdicts(mutation(base(fails)))
    assert list(found.index) == list(CLAIMS)
    if case in NOTHING_DISTILLED:
        assert set(found["verdict"]) == {NOT_JUDGED}
        assert found["reason"].str.contains(words).all()
        return
    for claim, row in found.iterrows():
        assert row["verdict"] in (INCONCLUSIVE, NOT_TESTABLE, base_verdicts(fails).loc[claim, "verdict"])
        assert row["verdict"] != NOT_TESTABLE or (claim, case) in UNTESTABLE
        assert row["reason"]
        assert "nan" not in f"{row['reason']} {row['warning']}"
        if not fails:  # a cell that refutes may outweigh what is missing
            assert (row["verdict"] in (INCONCLUSIVE, NOT_TESTABLE)) == (claim in inconclusive), (claim, row["reason"])
        if claim in inconclusive and row["verdict"] in (INCONCLUSIVE, NOT_TESTABLE) and claim != "C5":
            assert any(part in row["reason"] for part in words.split("|")), (claim, row["reason"])


def test_the_experiments_are_decided_before_anything_is_taken_away():
    assert set(base_verdicts(False)["verdict"]) == {REPRODUCED}
    assert set(base_verdicts(True).drop("C5")["verdict"]) == {NOT_REPRODUCED}
    assert base_verdicts(True).loc["C5", "verdict"] == REPRODUCED


@pytest.mark.parametrize(
    "table", ["metrics", "vicinal", "confusion", "spread", "reliability", "history", "similarity", "projection"]
)
def test_a_table_less_leaves_inconclusive_what_needs_it(table):
    expected = {"metrics": STUDENTS[1:], "vicinal": ["C2"], "confusion": ["C1"], "reliability": list(C4)}.get(table, [])
    found = verdicts({n: t for n, t in base(False).items() if n != table})
    assert list(found.index[found["verdict"] == INCONCLUSIVE]) == expected
    assert found.loc[expected, "reason"].str.startswith("needs: ").all()


@cache
def tidied(case):
    return {name: tidy(name, table) for name, table in CASES[case][0](base(False)).items()}


@cache
def usual_data(name):
    """Return the data of a figure of the tables that have no fault."""
    figure = import_module(f"vicinal.analysis.figures.{name}")
    return figure.data({table: tidy(table, base(False)[table]) for table in figure.TABLES})


@pytest.mark.parametrize("case", CASES)
def test_figures_and_report_show_what_there_is_or_say_why_not(case):
    if case in NO_FIGURE:
        with pytest.raises(VicinalError) as error:
            tidied(case)
        assert_one_line(error.value)
        return
    tables = tidied(case)
    for name in () if case in MISSING_RUNS else FIGURES:
        figure = import_module(f"vicinal.analysis.figures.{name}")
        data = figure.data({table: tables[table] for table in figure.TABLES})
        if data.equals(usual_data(name)):
            continue  # drawn as ever: see the tests of the figures
        picture, caption = drawn(figure, data)
        assert picture.axes or picture.texts, name
        assert caption
        assert "nan" not in caption.lower().split()
    page = report(tables)
    assert all(f'id="{claim}"' in page for claim in CLAIMS)
    summary = summarise(tables["metrics"])
    assert summary["n"].sum() == len(tables["metrics"])


def report(tables):
    claims = evaluate_claims(tables)
    return render(context(Inputs("made_up", claims, tables["metrics"], read_published())))


@pytest.mark.parametrize("missing", ["claims", "metrics"])
def test_the_report_without_a_table_says_so(missing):
    inputs = Inputs("made_up", evaluate_claims(base(False)), base(False)["metrics"], read_published())
    setattr(inputs, missing, None)
    assert f"{missing}.parquet" in render(context(inputs))


def test_tables_that_are_well_come_back_with_the_same_values():
    for name, table in base(False).items():
        found = tidy(name, table)
        assert list(found) == list(table)
        for column in table:
            there = table[column].notna()
            assert (found[column].notna() == there).all()
            assert (found[column][there] == table[column][there]).all()


def test_temperatures_are_written_alike():
    frame = base(False)["metrics"]
    mixed = frame.assign(temperature=frame["temperature"].map({"1": 1, "2": "2.0", "4": 4.0}))
    pd.testing.assert_series_equal(
        tidy("metrics", mixed)["temperature"], tidy("metrics", frame)["temperature"], check_dtype=False
    )

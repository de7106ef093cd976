"""Verdicts from made-up tables: which runs are compared, what is missing, what decides."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from planted_claims import NAMES, changed, planted, rows, simulated, verdict

from vicinal.analysis import claims
from vicinal.analysis.claims import evaluate_claims, statistics
from vicinal.words import number


@pytest.mark.parametrize("claim", NAMES)
def test_a_planted_claim_is_reproduced_and_every_row_is_complete(claim):
    tables = planted(claim)
    found = evaluate_claims(tables)
    row = verdict(tables, claim)
    assert row["verdict"] == claims.REPRODUCED, row["reason"]
    assert row["n"] == 5
    others = found[(found["kind"] == "verdict") & (found["claim"] != claim)]
    assert set(others["claim"]) == set(NAMES) - {claim}
    assert set(found["kind"]) <= {"verdict", "precondition", "primary", "secondary"}
    primary = found[(found["claim"] == claim) & (found["kind"] == "primary")]
    assert (primary["low"] > primary["threshold"]).all()
    assert (primary["low_bonferroni"] <= primary["low"]).all()
    assert (primary["high_bonferroni"] >= primary["high"]).all()


@pytest.mark.parametrize("method", ["ce", "kd"])
def test_numbers_of_c3_are_those_of_scipy(method):
    claim = f"C3-{method.upper()}"
    tables = planted(claim)
    of_students = tables["metrics"][tables["metrics"]["role"] == "student"]
    values = of_students.pivot(index="seed", columns="method", values="value")
    [row] = rows(tables, claim, "primary").itertuples()
    test = scipy.stats.ttest_rel(values["kd_mixup"], values[method])
    interval = test.confidence_interval(0.95)
    assert row.cell == f"resnet32x4 → resnet8x4, T = 2, vs {method.upper()}"
    assert row.unit == "points"
    assert row.estimate == pytest.approx(100 * (values["kd_mixup"] - values[method]).mean())
    assert (row.low, row.high) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert row.p == pytest.approx(test.pvalue / 2)


def test_intervals_of_c2_are_those_of_scipy_corrected_for_three_tests():
    tables = planted("C2")
    frame = tables["vicinal"].astype({"role": str, "method": str, "metric": str})
    values = frame.pivot(index="seed", columns=["role", "method", "metric"], values="value")
    student, kd, teacher = values["student"]["kd_mixup"], values["student"]["kd"], values["teacher"]["ce"]
    differences = [teacher[name] - student[name] for name in ("nonlinearity", "nonlinearity_matched")]
    differences.append(student["imitation_weight"] - kd["imitation_weight"])
    for row, difference in zip(rows(tables, "C2", "primary").itertuples(), differences, strict=True):
        test = scipy.stats.ttest_1samp(difference, 0)
        interval, wide = test.confidence_interval(0.95), test.confidence_interval(1 - 0.05 / 3)
        assert row.estimate == pytest.approx(difference.mean())
        assert (row.low, row.high) == pytest.approx((interval.low, interval.high))
        assert (row.low_bonferroni, row.high_bonferroni) == pytest.approx((wide.low, wide.high))


def test_no_tables_no_claim_and_no_crash():
    for tables in ({}, {"metrics": None}, {"metrics": pd.DataFrame()}):
        found = evaluate_claims(tables)
        assert list(found["claim"]) == NAMES
        assert set(found["verdict"]) == {claims.INCONCLUSIVE}
        assert found["reason"].str.startswith("needs: ").all()


@pytest.mark.parametrize(
    ("claim", "drop", "named"),
    [
        ("C1", lambda t: t["metric"] != "", "teachers without mixup, explained_share at T = 2"),
        ("C1", lambda t: t["metric"] == "explained_share_logits", "explained_share_logits of the teacher resnet32x4"),
        ("C2", lambda t: t["role"] == "teacher", "nonlinearity of the teacher resnet32x4"),
        ("C2", lambda t: t["metric"] == "nonlinearity_matched", "nonlinearity_matched"),
        ("C2", lambda t: t["method"] == "kd", "imitation_weight of KD resnet32x4 → resnet8x4 (T = 2)"),
        ("C3-KD", lambda t: t["method"] == "kd", "KD resnet32x4 → resnet8x4 (T = 2)"),
        ("C3-CE", lambda t: t["method"] == "kd_mixup", "KD + mixup resnet32x4 → resnet8x4 with α = 1 at T = 2"),
        ("C3-CE", lambda t: t["role"] == "teacher", "accuracy of the teacher resnet32x4"),
        ("C4-CE", lambda t: t["method"] == "ce", "oe of CE resnet8x4"),
        ("C4-KD", lambda t: t["method"] == "kd", "oe of KD resnet32x4 → resnet8x4 (T = 2)"),
        ("C5", lambda t: t["metric"] == "confidence_gap_c0.5", "confidence_gap_c0.5 of the teacher resnet32x4"),
        ("C5", lambda t: (t["logit_scale"] == 1.5) & (t["metric"] == "accuracy"),
         "accuracy of KD + mixup resnet32x4 → resnet8x4 (α = 1, T = 2, logit scale 1.5)"),
        ("C5", lambda t: t["logit_scale"].isin([0.5, 0.75, 1.5]), "(α = 1, T = 2, logit scale 0.5)"),
        ("C5", lambda t: (t["logit_scale"] != 1) & (t["role"] == "student"), "logit scales 0.5, 0.75, 1, 1.5, 2"),
        ("C6", lambda t: t["method"] == "kd", "KD resnet32x4 → resnet8x4 (T = 1)"),
        ("C6", lambda t: ~t["temperature"].isin(["1", "2"]), "at least 3 numeric temperatures"),
        ("C7", lambda t: (t["role"] == "teacher") & (t["model"] == "resnet56"), "accuracy of the teacher resnet56"),
        ("C7", lambda t: (t["model"] != "resnet20") | ~t["teacher"].isin([None, "resnet20"]),
         "at least 2 teachers of one family"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(claim, drop, named):
    tables = planted(claim)
    tables = {name: table[~drop(table)] if "metric" in table else table for name, table in tables.items()}
    row = verdict(tables, claim)
    assert row["verdict"] == claims.INCONCLUSIVE
    assert row["reason"].startswith("needs: ")
    assert named in row["reason"]


def test_a_teacher_of_a_student_without_explained_share_is_named():
    tables = {**planted("C1"), **planted("C7")}
    row = verdict(tables, "C1")
    assert row["verdict"] == claims.INCONCLUSIVE
    assert row["reason"].startswith("needs: explained_share of the teacher resnet20 at T = 2 (table confusion)")
    assert row["reason"].count("resnet56") == 0


def test_missing_reliability_bins_are_named():
    tables = planted("C4-CE")
    del tables["reliability"]
    assert "table reliability" in verdict(tables, "C4-CE")["reason"]


@pytest.mark.parametrize("broken", [np.nan, np.inf, "constant", "twice", "other id"])
@pytest.mark.parametrize("claim", NAMES)
def test_broken_values_decide_nothing(claim, broken):
    tables = planted(claim)
    name = {"C1": "confusion", "C2": "vicinal"}.get(claim, "metrics")
    frame = tables[name]
    role = "teacher" if claim == "C1" else "student"
    metric = frame.loc[frame["role"] == role, "metric"].iloc[0]
    model = frame.loc[frame["role"] == role, "model_id"].iloc[0]
    own = (frame["model_id"] == model) & (frame["metric"] == metric)
    if broken == "constant":
        same = frame["model_id"].str.rpartition("_s")[0] == model.rpartition("_s")[0]
        frame = frame.assign(value=frame["value"].mask(same & (frame["metric"] == metric), 0.2))
    elif broken == "twice":
        frame = pd.concat([frame, frame[own]])
    elif broken == "other id":
        frame = pd.concat([frame, frame[own].assign(model_id="another", value=0.3)])
    else:
        frame = frame.assign(value=frame["value"].mask(own, broken))
    row = verdict({**tables, name: frame}, claim)
    assert row["verdict"] == claims.INCONCLUSIVE
    words = {"constant": "the same number for all 5 seeds", "twice": "occurs 2 times", "other id": "occurs 2 times"}
    assert words.get(broken, "not finite") in row["reason"]


def test_runs_are_paired_by_seed_and_what_is_left_out_is_said():
    tables = planted("C3-CE")
    frame = tables["metrics"]
    of_ce = (frame["method"] == "ce") & (frame["role"] == "student")
    kept = frame[~(of_ce & frame["seed"].isin([1, 3]))].sample(frac=1, random_state=0)
    found = rows({"metrics": kept}, "C3-CE", "primary").set_index("estimand")
    row = found.loc["accuracy(KD + mixup) − accuracy(CE), points"]
    assert row["n"] == 3
    assert row["warning"] == "seeds 1, 3 left out: not in every run compared"
    of_students = frame[frame["role"] == "student"]
    values = of_students.pivot(index="seed", columns="method", values="value").loc[[0, 2, 4]]
    assert row["estimate"] == pytest.approx(100 * (values["kd_mixup"] - values["ce"]).mean())
    assert rows({"metrics": kept}, "C3-KD", "primary")["n"].tolist() == [5]
    assert verdict({"metrics": kept}, "C3-CE")["n"] == 3


def test_one_refuted_cell_refutes_and_is_named():
    tables = planted("C2")
    of_kd = (tables["vicinal"]["method"] == "kd") & (tables["vicinal"]["metric"] == "imitation_weight")
    tables = changed(tables, lambda t: of_kd, tables["vicinal"]["value"] + 0.5, "vicinal")
    row = verdict(tables, "C2")
    assert row["verdict"] == claims.NOT_REPRODUCED
    assert "vs KD: " in row["reason"]
    assert f"corrected for 3 primary tests, {number(row['high_bonferroni'])}, is below" in row["reason"]
    assert row["estimand"] == "imitation weight α(KD + mixup) − α(KD)"


def test_raw_linearity_alone_is_not_enough_for_c2():
    tables = planted("C2")
    tables = changed(
        tables, lambda t: (t["metric"] == "nonlinearity_matched") & (t["role"] == "teacher"), 0.5, "vicinal"
    )
    frame = tables["vicinal"]
    noise = np.random.default_rng(0).normal(0, 0.01, len(frame))
    row = verdict({"vicinal": frame.assign(value=frame["value"] + noise)}, "C2")
    assert row["verdict"] == claims.NOT_REPRODUCED
    assert "temperature-matched" in row["reason"]


def test_secondary_rows_are_holm_corrected_and_decide_nothing():
    tables = planted("C3-CE")
    study = simulated.Study(np.random.default_rng(5), 1, 5)
    for settings in ({"temperature": "std"}, {"temperature": "4"}, {"kd_weight": 0.9, "ce_weight": 0.1}):
        study.add(simulated.student(**settings), "accuracy", 0.4 + study.noise(0.01))
    study.add(simulated.student("ce_mixup"), "accuracy", 0.5 + study.noise(0.01))
    low = next(iter(study.tables()))
    joined = {"metrics": pd.concat([tables["metrics"].astype(object), low["metrics"].astype(object)])}
    found = rows(joined, "C3-CE")
    assert found.iloc[0]["verdict"] == claims.REPRODUCED
    secondary = found[found["kind"] == "secondary"]
    assert len(secondary) == 3 + 4  # ce at the other settings, and ce_mixup at all
    assert any("T = std" in cell for cell in secondary["cell"])
    assert any("kd_weight 0.9, ce_weight 0.1" in cell for cell in secondary["cell"])
    assert list(secondary["p_holm"]) == pytest.approx(list(statistics.holm(secondary["p"])))
    assert found.loc[found["kind"] != "secondary", "p_holm"].isna().all()


@pytest.mark.parametrize("claim", ["C4-CE", "C5", "C6"])
def test_std_has_no_part_in_calibration_claims(claim):
    tables = planted(claim)
    frame = tables["metrics"].astype(object)
    more = frame[(frame["role"] == "student") & (frame["temperature"] == "2")]
    more = more.assign(temperature="std", model_id=more["model_id"] + "_std", value=-1.0)
    with_std = {**tables, "metrics": pd.concat([frame, more])}
    pd.testing.assert_frame_equal(rows(tables, claim), rows(with_std, claim))


def test_text_columns_of_any_dtype_give_the_same():
    tables = planted("C6")
    frame = tables["metrics"]
    as_objects = frame.astype({name: object for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)})
    as_strings = as_objects.astype({"teacher": "string", "temperature": "string"})
    for other in (as_objects, as_strings):
        pd.testing.assert_frame_equal(evaluate_claims(tables), evaluate_claims({"metrics": other}))


def test_data_sets_and_recipes_are_not_mixed():
    frame = planted("C3-CE")["metrics"].astype(object)
    other = frame.assign(data="another", model_id=frame["model_id"] + "_b")
    cells = rows({"metrics": pd.concat([frame, other])}, "C3-CE", "primary")
    assert len(cells) == 2
    assert cells["cell"].str.startswith(("another: ", "simulated: ")).all()
    long = frame.assign(recipe_epochs=240)
    short = frame.assign(model_id=frame["model_id"] + "_short", recipe_epochs=30)
    cells = rows({"metrics": pd.concat([long, short])}, "C3-CE", "primary")
    assert len(cells) == 2
    assert (cells["n"] == 5).all()
    assert cells["cell"].str.startswith(("recipe 1: ", "recipe 2: ")).all()


def test_a_student_is_compared_with_its_own_teacher():
    frame = planted("C2")["vicinal"].astype(object)
    teacher, student = frame[frame["role"] == "teacher"], frame[frame["role"] == "student"]
    student = student.assign(teacher_id="long_s" + student["seed"].astype(str), recipe_epochs=30)
    long = teacher.assign(model_id="long_s" + teacher["seed"].astype(str), recipe_epochs=240)
    short = teacher.assign(recipe_epochs=30, value=0.1 * teacher["value"].astype(float))
    for teachers in ([long, short], [short, long]):
        row = rows({"vicinal": pd.concat([student, *teachers])}, "C2", "primary").iloc[0]
        values = [table.loc[table["metric"] == "nonlinearity", "value"].mean() for table in (long, student)]
        assert row["estimate"] == pytest.approx(values[0] - values[1])


def test_a_teacher_of_other_data_settings_is_another_teacher():
    frame = planted("C2")["vicinal"].astype(object)
    settings = frame["role"].map({"teacher": 500, "student": 1000})
    row = verdict({"vicinal": frame.assign(data_limit_train=settings)}, "C2")
    assert row["verdict"] == claims.INCONCLUSIVE
    assert row["reason"].startswith("needs: nonlinearity of the teacher resnet32x4")

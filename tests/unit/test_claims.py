"""The claims: statistics against SciPy, which runs are compared, verdicts from made-up tables, page and script."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from vicinal import claims, fingerprint
from vicinal.claims import c4, c7, evaluate_claims, statistics
from vicinal.claims.report import markdown
from vicinal.claims.statistics import Largest, Mean, SameSign, Within
from vicinal.errors import VicinalError

ROOT = Path(__file__).resolve().parents[2]
NAMES = list(claims.CLAIMS)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem + "_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulation = load(ROOT / "tests" / "benchmarks" / "claims_validity.py")


def planted(claim, seeds=5, **options):
    """Return the tables of one simulated experiment in which a claim holds, with room to spare."""
    scenario = next(s for s in simulation.SCENARIOS if s.claim == claim and s.truth == "planted")
    study = simulation.Study(np.random.default_rng(7), 1, seeds)
    effects = (8, 3, 3, 3, 3) if claim == "C5" else tuple(2 * effect for effect in scenario.effects)
    scenario.build(study, effects, **options)
    return next(iter(study.tables()))


def rows(tables, claim, kind=None):
    table = evaluate_claims(tables)
    table = table[table["claim"] == claim]
    return (table[table["kind"] == kind] if kind else table).reset_index(drop=True)


def verdict(tables, claim):
    return rows(tables, claim, "verdict").iloc[0]


def changed(tables, claim_rows, value, table="metrics"):
    """Return the tables with new values in the rows for which ``claim_rows`` holds."""
    frame = tables[table]
    chosen = claim_rows(frame)
    assert chosen.any()
    return {**tables, table: frame.assign(value=frame["value"].mask(chosen, value))}


# --- statistics ---


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_interval_and_p_of_a_mean_are_those_of_the_paired_t_test(n):
    a, b = np.random.default_rng(n).normal(0.3, 1, (2, n))
    s = statistics.summary((a - b)[:, None])
    expected = scipy.stats.ttest_rel(a, b).confidence_interval(0.95)
    assert Mean().interval(s, 0.05) == pytest.approx((expected.low, expected.high), rel=1e-12)
    one_sided = scipy.stats.ttest_1samp(a - b, 0.1, alternative="greater").pvalue
    assert Mean().p(s, 0.1) == pytest.approx(one_sided, rel=1e-10)


def test_holm_is_that_of_r():
    # p.adjust(p, "holm") of R
    assert statistics.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert statistics.holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert len(statistics.holm([])) == 0


@pytest.mark.parametrize("rule", [Mean(), Largest(), SameSign(), Within(0.5)], ids=lambda rule: type(rule).__name__)
def test_the_interval_and_the_p_value_agree(rule):
    rng = np.random.default_rng(0)
    decided = 0
    for _ in range(300):
        centre = rng.normal(0, 1, 3 if rule == Largest() else 2 if rule == SameSign() else 1)
        s = statistics.summary(centre * rng.choice([0.1, 1]) + rng.normal(0, 0.3, (5, len(centre))))
        for threshold in (0.0, 0.1):
            low, high = rule.interval(s, 0.05)
            assert low <= rule.estimate(s) <= high
            assert (low > threshold) == (rule.p(s, threshold) < 0.025)
            decided += low > threshold
    assert 20 < decided < 580


def test_largest_is_bonferroni_and_one_of_its_columns():
    x = np.random.default_rng(1).normal([0.0, 0.5, 2.0], 1, (6, 3))
    s = statistics.summary(x)
    each = [scipy.stats.ttest_1samp(column, 0).confidence_interval(1 - 0.05 / 3) for column in x.T]
    plain = [scipy.stats.ttest_1samp(column, 0).confidence_interval(0.95) for column in x.T]
    low, high = Largest().interval(s, 0.05)
    assert low == pytest.approx(max(interval.low for interval in each))
    assert high == pytest.approx(max(interval.high for interval in plain))


@pytest.mark.parametrize(
    ("slopes", "expected"), [((2, 3), 2), ((-2, -3), 2), ((2, -3), -2), ((-3, 2), -2), ((0, 5), 0)]
)
def test_same_sign_is_the_smaller_slope_where_the_signs_agree(slopes, expected):
    s = statistics.Summary(np.array(slopes, dtype=float), np.full(2, 1e-9), 5)
    assert SameSign().estimate(s) == expected
    assert SameSign().interval(s, 0.05) == pytest.approx((expected, expected), abs=1e-7)


def test_within_is_equivalence_by_the_interval():
    for shift in (-0.02, -0.009, -0.004, 0.0, 0.004, 0.009, 0.02):
        x = shift + np.array([-1, 1, 0.5, -0.5, 0.2]) * 0.004
        interval = scipy.stats.ttest_1samp(x, 0).confidence_interval(0.95)
        low, high = Within(0.01).interval(statistics.summary(x[:, None]), 0.05)
        assert (low > 0) == (interval.low > -0.01 and interval.high < 0.01)
        assert (high < 0) == (interval.low > 0.01 or interval.high < -0.01)


def test_slopes_and_partial_correlation():
    rng = np.random.default_rng(2)
    x, y, z = rng.normal(size=(3, 4, 7))
    expected = [scipy.stats.linregress(a, b).slope for a, b in zip(x, y, strict=True)]
    assert statistics.slopes(x, y) == pytest.approx(expected)
    assert statistics.slopes(x[0], y)[0] == pytest.approx(expected[0])
    residual = [[v - np.polyval(np.polyfit(c, v, 1), c) for v in (a, b)] for a, b, c in zip(x, y, z, strict=True)]
    expected = [scipy.stats.pearsonr(a, b).statistic for a, b in residual]
    assert statistics.partial_correlation(x, y, z) == pytest.approx(expected)


# --- verdicts ---


@pytest.mark.parametrize("claim", NAMES)
def test_a_planted_claim_is_reproduced_and_every_row_is_complete(claim):
    tables = planted(claim)
    found = evaluate_claims(tables)
    row = verdict(tables, claim)
    assert row["verdict"] == claims.REPRODUCED, row["reason"]
    assert row["n"] == 5
    others = found[(found["kind"] == "verdict") & (found["claim"] != claim)]
    assert set(others["claim"]) == set(NAMES) - {claim}
    assert set(found["kind"]) <= {"verdict", "primary", "secondary"}
    primary = found[(found["claim"] == claim) & (found["kind"] == "primary")]
    assert (primary["low"] > primary["threshold"]).all()
    assert (primary["low_bonferroni"] <= primary["low"]).all()
    assert (primary["high_bonferroni"] >= primary["high"]).all()


def test_numbers_of_c3_are_those_of_scipy():
    tables = planted("C3")
    values = tables["metrics"].pivot(index="seed", columns="method", values="value")
    for row in rows(tables, "C3", "primary").itertuples():
        method = row.cell.rpartition(" ")[2]
        test = scipy.stats.ttest_rel(values["kd_mixup"], values[method])
        interval, wide = test.confidence_interval(0.95), test.confidence_interval(1 - 0.05 / 3)
        assert row.cell == f"resnet32x4 → resnet8x4, T = 2, vs {method}"
        assert row.estimate == pytest.approx((values["kd_mixup"] - values[method]).mean())
        assert (row.low, row.high) == pytest.approx((interval.low, interval.high))
        assert (row.low_bonferroni, row.high_bonferroni) == pytest.approx((wide.low, wide.high))
        assert row.p == pytest.approx(test.pvalue / 2)


def test_no_tables_no_claim_and_no_crash():
    for tables in ({}, {"metrics": None}, {"metrics": pd.DataFrame()}):
        found = evaluate_claims(tables)
        assert list(found["claim"]) == NAMES
        assert set(found["verdict"]) == {claims.INCONCLUSIVE}
        assert found["reason"].str.startswith("needs: ").all()


@pytest.mark.parametrize(
    ("claim", "drop", "named"),
    [
        ("C1", lambda t: t["metric"] == "explained_share", "teachers without mixup, explained_share at T = 2"),
        ("C2", lambda t: t["role"] == "teacher", "nonlinearity of the teacher resnet32x4"),
        ("C2", lambda t: t["metric"] == "nonlinearity_matched", "nonlinearity_matched"),
        ("C3", lambda t: t["method"] == "kd", "kd resnet32x4 → resnet8x4 (T = 2)"),
        ("C3", lambda t: t["method"] == "ce_mixup", "ce_mixup resnet8x4 (α = 1)"),
        ("C3", lambda t: t["method"] == "kd_mixup", "kd_mixup resnet32x4 → resnet8x4 with α = 1 at T = 2"),
        ("C4", lambda t: t["method"] == "ce", "oe of ce resnet8x4"),
        ("C5", lambda t: t["metric"] == "confidence_gap_c0.5", "confidence_gap_c0.5 of the teacher resnet32x4"),
        ("C5", lambda t: (t["logit_scale"] == 1.5), "kd_mixup resnet32x4 → resnet8x4 (α = 1, T = 2, logit_scale 1.5)"),
        ("C5", lambda t: (t["logit_scale"] != 1) & (t["role"] == "student"), "logit_scales 0.5, 0.75, 1, 1.5, 2"),
        ("C6", lambda t: t["method"] == "kd", "kd resnet32x4 → resnet8x4 (T = 1)"),
        ("C6", lambda t: ~t["temperature"].isin(["1", "2"]), "at least 3 numeric temperatures"),
        ("C7", lambda t: t["teacher"] != "resnet20", "at least 2 teachers of one family"),
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
    tables = planted("C4")
    del tables["reliability"]
    assert "table reliability" in verdict(tables, "C4")["reason"]


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
    tables = planted("C3")
    frame = tables["metrics"]
    kept = frame[~((frame["method"] == "ce") & frame["seed"].isin([1, 3]))].sample(frac=1, random_state=0)
    found = rows({"metrics": kept}, "C3", "primary").set_index("estimand")
    row = found.loc["accuracy(kd_mixup) − accuracy(ce)"]
    assert row["n"] == 3
    assert row["warning"] == "seeds 1, 3 left out: not in every run compared"
    values = frame.pivot(index="seed", columns="method", values="value").loc[[0, 2, 4]]
    assert row["estimate"] == pytest.approx((values["kd_mixup"] - values["ce"]).mean())
    assert found.loc["accuracy(kd_mixup) − accuracy(kd)", "n"] == 5
    assert verdict({"metrics": kept}, "C3")["n"] == 3


def test_one_refuted_cell_refutes_and_is_named():
    tables = planted("C3")
    tables = changed(tables, lambda t: t["method"] == "kd", tables["metrics"]["value"] + 0.1)
    row = verdict(tables, "C3")
    assert row["verdict"] == claims.NOT_REPRODUCED
    assert "vs kd: " in row["reason"]
    assert row["estimand"] == "accuracy(kd_mixup) − accuracy(kd)"


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
    tables = planted("C3")
    study = simulation.Study(np.random.default_rng(5), 1, 5)
    for settings in ({"temperature": "std"}, {"temperature": "4"}, {"kd_weight": 0.9, "ce_weight": 0.1}):
        study.add(simulation.student(**settings), "accuracy", 0.4 + study.noise(0.01))
    low = next(iter(study.tables()))
    joined = {"metrics": pd.concat([tables["metrics"].astype(object), low["metrics"].astype(object)])}
    found = rows(joined, "C3")
    assert found.iloc[0]["verdict"] == claims.REPRODUCED
    secondary = found[found["kind"] == "secondary"]
    assert len(secondary) == 6  # ce and ce_mixup; there is no kd at these settings
    assert any("T = std" in cell for cell in secondary["cell"])
    assert any("kd_weight 0.9, ce_weight 0.1" in cell for cell in secondary["cell"])
    assert list(secondary["p_holm"]) == pytest.approx(list(statistics.holm(secondary["p"])))
    assert found.loc[found["kind"] != "secondary", "p_holm"].isna().all()


@pytest.mark.parametrize("claim", ["C4", "C5", "C6"])
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
    frame = planted("C3")["metrics"].astype(object)
    other = frame.assign(data="another", model_id=frame["model_id"] + "_b")
    cells = rows({"metrics": pd.concat([frame, other])}, "C3", "primary")
    assert len(cells) == 6
    assert cells["cell"].str.startswith(("another: ", "simulated: ")).all()
    long = frame.assign(recipe_epochs=240)
    short = frame.assign(model_id=frame["model_id"] + "_short", recipe_epochs=30)
    cells = rows({"metrics": pd.concat([long, short])}, "C3", "primary")
    assert len(cells) == 6
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


def test_a_missing_column_is_named():
    frame = planted("C3")["metrics"].drop(columns="kd_weight")
    with pytest.raises(VicinalError, match="table metrics: column kd_weight is missing"):
        evaluate_claims({"metrics": frame})


# --- single claims ---


def test_floor_is_the_oe_of_a_calibrated_model_image_by_image():
    rng = np.random.default_rng(0)
    confidence = rng.beta(5, 2, 2000)
    bins = np.minimum((confidence * 15).astype(int), 14)
    count = np.bincount(bins, minlength=15)
    mean = np.bincount(bins, confidence, 15) / np.maximum(count, 1)
    correct = rng.random((1000, 2000)) < confidence
    accuracy = np.stack([np.bincount(bins, row, 15) for row in correct]) / np.maximum(count, 1)
    oe = (count / 2000 * mean * np.maximum(mean - accuracy, 0)).sum(axis=1)
    some = count > 0
    floor = c4.overconfidence_floor(tuple(count[some].tolist()), tuple(mean[some].tolist()))
    assert floor == pytest.approx(np.quantile(oe, 0.975), rel=0.08)


@pytest.mark.parametrize("value", [0.0, 1e-4, 0.002])
def test_a_student_at_the_floor_is_inconclusive(value):
    tables = planted("C4")
    noise = 1 if value == 0 else 1 + np.random.default_rng(0).normal(0, 0.05, len(tables["metrics"]))
    lowered = changed(tables, lambda t: (t["method"] == "kd_mixup") & (t["metric"] == "oe"), value * noise)
    if value == 0:  # all zero is no variation; one zero is enough
        lowered = changed(tables, lambda t: (t["method"] == "kd_mixup") & (t["metric"] == "oe") & (t["seed"] == 2), 0.0)
    row = verdict(lowered, "C4")
    assert row["verdict"] == claims.INCONCLUSIVE
    assert "at the floor" in row["reason"]


def test_c4_shows_a_full_order_of_magnitude_too():
    found = rows(planted("C4"), "C4")
    thresholds = found.loc[found["kind"] != "verdict", ["kind", "threshold"]].to_records(index=False).tolist()
    assert thresholds == [("primary", pytest.approx(np.log(10**0.5))), ("secondary", pytest.approx(np.log(10)))]


def test_c4_with_bins_twice_or_not_finite_says_so():
    tables = planted("C4")
    for bins in (
        pd.concat([tables["reliability"]] * 2),
        tables["reliability"].assign(confidence=np.nan),
    ):
        row = verdict({**tables, "reliability": bins}, "C4")
        assert row["verdict"] == claims.INCONCLUSIVE
        assert "reliability bins" in row["reason"]


def test_c5_needs_equal_accuracy():
    tables = planted("C5")
    values = tables["metrics"]["value"]
    moved = changed(tables, lambda t: (t["metric"] == "accuracy") & (t["logit_scale"] == 2), values - 0.05)
    row = verdict(moved, "C5")
    assert row["verdict"] == claims.NOT_REPRODUCED
    assert "accuracy(logit_scale 2)" in row["reason"]


def test_c6_holds_whichever_end_accuracy_favours():
    tables = planted("C6")
    mirror = {"1": "16", "2": "8", "4": "4", "8": "2", "16": "1"}
    frame = tables["metrics"].astype({"temperature": object})
    mirrored = {"metrics": frame.assign(temperature=frame["temperature"].map(mirror))}
    assert verdict(mirrored, "C6")["verdict"] == claims.REPRODUCED


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet110", {"resnet#": 110}),
        ("resnet8_narrow", {"resnet#_narrow": 8}),
        ("resnet32x4", {"resnet#x4": 32, "resnet32x#": 4}),
        ("wrn_40_2", {"wrn_#_2": 40, "wrn_40_#": 2}),
        ("vgg13", {"vgg#": 13}),
        ("mobilenet_v2", {}),
        ("vit_b_16", {}),
        ("convnext_large", {"convnext_#": 3}),
    ],
)
def test_ladders_are_read_off_the_names(name, expected):
    assert c7.families(name) == expected


def test_c7_orders_the_ladder_by_size_not_by_name():
    row = verdict(planted("C7"), "C7")
    assert row["cell"] == "(resnet20 < resnet32 < resnet44 < resnet56 < resnet110) → resnet20, T = 2"
    assert row["estimand"].endswith("accuracy(student | resnet110)")


# --- page and script ---


def test_page_has_the_scorecard_and_every_row():
    found = evaluate_claims(planted("C6"))
    page = markdown(found)
    score, *sections = page.split("\n## ")
    assert [section.partition(":")[0] for section in sections] == NAMES
    assert "| C6 | Temperature trades accuracy against calibration | **reproduced** | 5 |" in score
    lines = [line for line in page.splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in lines}
    assert widths == {7, 9}
    assert "nan" not in page
    heads = 2 * (1 + sum(1 for section in sections for kind in ("### P", "### S") if kind in section))
    assert len(lines) == len(found) + heads


def run_script(monkeypatch, tmp_path, tables, key="k"):
    monkeypatch.setitem(fingerprint.STAGE_SCRIPTS, "claims", "claims.py")
    plan = {"stage": "claims", "id": "made_up", "key": key, "spec": {}, "code": fingerprint.stage_fingerprint("claims")}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    for name, table in tables.items():
        table.to_parquet(tmp_path / f"{name}.parquet", index=False)
    output = tmp_path / "claims.parquet"
    argv = ["claims.py", "--plan", tmp_path / "plan.json", "--tables", tmp_path, "--output", output]
    monkeypatch.setattr(sys, "argv", list(map(str, argv)))
    load(ROOT / "workflow" / "scripts" / "claims.py").main()
    return output


def test_script_writes_table_page_record_and_key(monkeypatch, tmp_path, capsys):
    tables = planted("C4")
    output = run_script(monkeypatch, tmp_path, tables)
    pd.testing.assert_frame_equal(pd.read_parquet(output), evaluate_claims(tables), check_dtype=False)
    assert output.with_suffix(".md").read_text().startswith("# Claims\n")
    record = json.loads(output.with_suffix(".json").read_text())
    assert record["verdicts"]["C4"] == "reproduced"
    assert record["provenance"]["packages"]["pandas"] == pd.__version__
    assert (tmp_path / "claims.parquet.key").read_text() == "k\n"
    assert "C4 reproduced: " in capsys.readouterr().out


def test_script_without_metrics_or_with_a_broken_table_says_so(monkeypatch, tmp_path):
    with pytest.raises(VicinalError, match=r"metrics\.parquet: no such file"):
        run_script(monkeypatch, tmp_path, {})
    (tmp_path / "vicinal.parquet").write_text("no Parquet")
    with pytest.raises(VicinalError, match=r"vicinal\.parquet: not a readable Parquet file"):
        run_script(monkeypatch, tmp_path, planted("C3"))
    assert not (tmp_path / "claims.parquet").exists()


def test_the_claims_load_without_torch():
    code = (
        "import sys, vicinal.claims; "
        "print([name for name in ('torch', 'pydantic', 'snakemake', 'sklearn') if name in sys.modules])"
    )
    path = str(ROOT / "workflow")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert done.stdout.strip() == "[]"

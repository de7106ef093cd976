"""What is particular to one claim."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from planted_claims import changed, planted, rows, simulated, verdict

from vicinal.analysis import claims
from vicinal.analysis.claims import c4, c7


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


def floor_of(tables, method="kd_mixup", seed=0):
    bins = tables["reliability"]
    bins = bins[(bins["method"] == method) & (bins["seed"] == seed)]
    return c4.overconfidence_floor(tuple(bins["count"].tolist()), tuple(bins["confidence"].tolist()))


@pytest.mark.parametrize("value", [0.0, 1e-4, 0.002])
def test_below_the_floor_the_floor_is_the_denominator(value):
    """A student that is perfectly calibrated is found, with no more than the floor allows, and at an OE of 0 too."""
    tables = planted("C4-CE")
    of_student = (tables["metrics"]["method"] == "kd_mixup") & (tables["metrics"]["metric"] == "oe")
    noise = 1 + np.random.default_rng(0).normal(0, 0.05, len(tables["metrics"]))
    [row] = rows(changed(tables, lambda t: of_student, value * noise), "C4-CE", "primary").to_dict("records")
    metrics = tables["metrics"]
    of_ce = metrics[(metrics["method"] == "ce") & (metrics["metric"] == "oe")].set_index("seed")["value"]
    floors = [floor_of(tables, seed=seed) for seed in of_ce.index]
    assert min(floors) > 0.002
    assert row["estimate"] == pytest.approx(np.exp(np.log(of_ce / floors).mean()))
    assert row["low"] > row["threshold"]


def test_an_oe_above_the_floor_is_its_own_denominator():
    tables = planted("C4-CE")
    [row] = rows(tables, "C4-CE", "primary").to_dict("records")
    metrics = tables["metrics"].astype({"method": str, "metric": str})
    oe = metrics[metrics["metric"] == "oe"].pivot(index="seed", columns="method", values="value")
    assert (oe["kd_mixup"] > floor_of(tables)).all()
    assert row["estimate"] == pytest.approx(np.exp(np.log(oe["ce"] / oe["kd_mixup"]).mean()))


@pytest.mark.parametrize(("claim", "method"), [("C4-CE", "ce"), ("C4-KD", "kd")])
def test_c4_is_not_testable_where_the_baseline_is_calibrated(claim, method):
    tables = planted(claim)
    noise = np.random.default_rng(0).normal(0, 1e-4, len(tables["metrics"]))
    of_baseline = (tables["metrics"]["method"] == method) & (tables["metrics"]["metric"] == "oe")
    for multiple, testable in ((0.0, False), (1.0, False), (3.0, False), (3.4, True)):
        low = changed(tables, lambda t: of_baseline, multiple * floor_of(tables, method) + abs(noise))
        row = verdict(low, claim)
        assert (row["verdict"] != claims.NOT_TESTABLE) == testable, multiple
        if not testable:
            assert f"{method.upper()} is so little overconfident" in row["reason"]
            assert np.isnan(row["estimate"])


def test_the_warning_of_an_under_confident_student_names_its_pair():
    frame = planted("C4-CE")["metrics"].astype(object)
    other = frame[frame["method"] == "kd_mixup"].assign(teacher="resnet56")
    other["model_id"] = "other_" + other["model_id"]
    under = other["metric"].eq("confidence_gap")
    other["value"] = other["value"].mask(under, -other["value"])
    bins = planted("C4-CE")["reliability"].astype(object)
    more = bins[bins["method"] == "kd_mixup"].assign(teacher="resnet56")
    more["model_id"] = "other_" + more["model_id"]
    tables = {"metrics": pd.concat([frame, other]), "reliability": pd.concat([bins, more])}
    tables["metrics"]["value"] = tables["metrics"]["value"].astype(float)
    row = verdict(tables, "C4-CE")
    assert row["verdict"] == claims.REPRODUCED
    assert row["warning"].startswith("resnet56 → resnet8x4, T = 2, vs CE: KD + mixup is under-confident")
    assert "resnet32x4" not in row["warning"]


def test_c4_shows_a_full_order_of_magnitude_too():
    found = rows(planted("C4-CE"), "C4-CE")
    thresholds = (
        found.loc[found["kind"].isin(["primary", "secondary"]), ["kind", "threshold"]].to_records(index=False).tolist()
    )
    assert thresholds == [("primary", pytest.approx(10**0.5)), ("secondary", pytest.approx(10))]


def test_c4_with_bins_twice_or_not_finite_says_so():
    tables = planted("C4-CE")
    for bins in (pd.concat([tables["reliability"]] * 2), tables["reliability"].assign(confidence=np.nan)):
        row = verdict({**tables, "reliability": bins}, "C4-CE")
        assert row["verdict"] == claims.INCONCLUSIVE
        assert "reliability bins" in row["reason"]


def test_c5_needs_equal_accuracy():
    tables = planted("C5")
    values = tables["metrics"]["value"]
    moved = changed(tables, lambda t: (t["metric"] == "accuracy") & (t["logit_scale"] == 2), values - 0.05)
    row = verdict(moved, "C5")
    assert row["verdict"] == claims.NOT_REPRODUCED
    assert "a logit scale of 2 leaves −" in row["reason"]


def test_c1_takes_the_better_reference_seed_by_seed():
    tables = planted("C1")
    frame = tables["confusion"]
    rng = np.random.default_rng(0)
    noise = pd.Series(rng.choice([0.15, 0.35], len(frame)) + rng.normal(0, 0.01, len(frame)), frame.index)
    tables = {"confusion": frame.assign(value=noise)}
    for row in rows(tables, "C1", "primary").to_dict("records"):
        of_teacher = tables["confusion"][frame["model"] == row["cell"].split(",")[0]]
        better = of_teacher.groupby("seed", observed=True)["value"].max()
        assert row["estimate"] == pytest.approx(100 * (0.5 - better.mean()))


@pytest.mark.parametrize("what", ["temperature", "correlation"])
@pytest.mark.parametrize(("value", "warned"), [(0.8, True), (0.5, False), (0.2, False)])
def test_c1_warns_of_what_says_the_opposite(what, value, warned):
    frame = planted("C1")["confusion"].astype(object)
    of_one = frame["model"] == "resnet56"
    more = frame[of_one].copy()
    if what == "correlation":
        more = more[more["metric"] == "explained_share"].assign(metric="spearman_mixed_linear")
    else:
        more["softmax_temperature"] = 4.0
    more["value"] = value + np.random.default_rng(0).normal(0, 0.03, len(more))
    joined = pd.concat([frame, more]).astype({"value": float, "softmax_temperature": float})
    row = verdict({"confusion": joined}, "C1")
    assert row["verdict"] == claims.REPRODUCED
    said = {"correlation": "the Spearman correlation of the class-similarity matrices",
            "temperature": "at T = 4 the explained share"}[what]  # fmt: skip
    assert row["warning"] == (f"resnet56, T = 2: {said} says the opposite" if warned else "")


@pytest.mark.parametrize("claim", ["C3-CE", "C3-KD", "C5", "C7"])
def test_a_teacher_that_is_not_better_than_ce_makes_no_test(claim):
    tables = planted(claim)
    metrics = tables["metrics"]
    alone = metrics[(metrics["role"] == "student") & (metrics["method"] == "ce")].set_index("seed")["value"]
    noise = np.random.default_rng(0).normal(0, 0.002, len(metrics))
    poor = metrics["seed"].map(alone).astype(float) + noise - 0.001
    row = verdict(changed(tables, lambda t: (t["role"] == "teacher") & (t["metric"] == "accuracy"), poor), claim)
    assert row["verdict"] == claims.NOT_TESTABLE
    assert "the teacher is not more accurate than the student trained alone" in row["reason"]


def test_a_pair_that_cannot_be_tested_is_left_out_of_the_verdict():
    """The pair of the poor teacher would refute the claim; it is not counted and named in the warning."""
    frame = planted("C3-KD")["metrics"].astype(object)
    pair = frame[(frame["role"] == "teacher") | frame["teacher"].notna()]
    poor = pair.assign(
        model_id="poor_" + pair["model_id"],
        model=pair["model"].where(pair["role"] == "student", "resnet56"),
        teacher=pair["teacher"].where(pair["role"] == "teacher", "resnet56"),
    )
    change = {"teacher": -0.2, "kd_mixup": -0.2}
    which = poor["method"].where(poor["role"] == "student", "teacher")
    poor["value"] = poor["value"] + which.map(change).fillna(0)
    joined = pd.concat([frame, poor]).astype({"value": float})
    row = verdict({"metrics": joined}, "C3-KD")
    assert row["verdict"] == claims.REPRODUCED
    assert row["reason"].startswith("resnet32x4 → resnet8x4, T = 2, vs KD: accuracy changes by ")
    assert "primary tests" not in row["reason"]
    assert "left out, not testable here: resnet56 → resnet8x4: the teacher is not more accurate" in row["warning"]
    notes = rows({"metrics": joined}, "C3-KD", "primary").set_index("cell")["reason"]
    assert notes["resnet56 → resnet8x4, T = 2, vs KD"].startswith("not testable here: ")
    assert notes["resnet32x4 → resnet8x4, T = 2, vs KD"] == ""
    kept = rows({"metrics": joined}, "C3-KD", "primary").set_index("cell").loc["resnet32x4 → resnet8x4, T = 2, vs KD"]
    assert kept["low"] == kept["low_bonferroni"]  # one test is left
    good = joined.assign(value=joined["value"] + (joined["model"] == "resnet56") * 0.5)
    assert verdict({"metrics": good}, "C3-KD")["verdict"] == claims.NOT_REPRODUCED


def test_c6_at_one_temperature_is_not_testable():
    tables = planted("C6")
    one = {"metrics": tables["metrics"][tables["metrics"]["temperature"] == "2"]}
    row = verdict(one, "C6")
    assert row["verdict"] == claims.NOT_TESTABLE
    assert row["reason"] == "resnet32x4 → resnet8x4: distilled at fewer than two numeric temperatures"
    two = {"metrics": tables["metrics"][tables["metrics"]["temperature"].isin(["2", "4"])]}
    assert verdict(two, "C6")["verdict"] == claims.INCONCLUSIVE


def test_c6_compares_the_slopes_of_the_signed_gap():
    tables = planted("C6")
    gaps = tables["metrics"][tables["metrics"]["metric"] == "confidence_gap"].astype(object)
    slopes = {}
    for method, rows_ in gaps.groupby("method"):
        by_t = rows_.pivot(index="seed", columns="temperature", values="value").astype(float)
        slopes[method] = np.mean([np.polyfit(np.log2(by_t.columns.astype(float)), line, 1)[0] for line in by_t.values])
    row = (
        rows(tables, "C6", "primary")
        .set_index("estimand")
        .loc["|slope of the signed gap on log2 T|: KD + mixup − KD, points"]
    )
    assert row["estimate"] == pytest.approx(100 * (abs(slopes["kd_mixup"]) - abs(slopes["kd"])))


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
    assert row["estimand"].endswith("accuracy(student | resnet110), points")
    assert row["warning"] == ""


def test_c7_orders_the_ladder_by_accuracy_where_that_contradicts_the_size():
    tables = planted("C7")
    metrics = tables["metrics"]
    swapped = {"resnet56": "resnet32", "resnet32": "resnet56"}
    teachers = metrics[metrics["role"] == "teacher"].astype(object)
    teachers = teachers.assign(model=teachers["model"].replace(swapped))
    found = {"metrics": pd.concat([metrics[metrics["role"] != "teacher"].astype(object), teachers])}
    row = verdict(found, "C7")
    assert row["cell"] == "(resnet20 < resnet56 < resnet44 < resnet32 < resnet110) → resnet20, T = 2"
    assert "in the order of their accuracy, which is not that of their size: resnet20 " in row["warning"]


def test_a_poor_teacher_is_no_rung_of_c7():
    tables = planted("C7")
    metrics = tables["metrics"]
    poor = (metrics["model"] == "resnet44") & (metrics["role"] == "teacher")
    row = verdict(changed(tables, lambda t: poor, metrics["value"] - 0.5), "C7")
    assert row["verdict"] == claims.REPRODUCED
    assert row["cell"] == "(resnet20 < resnet32 < resnet56 < resnet110) → resnet20, T = 2"
    assert "no rung of the ladder: resnet44 → resnet20: the teacher is not more accurate" in row["warning"]


def test_an_inconclusive_verdict_says_its_power():
    study = simulated.Study(np.random.default_rng(7), 1, 6)
    simulated.c3(study, (0.4, 0.4))
    tables = next(study.tables())
    values = tables["metrics"].astype(object)
    values = values[values["role"] == "student"].pivot(index="seed", columns="method", values="value").astype(float)
    difference = values["kd_mixup"] - values["ce"]
    row = verdict(tables, "C3-CE")
    assert row["verdict"] == claims.INCONCLUSIVE
    power = TTestPower(difference.std(ddof=1), 0.025)
    told = re.search(
        r"with 6 seeds a true effect of ([\d.]+) points would be found in 80 %, the estimate would need (\d+) seeds",
        row["reason"],
    )
    assert power.of(float(told[1]) / 100, 6) == pytest.approx(0.8, abs=0.01)
    n = int(told[2])
    assert power.of(difference.mean(), n) >= 0.8 > power.of(difference.mean(), n - 1)
    assert "seeds a true" not in verdict(planted("C3-CE"), "C3-CE")["reason"]


class TTestPower:
    """Of the paired t-test, by SciPy's noncentral t."""

    def __init__(self, sd, level):
        self.sd, self.level = sd, level

    def of(self, effect, n):
        critical = scipy.stats.t.ppf(1 - self.level, n - 1)
        return scipy.stats.nct.sf(critical, n - 1, effect / self.sd * np.sqrt(n))

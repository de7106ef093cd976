"""What is particular to one claim."""

import numpy as np
import pandas as pd
import pytest
from planted_claims import changed, planted, rows, verdict

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

"""Published numbers beside ours, on made-up runs with known means."""

import io
import math

import pandas as pd
import pytest
import scipy.stats

from vicinal.errors import VicinalError
from vicinal.published import COLUMNS, COMPARED, PUBLISHED, compare, read_published

VALUES = (0.70, 0.71, 0.73)


def runs(values=VALUES, metric="accuracy", split="test", **settings):
    row = {
        "role": "student", "data": "cifar100", "model": "resnet20", "method": "kd", "alpha": math.nan,
        "teacher": "resnet56", "teacher_mixup_alpha": math.nan, "temperature": "4", "logit_scale": 1.0,
        "kd_weight": 1.0, "ce_weight": 0.0, "data_limit_train": None, "data_validation": 5000, "recipe_epochs": 240,
    } | settings  # fmt: skip
    if row["method"].startswith("ce"):
        row |= {"teacher": None, "temperature": None, "logit_scale": math.nan, "kd_weight": 0.0, "ce_weight": 1.0}
    name = "_".join(map(str, row.values()))
    return [
        {"model_id": f"{name}_s{seed}", "seed": seed, "teacher_id": None, **row, "split": split, "metric": metric,
         "value": value}
        for seed, value in enumerate(values)
    ]  # fmt: skip


def compared(*models):
    table = pd.DataFrame([row for rows in models for row in rows])
    texts = ["model_id", "role", "data", "model", "method", "teacher", "temperature", "split", "metric"]
    return compare(table.astype(dict.fromkeys(texts, "category")), read_published()).to_dict("records")


def test_the_table_in_the_repository_is_well_formed():
    table = read_published()
    assert list(table) == COLUMNS
    assert not table.duplicated(["dataset", "setting", "teacher", "student", "method", "temperature", "metric"]).any()
    assert set(table["unit"]) == {"percent", "fraction"}
    assert table.loc[table["unit"] == "fraction", "value"].abs().max() < 1
    kd = table[(table["teacher"] == "resnet56") & (table["student"] == "resnet20")]
    assert kd["value"].tolist() == [70.66]  # Tian et al. 2020, table 1


def test_difference_and_interval_agree_with_scipy():
    (row,) = compared(runs())
    interval = scipy.stats.ttest_1samp([100 * v for v in VALUES], 0).confidence_interval(0.95)
    assert row["published"] == 70.66
    assert row["ours"] == pytest.approx(71.3333, abs=1e-4)
    assert row["difference"] == pytest.approx(0.6733, abs=1e-4)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert row["n"] == 3
    assert row["within"] is True
    assert (row["training_images"], row["published_images"]) == (45_000, 50_000)


@pytest.mark.parametrize(("values", "within"), [((0.80, 0.801, 0.802), False), ((0.70,), None)])
def test_outside_and_undecided(values, within):
    (row,) = compared(runs(values))
    assert row["within"] is within
    assert math.isnan(row["low"]) == (len(values) == 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"data": "digits"}, {"model": "resnet32"}, {"teacher": "resnet44"}, {"temperature": "2"},
        {"method": "kd_mixup"}, {"split": "validation"}, {"metric": "nll"}, {"teacher_mixup_alpha": 1.0},
        {"logit_scale": 2.0}, {"method": "ce_mixup", "alpha": 1.0},
    ],
)  # fmt: skip
def test_only_the_same_setting_is_compared(settings):
    assert compared(runs(**settings)) == []
    assert len(compared(runs(), runs(**settings))) == 1


def test_columns_are_there_without_rows():
    assert list(compare(pd.DataFrame(runs(data="digits")), read_published())) == COMPARED


def test_alone_in_its_role_first_then_in_the_other():
    teacher, student = (runs((value,) * 2, role=r, method="ce") for value, r in [(0.6, "teacher"), (0.5, "student")])
    (row,) = compared(teacher, student)  # published as a student
    assert row["ours"] == pytest.approx(50)
    (row,) = compared(teacher)
    assert row["ours"] == pytest.approx(60)
    assert any("teacher of the experiment" in line for line in row["differs"])
    (row,) = compared(runs(role="teacher", model="resnet56", method="ce"))
    assert (row["method"], row["published"]) == ("teacher", 72.34)
    assert (row["student"], row["temperature"]) == (None, None)


def test_ece_is_a_fraction_and_an_unknown_temperature_matches_each():
    models = [
        runs(
            (0.04, 0.05), "ece", model="shufflenet_v1", teacher="wrn_40_2", method="kd_mixup", alpha=1.0, temperature=t
        )
        for t in ("2", "4")
    ]
    rows = compared(*models)
    assert [row["temperature"] for row in rows] == ["2", "4"]
    assert [row["published"] for row in rows] == [0.049] * 2
    assert rows[0]["ours"] == pytest.approx(0.045)
    assert "the published temperature is not known" in rows[0]["differs"]
    assert "ours draws λ for each sample, from Beta(1, 1)" in rows[0]["differs"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "ours trained on 45,000 of 50,000 training images"),
        ({"data_limit_train": 5000}, "ours trained on 5,000 of 50,000 training images"),
        ({}, "ours is the last epoch, chosen on nothing"),
        ({}, "our loss is KL(teacher ‖ student)·T² alone, without cross-entropy"),
        ({"kd_weight": 0.9, "ce_weight": 0.1}, "our loss: 0.9 KD + 0.1 CE"),
        ({"recipe_epochs": 20}, "ours trained for 20 epochs, this setting's recipe has 240"),
    ],
)
def test_what_differs_is_said(settings, sentence):
    assert sentence in compared(runs(**settings))[0]["differs"]


def test_the_whole_training_set_is_no_difference():
    (row,) = compared(runs(data_validation=0))
    assert not any("training images" in line for line in row["differs"])


def test_losses_are_compared_apart():
    assert len(compared(runs(), runs(kd_weight=0.9, ce_weight=0.1))) == 2


def test_broken_tables_are_named(tmp_path):
    with pytest.raises(VicinalError, match=r"none\.csv: no such file"):
        read_published(tmp_path / "none.csv")
    table = pd.read_csv(io.StringIO(PUBLISHED.read_text(encoding="utf-8")), dtype=str)
    table.drop(columns="unit").to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(VicinalError, match="lacks the column unit"):
        read_published(tmp_path / "bad.csv")

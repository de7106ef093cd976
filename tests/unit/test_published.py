"""Published numbers beside ours, on made-up runs with known means and on all that the shipped experiments train."""

import io
import math

import pandas as pd
import pytest
import scipy.stats
from configs import EXPERIMENTS
from shipped_metrics import shipped_metrics

from vicinal.analysis.protocols import PROTOCOLS
from vicinal.analysis.published import COLUMNS, COMPARED, PUBLISHED, compare, read_published
from vicinal.config import read_config
from vicinal.errors import VicinalError

VALUES = (0.70, 0.71, 0.73)
TRANSFER = {
    "model": "resnet50_imagenet_mlp", "teacher": "vit_b_16_dropout", "method": "kd_mixup", "alpha": 1.0,
    "temperature": "2", "recipe_pretrained": True, "recipe_optimizer": "adam", "recipe_epochs": 500,
    "recipe_head_epochs": 10, "recipe_batch_size": 200, "recipe_lr": 5e-4, "recipe_schedule": "piecewise",
    "recipe_resize": 236, "recipe_crop": 224, "pretraining_mixup": False, "teacher_pretraining_mixup": True,
}  # fmt: skip
BASELINE = {
    "method": "ce", "recipe_head_epochs": None, "recipe_epochs": 200, "recipe_batch_size": 250, "recipe_lr": 1e-3,
    "recipe_schedule": "plateau", "recipe_resize": 242, "recipe_gamma": 0.9, "recipe_patience": 3,
    "recipe_lr_min": 1e-6, "alpha": math.nan, "teacher_pretraining_mixup": None,
}  # fmt: skip
IMAGENET = {
    "data": "imagenet", "model": "resnet18_imagenet", "teacher": "resnet34_imagenet", "temperature": "2",
    "data_validation": 10_000, "recipe_crop": 224, "recipe_epochs": 100, "recipe_pretrained": False,
    "teacher_weights": "published",
}  # fmt: skip
# Published numbers without a counterpart in any shipped experiment, by teacher, student and method, and why.
WITHOUT = {
    ("vgg13", None, "teacher"): "no VGG is trained",
    (None, "vgg8", "ce"): "no VGG is trained",
    ("vgg13", "vgg8", "kd"): "no VGG is trained",
    (None, "wrn_40_1", "ce"): "it is no student of ours",
    ("wrn_40_2", "wrn_40_1", "kd"): "it is no student of ours",
    (None, "shufflenet_v1", "ce"): "it is no student of ours",
    (None, "shufflenet_v2", "ce"): "it is no student of ours",
    ("resnet32x4", "shufflenet_v2", "kd"): "it is no student of ours",
    ("wrn_40_2", "shufflenet_v1", "kd"): "it is no student of ours",
    ("wrn_40_2", "shufflenet_v1", "kd_mixup"): "it is no student of ours",
    ("resnet50", "mobilenet_v2", "kd"): "no ResNet-50 for 32 pixels is trained",
    ("resnet110", "resnet32", "kd"): "the ladder's one student is resnet20",
}


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
    assert set(table["setting"]) == set(PROTOCOLS)
    assert table["source"].notna().all()
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
    assert row["place"] == 53


@pytest.mark.parametrize(("values", "within"), [((0.80, 0.801, 0.802), False), ((0.70,), None)])
def test_outside_and_undecided(values, within):
    (row,) = compared(runs(values))
    assert row["within"] is within
    assert math.isnan(row["low"]) == (len(values) == 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"data": "digits"}, {"model": "resnet32"}, {"teacher": "resnet44"}, {"temperature": "std"},
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
    model = {"model": "shufflenet_v1", "teacher": "wrn_40_2", "method": "kd_mixup", "alpha": 1.0}
    rows = compared(*(runs((0.04, 0.05), "ece", **model, temperature=t) for t in ("2", "4")))
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
        ({"recipe_epochs": 20}, "our recipe: epochs 20 (theirs 240)"),
        ({"recipe_epochs": 20, "recipe_batch_size": 128}, "our recipe: batch 128 (theirs 64), epochs 20 (theirs 240)"),
        ({"method": "ce", "recipe_schedule": "cosine"}, "our recipe: schedule cosine (theirs step)"),
        ({"data_validation": 0.2}, "ours trained on 40,000 of 50,000 training images"),
        ({"data_limit_test": 500}, "ours is tested on 500 of 10,000 test images"),
        ({"recipe_pretrained": True}, "ours starts from published ImageNet weights, theirs from fresh weights"),
        ({"temperature": "8"}, "ours at T = 8, theirs at T = 4"),
        ({}, "our teacher is our own, one for each seed"),
        ({"teacher_weights": "file 0123abcd"}, "our teacher has given weights (file 0123abcd), one for all seeds"),
    ],
)
def test_what_differs_is_said(settings, sentence):
    assert sentence in compared(runs(**settings))[0]["differs"]


def test_the_nearest_temperature_is_compared_where_there_is_not_the_same():
    def at(*temperatures):
        rows = compared(*(runs(temperature=t) for t in temperatures))
        return [row["temperature"] for row in rows]

    assert at("1", "4", "8", "std") == ["4"]  # as published
    assert at("1", "2", "16", "std") == ["2"]
    assert at("2", "8") == ["2"]  # as near as the other
    assert at("std") == []


def test_a_student_of_the_authors_protocol():
    scores = (runs((0.01, 0.02, 0.03), metric, **TRANSFER) for metric in ("ece", "oe"))
    rows = compared(runs((0.87, 0.88, 0.89), **TRANSFER), *scores)
    assert [(row["teacher"], row["student"], row["metric"]) for row in rows] == [
        ("vit_base", "resnet50", "accuracy"), ("vit_base", "resnet50", "ece15"), ("vit_base", "resnet50", "oe"),
    ]  # fmt: skip
    accuracy, ece, oe = rows
    assert (accuracy["published"], accuracy["ours"]) == (87.44, pytest.approx(88))
    assert (accuracy["sd"], accuracy["within"]) == (pytest.approx(1), True)  # 88 ∓ 4.303 / √3
    assert (accuracy["low"], accuracy["high"]) == (pytest.approx(85.516, abs=1e-3), pytest.approx(90.484, abs=1e-3))
    assert (accuracy["our_teacher"], accuracy["our_model"]) == ("vit_b_16_dropout", "resnet50_imagenet_mlp")
    assert (ece["published"], ece["difference"]) == (0.0242, pytest.approx(-0.0042))
    assert (oe["published"], oe["difference"]) == (0.0178, pytest.approx(0.0022))
    assert accuracy["differs"] == (
        "ours trained on 45,000 of 50,000 training images",
        "ours is the last epoch, the authors' code keeps the one that is best on the test split",
        "ours normalises images, the authors' code gives networks other than ViT the values from 0 to 255",
        "ours is a mean over seeds, theirs one run",
        "ours is PyTorch with torchvision's weights, theirs TensorFlow",
        "the first weights of our teacher were pretrained with mixup",
        "our loss is computed in single precision, theirs in half precision",
        "our teacher is our own, one for each seed",
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"recipe_epochs": 50, "recipe_head_epochs": 1},
         "our recipe: epochs 50 (theirs 500), epochs of the head alone before 1 (theirs 10)"),
        ({"recipe_head_epochs": None}, "our recipe: epochs of the head alone before 0 (theirs 10)"),
        ({"recipe_pretrained": False}, "ours starts from fresh weights, theirs from published ImageNet weights"),
        ({"recipe_pretrained": False}, "ours is PyTorch, theirs TensorFlow"),
        ({"recipe_crop": 160}, "our images are 160 pixels a side, theirs 224"),
        ({"teacher": "resnet152_imagenet_dropout"},
         "ResNet-152 is torchvision's here, Keras' pre-activation ResNet152V2 there"),
        ({"teacher": "vit_b_16"}, "the head of our teacher is a linear layer, of theirs dropout and a linear layer"),
        ({"model": "resnet50_imagenet"}, "the head of our student is a linear layer, of theirs two dense layers"),
        ({"alpha": 0.4}, "ours draws λ for each sample, from Beta(0.4, 0.4)"),
        ({"pretraining_mixup": True}, "our first weights were pretrained with mixup"),
    ],
)  # fmt: skip
def test_what_differs_from_the_authors_is_said(settings, sentence):
    (row,) = compared(runs(**(TRANSFER | settings)))
    assert sentence in row["differs"]


def test_a_baseline_is_told_by_its_recipe():
    own, theirs = runs(**(TRANSFER | {"method": "ce", "alpha": math.nan})), runs((0.8,), **(TRANSFER | BASELINE))
    rows = compared(own, theirs)
    assert [row["published"] for row in rows] == [81.70] * 2
    said = [[line for line in row["differs"] if "recipe" in line] for row in rows]
    assert said == [
        ["ours has the recipe of our distilled students: learning rate 0.0005 (theirs 0.001), batch 200 (theirs 250), "
         "epochs 500 (theirs 200), schedule piecewise (theirs plateau), epochs of the head alone before 10 (theirs 0), "
         "images enlarged to 236 (theirs 243)"],
        ["our recipe: images enlarged to 242 (theirs 243)"],
    ]  # fmt: skip
    plateaus = "our learning rate follows the loss on the validation split, theirs that on the test split"
    assert [plateaus in row["differs"] for row in rows] == [False, True]


def test_the_plateaus_of_a_teacher_are_compared_with_those_of_the_authors_logs():
    teacher = {**TRANSFER, **BASELINE, "role": "teacher", "model": "vit_b_16_dropout", "recipe_optimizer": "sgd"}
    teacher |= {"recipe_lr": 1e-4, "recipe_lr_min": 1e-5}
    said = [compared(runs(**(teacher | {"recipe_patience": patience}))) for patience in (0, 2)]
    assert [[line for line in rows[0]["differs"] if "our recipe" in line] for rows in said] == [
        [], ["our recipe: patience 2 (theirs 0)"],
    ]  # fmt: skip


def test_a_recipe_is_compared_with_that_of_its_source_only():
    (row,) = compared(runs((0.1,), "ece", role="teacher", model="resnet110", method="ce", recipe_epochs=20))
    assert row["source"] == "Guo et al. 2017"
    assert "by which recipe theirs was trained is not known" in row["differs"]


def test_networks_of_photographs_are_none_for_32_pixels():
    assert compared(runs(model="resnet20", teacher="resnet56", recipe_crop=224)) == []
    assert compared(runs(**(TRANSFER | {"recipe_crop": None}))) == []


def test_imagenet():
    teacher = IMAGENET | {"role": "teacher", "method": "ce", "model": "resnet34_imagenet", "weights": "published"}
    teacher |= {"recipe_epochs": None, "recipe_pretrained": None, "teacher_weights": None}
    alone = IMAGENET | {"method": "ce", "teacher_weights": None}
    kd, ce, given = compared(runs(**IMAGENET), runs(**alone), runs((0.7331,), **teacher))
    assert [row["published"] for row in (kd, ce, given)] == [71.21, 69.76, 73.31]
    tested = "ours is tested on 40,000 of 50,000 test images"
    assert kd["differs"] == (
        tested, "ours is the last epoch, chosen on nothing",
        "our loss is KL(teacher ‖ student)·T² alone, without cross-entropy", "ours at T = 2, theirs at T = 4",
        "our teacher has given weights (published), one for all seeds",
    )  # fmt: skip
    assert "our recipe: epochs 100 (theirs 90)" in ce["differs"]
    assert given["differs"] == ("our teacher is not trained: published weights as they are", tested)
    assert (given["difference"], given["within"]) == (pytest.approx(0), None)


def test_every_published_number_has_a_counterpart_or_a_reason_for_none():
    published = read_published()
    names = [path.stem for path in EXPERIMENTS.glob("*.yaml") if "experiments" not in read_config(path)]
    found = pd.concat([compare(shipped_metrics(name), published) for name in names])
    rows = published.drop(index=found["place"])
    assert {(row["teacher"], row["student"], row["method"]) for row in rows.to_dict("records")} == set(WITHOUT)
    assert len(rows) == len(WITHOUT)


def test_the_whole_training_set_is_no_difference_and_losses_are_compared_apart():
    (row,) = compared(runs(data_validation=0))
    assert not any("training images" in line for line in row["differs"])
    assert len(compared(runs(), runs(kd_weight=0.9, ce_weight=0.1))) == 2


def test_broken_tables_are_named(tmp_path):
    with pytest.raises(VicinalError, match=r"none\.csv: no such file"):
        read_published(tmp_path / "none.csv")
    table = pd.read_csv(io.StringIO(PUBLISHED.read_text(encoding="utf-8")), dtype=str)
    table.drop(columns="unit").to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(VicinalError, match="lacks the column unit"):
        read_published(tmp_path / "bad.csv")

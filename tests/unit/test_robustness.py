"""Metrics on corrupted images, and their way into the tables of an experiment."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from corruption_archive import NOTHING, corrupt, make_images
from sklearn.metrics import accuracy_score

from vicinal.analysis.schema import tidy
from vicinal.analysis.tables import corruption_table, model_table
from vicinal.data.corruptions.catalogue import NAMES, SEVERITIES
from vicinal.errors import VicinalError
from vicinal.evaluation.measures import clean_metrics
from vicinal.evaluation.robustness import (
    COLUMNS,
    IMAGES,
    METRICS,
    VALUES,
    corruption_metrics,
    measure_robustness,
    read_robustness,
    robustness_rows,
)
from vicinal.files import write_json

CLEAN, LABELS = make_images(40, 1)
ARCHIVE = {name: np.stack([corrupt(CLEAN, name, severity) for severity in SEVERITIES]) for name in NAMES}
ROWS = np.array([5, 3, 17, 30, 8, 39, 2, 11])
WEIGHTS = np.random.default_rng(0).normal(0, 0.01, (12 * 12 * 3, 4))


def logits(images):
    """A linear network."""
    return images.reshape(len(images), -1) @ WEIGHTS


def test_accuracy_is_that_of_scikit_learn_and_all_are_the_clean_metrics_by_name():
    own, labels = logits(CLEAN), LABELS
    found = corruption_metrics(own, labels)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, own.argmax(axis=1)))
    clean = clean_metrics(own, labels, 1.0)
    assert found == {name: clean[name] for name in ("accuracy", "ece", "oe")}


def test_calibration_of_a_network_that_is_always_half_sure_in_closed_form():
    # Confidence 1/2 of two classes: one bin. Right in 3 of 10: ECE |0.3 − 0.5|, OE 0.5 · 0.2.
    own = np.tile([1.0, 1.0, -1e9], (10, 1))
    found = corruption_metrics(own, np.array([0] * 3 + [1] * 7))
    assert found == pytest.approx({"accuracy": 0.3, "ece": 0.2, "oe": 0.1})


def measure(measured=lambda: None):
    return measure_robustness(logits, ARCHIVE, ROWS, LABELS[ROWS], measured)


def test_every_corruption_at_every_severity_is_measured_on_the_given_rows():
    calls = []
    table = robustness_rows(measure(lambda: calls.append(1)), len(ROWS))
    assert len(calls) == 19 * 5
    assert {name: str(table[name].dtype) for name in ("severity", "value", "count")} == {
        name: COLUMNS[name] for name in ("severity", "value", "count")
    }
    assert list(table) == list(COLUMNS)
    assert len(table) == 19 * 5 * 3
    assert not table.duplicated(["corruption", "severity", "metric"]).any()
    assert set(table["count"]) == {len(ROWS)}
    indexed = table.set_index(["corruption", "severity", "metric"])["value"].sort_index()
    for name in ("fog", "brightness", NOTHING):
        for severity in SEVERITIES:
            wanted = corruption_metrics(logits(corrupt(CLEAN, name, severity)[ROWS]), LABELS[ROWS])
            assert indexed[name, severity].to_dict() == wanted


def models():
    return model_table(
        {f"m{seed}": {"role": "teacher", "data": "d", "model": "big", "method": "ce", "seed": seed} for seed in (0, 1)}
    )


def write(folder: Path, values: dict) -> Path:
    write_json(folder / "evaluation.json", {VALUES: values, IMAGES: len(ROWS) if values else 0})
    return folder


def test_the_record_gives_back_the_table_to_the_last_bit(tmp_path):
    values = measure()
    table = read_robustness(write(tmp_path / "m0", values))
    pd.testing.assert_frame_equal(table, robustness_rows(values, len(ROWS)), check_exact=True)
    # JSON sorts its keys: the rows have the order of the archive, of severities and of metrics all the same.
    assert list(dict.fromkeys(table["corruption"])) == list(NAMES)
    assert table["severity"].tolist() == [severity for _ in NAMES for severity in SEVERITIES for _ in METRICS]
    assert table["metric"].tolist() == list(METRICS) * len(NAMES) * len(SEVERITIES)


@pytest.mark.parametrize(
    "record",
    [{}, {VALUES: {"fog": {}}, IMAGES: 1}, {VALUES: {"fog": {metric: [0.5] for metric in METRICS}}, IMAGES: 1}],
    ids=["none", "no metric", "one severity"],
)
def test_a_record_without_the_metrics_is_named_with_the_way_out(tmp_path, record):
    path = tmp_path / "m0" / "evaluation.json"
    write_json(path, record)
    with pytest.raises(VicinalError) as told:
        corruption_table(models(), {"m0": tmp_path / "m0"})
    assert str(told.value).startswith(f"{path}: made by older code, without metrics on corrupted images; delete ")


def test_the_table_of_an_experiment_has_every_model_and_its_settings(tmp_path):
    own = robustness_rows(measure(), len(ROWS))
    folders = {id_: write(tmp_path / id_, measure()) for id_ in ("m0", "m1")}
    table = corruption_table(models(), folders)
    assert len(table) == 2 * len(own)
    first = table[table["model_id"] == "m0"].reset_index(drop=True)
    assert first["value"].equals(own["value"])
    assert set(first["seed"]) == {0}
    tidied = tidy("corruptions", table)
    assert len(tidied) == len(table)
    with pytest.raises(VicinalError, match="occurs twice"):
        tidy("corruptions", pd.concat([table, table[:1]]))


@pytest.mark.parametrize("measured", [False, True])
def test_without_corrupted_images_the_table_is_empty_and_typed(tmp_path, measured):
    folders = {"m0": write(tmp_path / "m0", {})} if measured else {}
    table = corruption_table(models(), folders)
    assert len(table) == 0
    full = corruption_table(models(), {"m0": write(tmp_path / "x", measure())})
    assert list(table) == list(full)
    for name in ("severity", "value", "count"):
        assert table[name].dtype == full[name].dtype
    table.to_parquet(tmp_path / "empty.parquet", index=False)
    assert len(tidy("corruptions", pd.read_parquet(tmp_path / "empty.parquet"))) == 0


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(VicinalError, match=r"m0/evaluation\.json: no such file"):
        corruption_table(models(), {"m0": tmp_path / "m0"})

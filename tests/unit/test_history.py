"""The history of a training in its model's record."""

import json

import numpy as np
import pandas as pd
import pytest

from vicinal.errors import VicinalError
from vicinal.files import write_json
from vicinal.history import COLUMNS, history_fault, history_fields, read_history
from vicinal.results import RECORD

ROWS = [
    {"epoch": 1, "lr": 0.1, "loss": 0.1 + 0.2},
    {
        "epoch": 2,
        "lr": 1e-5,
        "loss": float(np.nextafter(1, 2)),
        "validation_accuracy": 1 / 3,
        "validation_loss": 7e-310,
    },
]


def write(folder, rows, **more):
    folder.mkdir(exist_ok=True)
    write_json(folder / RECORD, {"id": "m", **history_fields(rows), **more})
    return folder


def test_what_is_read_is_what_was_written_to_the_last_bit(tmp_path):
    table = read_history(write(tmp_path / "m", ROWS))
    pd.testing.assert_frame_equal(table, pd.DataFrame(ROWS)[list(COLUMNS)].astype(COLUMNS), check_exact=True)


def test_numbers_come_back_as_from_parquet(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {"epoch": k + 1, "lr": rng.random(), "loss": float(np.exp(rng.normal(0, 50))), "validation_accuracy": 0.5}
        for k in range(200)
    ]
    path = tmp_path / "history.parquet"
    pd.DataFrame(rows).to_parquet(path)
    table = read_history(write(tmp_path / "m", rows)).drop(columns="validation_loss")
    pd.testing.assert_frame_equal(table, pd.read_parquet(path), check_exact=True)


def test_without_an_epoch_the_table_has_its_columns(tmp_path):
    table = read_history(write(tmp_path / "m", []))
    assert len(table) == 0
    assert {name: str(kind) for name, kind in table.dtypes.items()} == COLUMNS


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_know_are_kept(tmp_path, value):
    table = read_history(write(tmp_path / "m", [{"epoch": 1, "lr": 0.1, "loss": 1.0, "validation_loss": value}]))
    assert table["validation_loss"].equals(pd.Series([value]))
    assert table["validation_accuracy"].isna().all()


def test_every_changed_digit_is_found(tmp_path):
    path = write(tmp_path / "m", ROWS) / RECORD
    record = json.loads(path.read_text())
    record["history"][2] = record["history"][2].replace("1.0000000000000002", "1.0000000000000004")
    assert "damaged" in history_fault(record)
    write_json(path, record)
    with pytest.raises(VicinalError) as caught:
        read_history(path.parent)
    assert str(caught.value) == (
        f"{path}: its history of the training is damaged (its checksum is not the recorded one); "
        f"delete {path.parent} and run ./reproduce, which trains it anew"
    )


@pytest.mark.parametrize("history", [None, [], "x", [float("nan")], {"loss": object()}])
def test_what_is_no_history_is_damaged(history):
    assert "damaged" in history_fault({"history": history, "history_sha256": "0"})


@pytest.mark.parametrize(
    ("record", "says"), [({"id": "m"}, "no history of its training in it, older code made it"), ([1], "not the record")]
)
def test_another_record_is_refused_in_one_line(tmp_path, record, says):
    write_json(tmp_path / RECORD, record)
    with pytest.raises(VicinalError) as caught:
        read_history(tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_record_is_named(tmp_path):
    with pytest.raises(VicinalError, match="no such file"):
        read_history(tmp_path)

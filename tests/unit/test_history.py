"""The history of a training beside its model's weights."""

import math

import numpy as np
import pytest

from vicinal.errors import VicinalError
from vicinal.files import write_table
from vicinal.results import HISTORY
from vicinal.training.history import COLUMNS, history_table, training_history

ROWS = [
    {"epoch": 1, "lr": 0.1, "loss": 0.1 + 0.2},
    {
        "epoch": 2,
        "lr": 1e-5,
        "loss": float(np.nextafter(1, 2)),
        "validation_accuracy": 1 / 3,
        "validation_loss": math.inf,
    },
]


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], []], ids=["two", "without validation", "none"])
def test_what_is_read_is_what_was_written_to_the_last_bit(tmp_path, rows):
    write_table(tmp_path / HISTORY, history_table(rows))
    table = training_history(tmp_path)
    assert list(map(str, table.dtypes)) == ["int64", *["float64"] * 4]
    assert list(table) == COLUMNS.names
    assert len(table) == len(rows)
    for row, found in zip(rows, table.to_dict("records"), strict=True):
        for name, value in found.items():
            assert value == row[name] if name in row else math.isnan(value)


@pytest.mark.parametrize("content", [None, b"", b"x"])
def test_a_history_that_cannot_be_read_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / HISTORY).write_bytes(content)
    with pytest.raises(VicinalError) as caught:
        training_history(tmp_path)
    says = "no such file" if content is None else "not a readable Parquet file"
    assert str(caught.value).startswith(f"{tmp_path / HISTORY}: {says}")
    assert str(caught.value).endswith(f"; delete {tmp_path} and run ./reproduce, which trains it anew")
    assert "\n" not in str(caught.value)


def test_rows_of_any_order_and_more_fields_make_the_same_table():
    rows = [dict(reversed(row.items()), seconds=1.0) for row in ROWS]
    assert history_table(rows).equals(history_table(ROWS))

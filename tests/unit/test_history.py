"""The history of a training beside its model's weights."""

import math
import subprocess
import sys

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
    assert {name: str(kind) for name, kind in table.dtypes.items()} == COLUMNS
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
    assert history_table(rows).to_pandas().equals(history_table(ROWS).to_pandas())


def test_a_history_is_written_without_pandas(tmp_path):
    code = (
        "import sys; from pathlib import Path; from vicinal.files import write_table;"
        "from vicinal.training.history import history_table;"
        f"write_table(Path({str(tmp_path)!r}) / 'history.parquet', history_table([{{'epoch': 1, 'loss': 0.5}}]));"
        "print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert training_history(tmp_path)["loss"].tolist() == [0.5]

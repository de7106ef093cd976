"""The joined tables of a model: apart again they are what they were, and what is lacking is named."""

import math

import pandas as pd
import pytest
from measured_models import tables_of, write_files

from vicinal.audit.acceptance import lacking_files
from vicinal.errors import VicinalError
from vicinal.evaluation.files import (
    MEASURES,
    TABLES,
    read_measures,
    split_tables,
    table_files,
    write_measurements,
)
from vicinal.files import read_json, sha256, write_json, write_table
from vicinal.jobs.records import is_finished, manifest_of


@pytest.mark.parametrize("id_", ["teacher_s0", "student_s0"])
@pytest.mark.parametrize("empty", [None, "spread", "confusion"])
def test_joined_tables_come_apart_as_they_were(tmp_path, id_, empty):
    tables = {name: table for name, table in tables_of(id_).items() if name in TABLES}
    tables["metrics"].loc[0, "value"] = math.nan
    tables["vicinal"].loc[0, "value"] = math.inf
    if empty in tables:
        tables[empty] = tables[empty][:0]
    joined = table_files(tables)[MEASURES]
    write_table(tmp_path / MEASURES, joined)
    for found in (split_tables(joined), read_measures(tmp_path, id_.startswith("teacher"))):
        assert list(found) == list(tables)
        for name, table in found.items():
            pd.testing.assert_frame_equal(table, tables[name], check_exact=True)


@pytest.mark.parametrize(("id_", "table"), [("teacher_s2", "spread"), ("student_s0", "vicinal")])
def test_what_older_code_left_out_is_one_line(tmp_path, id_, table):
    tables = tables_of(id_)
    write_files(tmp_path, tables)
    is_teacher = id_.startswith("teacher")
    assert list(read_measures(tmp_path, is_teacher)) == ["metrics", "vicinal", "confusion", "spread"][: 3 + is_teacher]
    assert lacking_files(tmp_path, is_teacher) == []
    del tables[table]
    write_files(tmp_path, tables)
    with pytest.raises(VicinalError) as caught:
        read_measures(tmp_path, is_teacher)
    assert str(caught.value) == (
        f"{tmp_path / MEASURES}: made by older code, without the table {table}; "
        f"delete {tmp_path} and run ./reproduce, which measures it anew"
    )
    assert lacking_files(tmp_path, is_teacher) == [f"{table} in measures.parquet"]
    (tmp_path / "predictions.parquet").unlink()
    assert lacking_files(tmp_path, is_teacher) == ["predictions.parquet", f"{table} in measures.parquet"]
    (tmp_path / MEASURES).unlink()
    assert lacking_files(tmp_path, is_teacher) == ["measures.parquet", "predictions.parquet"]


def test_a_file_of_other_tables_is_one_line(tmp_path):
    pd.DataFrame({"value": [0.5]}).to_parquet(tmp_path / MEASURES, index=False)
    with pytest.raises(VicinalError) as caught:
        read_measures(tmp_path, is_teacher=False)
    fault = "made by older code, without the table metrics, vicinal, confusion; delete "
    assert str(caught.value).startswith(f"{tmp_path / MEASURES}: {fault}")
    (tmp_path / MEASURES).write_text("x")
    with pytest.raises(VicinalError, match="not a readable Parquet file"):
        read_measures(tmp_path, is_teacher=False)


def test_a_measurement_is_written_whole_or_not_at_all(tmp_path):
    model, folder = tmp_path / "model", tmp_path / "evaluations" / "m"
    write_json(model / "model.json", {"provenance": {"device": "cpu"}})
    tables = table_files(tables_of("student_s0"))
    done = []

    def measure(found, **fields):
        return lambda id_: (found, {**fields, "of": id_})

    wanted = {"m": {"id": "m", "code": "a"}}
    write_measurements(folder.parent, {"m": model}, wanted, measure(tables, values=[1]), measured=done.append)
    record = read_json(folder / "evaluation.json")
    assert record.pop("provenance")["device"] == "cpu"
    assert record == {
        "id": "m", "code": "a", "values": [1], "of": "m", "training": {"device": "cpu"},
        "sha256": {name: sha256(folder / name) for name in tables},
    }  # fmt: skip
    assert done == [1]
    assert {path.name for path in folder.iterdir()} == {*tables, "evaluation.json"}
    assert is_finished(folder / "evaluation.json", wanted["m"])
    assert manifest_of(folder.parent, ["m"]) == {"models": {"m": sha256(folder / "evaluation.json")}}
    # JSON has no NaN: the record cannot be written, after the tables.
    other = measure({"other.parquet": pd.DataFrame()}, values=math.nan)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_measurements(folder.parent, {"m": model}, {"m": {"id": "m", "code": "b"}}, other)
    assert is_finished(folder / "evaluation.json", wanted["m"])
    assert {path.name for path in folder.iterdir()} == {*tables, "evaluation.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["m"]

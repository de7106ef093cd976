"""The tidy tables of an experiment from tables written by hand; summaries against the statistics module."""

import hashlib
import json
import math
import statistics

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from measured_models import MODELS, SEEDS, columns, metric, tables_of, write, write_files

from scripts import run_script
from vicinal.analysis.tables import OF_MODELS, class_table, collect, model_table, not_finite, reliability, summarise
from vicinal.data.store import FORMAT
from vicinal.errors import VicinalError
from vicinal.jobs import fingerprint
from vicinal.results import HISTORY, model_folder

TABLES = (
    "metrics", "vicinal", "confusion", "reliability", "history", "spread", "similarity", "projection", "corruptions",
    "summary", "classes",
)  # fmt: skip


@pytest.fixture
def places(tmp_path):
    """The folder of every model's tables."""
    folders = {id_: tmp_path / id_ for id_ in MODELS}
    for id_, folder in folders.items():
        write(folder, id_)
    return folders


def collected(folders, models=MODELS):
    return collect(model_table(models), folders, folders)


def test_the_model_table_has_a_row_a_model_and_every_column():
    table = model_table(MODELS)
    assert table["model_id"].tolist() == list(MODELS)
    assert table.columns[: len(OF_MODELS)].tolist() == OF_MODELS
    assert "recipe_lr" in table
    assert not {"evaluation", "slug"} & set(table)
    teacher, student = table.iloc[0], table.iloc[1]
    assert (student["temperature"], student["alpha"], student["teacher"]) == (2.0, 1.0, "big")
    assert table["temperature"].dtype == float and table["temperature_std"].dtype == bool
    assert pd.isna(teacher["temperature"])
    assert math.isnan(teacher["alpha"])


def test_tables_are_tidy_and_lose_no_row(places):
    tables = collected(places)
    rows = {name: len(table) for name, table in tables.items()}
    assert rows == {
        "metrics": 6 * 4,
        "vicinal": 6 * 2,
        "confusion": 6 * 3,
        "reliability": 6 * 15,
        "history": 6 * 2,
        "spread": 3 * 3,
        "similarity": 3 * 3,
        "projection": 6 * 2,
    }
    for name, table in tables.items():
        if name not in ("similarity", "projection"):
            assert set(OF_MODELS) < set(table), name
            found = {id_: model["seed"] for id_, model in MODELS.items() if name != "spread" or "teacher" in id_}
            by_id = table.drop_duplicates("model_id").set_index("model_id")
            assert by_id["seed"].to_dict() == found, name
        texts = [c for c in table if table[c].dtype == object or isinstance(table[c].dtype, pd.StringDtype)]
        assert texts == [], name
    assert "recipe_lr" in tables["metrics"]
    assert "recipe_lr" not in tables["vicinal"]


def test_similarity_is_of_teachers(places):
    found = collected(places)["similarity"]
    assert found.columns.tolist() == ["model_id", "kind", "row", "column", "value"]
    assert found["model_id"].tolist() == [f"teacher_s{seed}" for seed in SEEDS for _ in range(3)]
    assert found.dtypes.astype(str).tolist() == ["category", "category", "int16", "int16", "float32"]
    assert found["kind"].tolist() == ["clean", "mixed", "linear"] * 3


def test_points_stay_with_their_model(places):
    found = collected(places)["projection"]
    assert found.columns.tolist() == ["model_id", "kind", "point", "label", "other", "lam", "x", "y"]
    assert found["model_id"].tolist() == [id_ for id_ in MODELS for _ in range(2)]
    assert found[["kind", "other", "lam", "y"]].iloc[-1].tolist() == ["mixed", 2, 0.5, 4.0]


@pytest.mark.parametrize(("name", "value"), [("similarity", "float32"), ("spread", "float64")])
def test_without_teachers_their_tables_are_empty(places, tmp_path, name, value):
    students = {id_: model for id_, model in MODELS.items() if model["role"] == "student"}
    found = collected(places, students)[name]
    assert found.empty
    assert found.columns.tolist() == collected(places)[name].columns.tolist()
    found.to_parquet(tmp_path / "table.parquet", index=False)
    read = pd.read_parquet(tmp_path / "table.parquet")
    assert read.dtypes.astype(str).to_dict()["value"] == value


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("metrics", "ece"),
        ("vicinal", "jsd"),
        ("confusion", "explained_share"),
        ("spread", "entropy_mixed"),
        ("similarity", "mixed"),
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_named_and_kept(places, table, name, value):
    contents = tables_of("teacher_s1")
    contents[table].loc[1, "value"] = value
    write_files(places["teacher_s1"], contents)
    tables = collected(places)
    assert not_finite(tables) == [f"table {table}: {name} of teacher_s1 is {value}"]
    contents[table].loc[1, "value"] = 0.0
    write_files(places["teacher_s1"], contents)
    assert not_finite(collected(places)) == []


@pytest.mark.parametrize("table", ["measures", "predictions", "projection", "similarity"])
def test_a_missing_or_corrupt_table_is_named(places, table):
    path = places["teacher_s2"] / f"{table}.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(VicinalError, match="not a readable Parquet file") as caught:
        collected(places)
    assert str(caught.value).startswith(f"{path}: ")
    path.unlink()
    with pytest.raises(VicinalError) as caught:
        collected(places)
    anew = f"delete {path.parent} and run ./reproduce, which measures it anew"
    assert str(caught.value) == f"{path}: no such file; {anew}"


def test_a_table_without_a_row_is_there_all_the_same(places):
    tables = tables_of("teacher_s0")
    for name in ("spread", "confusion"):
        tables[name] = tables[name][:0]
    write_files(places["teacher_s0"], tables)
    found = collected(places)
    assert set(found["spread"]["model_id"]) == {"teacher_s1", "teacher_s2"}
    assert "teacher_s0" not in set(found["confusion"]["model_id"])


def test_joined_files_give_exactly_the_tables_that_a_file_each_gave(places, tmp_path):
    models = model_table(MODELS)
    parts = {name: [] for name in ("metrics", "vicinal", "confusion", "spread")}
    for id_ in MODELS:
        for name, table in tables_of(id_).items():
            if name in parts:
                table.to_parquet(tmp_path / "one.parquet", index=False)
                parts[name].append(pd.read_parquet(tmp_path / "one.parquet").assign(model_id=id_))
    found = collected(places)
    for name, tables in parts.items():
        shared = models if name == "metrics" else models[OF_MODELS]
        own = pd.concat(tables, ignore_index=True)
        wanted = shared.merge(own.rename(columns={"temperature": "softmax_temperature"}), on="model_id")
        texts = [c for c in wanted if wanted[c].dtype == object or isinstance(wanted[c].dtype, pd.StringDtype)]
        pd.testing.assert_frame_equal(found[name], wanted.astype(dict.fromkeys(texts, "category")), check_exact=True)


def test_summary_is_mean_sd_and_number_over_seeds(places):
    tables = collected(places)
    summary = summarise(tables["metrics"])
    assert len(summary) == 2 * 2 * 2  # roles, splits, metrics
    assert not {"model_id", "seed", "value"} & set(summary)
    for row in summary.itertuples():
        values = [metric(f"{row.role}_s{seed}", row.split, row.metric) for seed in SEEDS]
        assert row.mean == pytest.approx(statistics.mean(values))
        assert row.sd == pytest.approx(statistics.stdev(values))
        assert row.n == 3


def test_one_seed_has_no_standard_deviation_and_settings_stay_apart(places):
    models = {
        "student_s0": MODELS["student_s0"],
        "student_s1": columns("student", 1, temperature="4"),
        "student_s2": columns("student", 2, temperature="4"),
    }
    summary = summarise(collected(places, models)["metrics"])
    of = summary[(summary["split"] == "test") & (summary["metric"] == "accuracy")].set_index("temperature")
    assert of["n"].to_dict() == {2: 1, 4: 2}
    assert math.isnan(of.loc[2, "sd"])
    values = [metric(f"student_s{seed}", "test", "accuracy") for seed in (1, 2)]
    assert of.loc[4, "sd"] == pytest.approx(statistics.stdev(values))


def test_reliability_has_fifteen_bins_of_the_predictions(places):
    table = reliability(pd.read_parquet(places["student_s0"] / "predictions.parquet"))
    assert table["low"].to_numpy() == pytest.approx(np.arange(15) / 15)
    assert table["high"].to_numpy() == pytest.approx(np.arange(1, 16) / 15)
    # 0.95, 0.97 and 1.0 in the last bin, all right; 0.4 = 6/15 (and a hair in float32) in the seventh, wrong.
    filled = table[table["count"] > 0]
    assert filled.index.tolist() == [6, 14]
    assert filled["count"].tolist() == [1, 3]
    assert filled["accuracy"].tolist() == [0.0, 1.0]
    assert filled["confidence"].to_numpy() == pytest.approx([0.4, (0.95 + 0.97 + 1.0) / 3], abs=1e-6)
    assert table["accuracy"].isna().sum() == 13


def test_class_table_lists_names_and_superclasses():
    table = class_table({"class_names": ["apple", "bear", "bed"], "superclass": [4, 8, 5]})
    assert table.to_dict("list") == {"label": [0, 1, 2], "name": ["apple", "bear", "bed"], "superclass": [4, 8, 5]}
    without = class_table({"class_names": ["0", "1"], "superclass": None})
    assert without["superclass"].isna().all()
    assert without.dtypes["superclass"] == table.dtypes["superclass"]


@pytest.fixture
def results(tmp_path):
    """A results folder as the evaluations leave it, and a plan file."""
    for id_, model in MODELS.items():
        place = tmp_path / "evaluations" / model["evaluation"] / id_
        write(place, id_)
        (place / "evaluation.json").write_text(json.dumps({"id": id_}))
        trained = model_folder(tmp_path, model["role"], id_)
        trained.mkdir(parents=True)
        (place / HISTORY).rename(trained / HISTORY)
    code = fingerprint.stage_fingerprint("experiments")
    plan = {"stage": "experiments", "id": "made_up", "key": "k", "code": code, "spec": {"models": MODELS}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    meta = {"format": FORMAT, "class_names": ["0", "1"], "superclass": None}
    (tmp_path / "data.json").write_text(json.dumps(meta))
    return tmp_path


def aggregated(results):
    """Run the script on the results folder."""
    paths = {"--plan": "plan.json", "--data": "data.json", "--results": "", "--output": "made_up"}
    return run_script("aggregate.py", *(part for name, path in paths.items() for part in (name, results / path)))


def test_script_records_what_it_wrote_and_from_what(results):
    assert aggregated(results).returncode == 0
    record = json.loads((results / "made_up" / "provenance.json").read_text())
    tables = {path.name for path in (results / "made_up").iterdir() if path.suffix not in (".json", ".key")}
    paper = {f"summary.{ending}" for ending in ("csv", "tex", "md")}
    assert set(record["sha256"]) == tables == {f"{name}.parquet" for name in TABLES} | paper
    assert pq.read_schema(results / "made_up" / "metrics.parquet").field("alpha").metadata[b"meaning"]
    assert "big → small, KD + mixup, T = 2" in (results / "made_up" / "summary.md").read_text()
    for name, expected in record["sha256"].items():
        assert hashlib.sha256((results / "made_up" / name).read_bytes()).hexdigest() == expected
    records = {path.parent.name: path for path in results.glob("evaluations/*/*/evaluation.json")}
    assert set(records) == set(MODELS)
    assert record["made_from"] == {
        id_: hashlib.sha256(path.read_bytes()).hexdigest() for id_, path in records.items()
    }  # fmt: skip


def test_script_names_a_missing_record(results):
    path = next(results.glob("evaluations/*/teacher_s1/evaluation.json"))
    path.unlink()
    done = aggregated(results)
    assert (done.returncode, done.stderr) == (1, f"error: {path}: no such file or directory\n")
    assert not (results / "made_up" / "provenance.json").exists()

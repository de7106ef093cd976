"""The dictionary of the tables: complete, written into the files, and the same as the page."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from made_up_experiment import models
from measured_models import MODELS, write

from vicinal.analysis.claims.verdict import COLUMNS as OF_CLAIMS
from vicinal.analysis.dictionary import COLUMNS, METRICS, TABLES, described, entry, metric_entry, page
from vicinal.analysis.schema import tidy
from vicinal.analysis.tables import class_table, collect, corruption_table, model_table, summarise
from vicinal.audit.verify.analysis import first_difference
from vicinal.evaluation.confusion import confusion_table
from vicinal.evaluation.measures import clean_metrics, spread_table, vicinal_table
from vicinal.evaluation.pairs import vicinal_pairs
from vicinal.files import write_table

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tables(tmp_path):
    """All tables of an experiment, made by the code that makes them in a run."""
    folders = {id_: tmp_path / id_ for id_ in MODELS}
    for id_, folder in folders.items():
        write(folder, id_)
    table = model_table(MODELS)
    found = collect(table, folders, folders)
    found |= {"corruptions": corruption_table(table, {}), "summary": summarise(found["metrics"])}
    return found | {"classes": class_table({"class_names": ["a", "b"], "superclass": None})}


def test_the_page_is_what_the_code_makes():
    assert (ROOT / "workflow/docs/columns.md").read_text(encoding="utf-8") == page()


def test_every_column_of_every_table_is_in_the_dictionary(tables):
    assert {*tables, "claims"} == set(TABLES)
    for name, columns in {**tables, "claims": OF_CLAIMS}.items():
        assert [column for column in columns if entry(name, column) is None] == []
    used = {column for columns in [*tables.values(), OF_CLAIMS] for column in columns}
    written = {name.rpartition(".")[2] for name in COLUMNS}
    assert written - used == {"teacher_id", "pretraining_mixup", "teacher_pretraining_mixup"}  # not in these


def test_every_metric_is_in_the_dictionary():
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(40, 4)), np.arange(40) % 4
    pairs = vicinal_pairs(labels, 300, 0)
    of_pairs = (logits[pairs.i], logits[pairs.j], generator.normal(size=(300, 4)))
    found = {
        "metrics": set(clean_metrics(logits, labels, 1.5)),
        "vicinal": set(vicinal_table(*of_pairs, pairs, labels, of_pairs[2], 1.2)["metric"]),
        "spread": set(spread_table(*of_pairs, pairs, labels)["metric"]),
        "confusion": set(confusion_table(logits, of_pairs[2], pairs, labels)["metric"]),
    }
    for names in found.values():
        assert [name for name in names if metric_entry(name) is None] == []
    assert metric_entry("ood_auroc_svhn") and metric_entry("confidence_gap_c0.5")
    assert metric_entry("no_such_metric") is None
    every = [name for known in METRICS.values() for name in known]
    assert len(every) == len(set(every))


def test_the_file_says_unit_and_meaning(tables, tmp_path):
    path = tmp_path / "metrics.parquet"
    write_table(path, described("metrics", tables["metrics"]))
    schema = pq.read_schema(path)
    assert schema.field("temperature").metadata[b"meaning"].startswith(b"T of distillation")
    metrics = json.loads(schema.field("metric").metadata[b"metrics"])
    assert metrics["accuracy"] == {"unit": "fraction", "meaning": "share of right answers"}
    assert first_difference(pd.read_parquet(path), tables["metrics"]) is None


def distilled_at(*temperatures):
    """Return the metrics of made-up models as they are written, with their temperatures replaced in turn."""
    new = dict(zip(("1", "2", "4"), temperatures, strict=True))
    specs = {row.pop("model_id"): row for row in models().to_dict("records")}
    for row in specs.values():
        row |= {name: None if pd.isna(value) else new.get(value, value) for name, value in row.items()}
    return model_table(specs).assign(split="test", metric="accuracy", value=0.5)


def test_a_temperature_is_found_as_a_number():
    metrics = distilled_at("0.5", "2", "16")
    expected = set(models().query("temperature == '2'")["model_id"])
    assert set(metrics[metrics["temperature"] == 2]["model_id"]) == expected
    assert metrics["temperature"].isna().equals(metrics["teacher"].isna())
    assert not metrics["temperature_std"].any()
    assert set(tidy("metrics", metrics)["temperature"].dropna()) == {"0.5", "2", "16"}  # what figures and claims read


def test_std_has_a_column_of_its_own():
    metrics = distilled_at("1", "2", "std")
    expected = models()["temperature"].eq("4").tolist()
    assert metrics["temperature_std"].tolist() == expected and metrics["temperature_std"].dtype == bool
    assert metrics[expected]["temperature"].isna().all() and metrics["temperature"].dtype == float
    again = tidy("metrics", metrics)
    assert again["temperature"].eq("std").tolist() == expected
    assert "temperature_std" not in again

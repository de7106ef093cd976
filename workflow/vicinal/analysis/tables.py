"""From the tables of single models to the tidy tables of an experiment."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vicinal.analysis.origin import evaluations, on_corruptions
from vicinal.analysis.schema import MODEL_COLUMNS, PRETRAINED, STD, TEACHER, TEACHER_PRETRAINED, TEMPERATURE_STD
from vicinal.evaluation import metrics
from vicinal.evaluation.files import PREDICTIONS, PROJECTION, SIMILARITIES, TABLES, measure_anew, read_measures
from vicinal.evaluation.projection import COLUMNS as POINTS
from vicinal.evaluation.robustness import read_robustness, robustness_rows
from vicinal.files import read_table
from vicinal.results import model_folder
from vicinal.spec import more_weights
from vicinal.training.history import training_history

# What all tables have of a model, as they are written.
_AT = MODEL_COLUMNS.index("temperature") + 1
OF_MODELS = [*MODEL_COLUMNS[:_AT], TEMPERATURE_STD, *MODEL_COLUMNS[_AT:]]
# Columns that tell apart the replicates of a setting; a summary is over them.
REPLICATE = ["model_id", "seed", "teacher_id"]
# The temperature that a model's logits were divided by to measure it, beside the one it was distilled at.
SOFTMAX_TEMPERATURE = "softmax_temperature"
# The columns of the table of class similarity, which only teachers have.
SIMILARITY = {"kind": "category", "row": "int16", "column": "int16", "value": "float32"}
# The tables whose values claims and figures are made from, and their column that names a value.
_NAMED = dict.fromkeys(("metrics", "vicinal", "confusion", "spread", "corruptions"), "metric") | {"similarity": "kind"}


def make_tables(spec: Mapping[str, Any], results: Path, meta: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return all tables of an experiment by name: those of ``collect``, corruptions, summary and classes.

    Args:
        spec: of the tables, from their plan.
        results: the results folder.
        meta: the ``meta.json`` of the experiment's data store.

    Raises:
        VicinalError: see ``collect`` and ``corruption_table``.
    """
    models = model_table(spec["models"])
    trained = {id_: model_folder(results, model["role"], id_) for id_, model in spec["models"].items()}
    tables = collect(models, evaluations(spec, results), trained)
    tables["corruptions"] = corruption_table(models, on_corruptions(spec, results))
    tables["summary"] = summarise(tables["metrics"])
    tables["classes"] = class_table(meta)
    return tables


def model_table(models: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row a model: its id and every setting of its spec.

    ``temperature`` is a number, missing where it is ``std``; ``TEMPERATURE_STD`` tells these models.
    """
    table = pd.DataFrame([{"model_id": id_, **columns} for id_, columns in models.items()])
    table = table.drop(columns=["evaluation", "slug"], errors="ignore")
    for column in MODEL_COLUMNS:
        if column not in table:
            table[column] = None
    is_std = table["temperature"].eq(STD)
    table["temperature"] = table["temperature"].mask(is_std, None)
    table[TEMPERATURE_STD] = is_std.astype(bool)
    table = table[[*OF_MODELS, *(column for column in table if column not in OF_MODELS)]]
    for column in ("alpha", "teacher_mixup_alpha", "temperature", "logit_scale"):
        table[column] = table[column].astype("float64")
    if table["seed"].isna().any():  # a given teacher is one for all seeds
        table["seed"] = table["seed"].astype("Int64")
    return table.astype({"teacher": "string"})


def collect(models: pd.DataFrame, folders: Mapping[str, Path], trained: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Return the tidy tables: metrics, vicinal, confusion, reliability, history, spread, similarity, projection.

    All have the columns of the models beside their own, except similarity and projection: they have many rows, and
    ``model_id`` only. Similarity and spread are of teachers. In confusion the temperature that was measured at is
    ``softmax_temperature``.

    Args:
        models: see ``model_table``.
        folders: for each model id the folder of its evaluation's tables.
        trained: for each model id the folder of the trained model, with its history.

    Raises:
        VicinalError: a table is missing or unreadable, or lacks something because older code measured it.
    """
    parts: dict[str, list[pd.DataFrame]] = defaultdict(list)
    spread, similarity, points = {}, {}, {}
    for id_, role in zip(models["model_id"], models["role"], strict=True):
        folder = folders[id_]
        measures = read_measures(folder, role == TEACHER)
        tables = {
            "metrics": measures["metrics"],
            "vicinal": measures["vicinal"],
            "confusion": measures["confusion"].rename(columns={"temperature": SOFTMAX_TEMPERATURE}),
            "reliability": reliability(read_table(folder / PREDICTIONS, measure_anew(folder))),
            "history": training_history(trained[id_]),
        }
        for name, table in tables.items():
            parts[name].append(table.assign(model_id=id_))
        points[id_] = read_table(folder / PROJECTION, measure_anew(folder))
        if role == TEACHER:
            spread[id_] = measures["spread"]
            similarity[id_] = read_table(folder / SIMILARITIES, measure_anew(folder))
    shared = _shared(models)
    shared = models[[*shared, *(flag for flag in (PRETRAINED, TEACHER_PRETRAINED) if flag in models)]]
    tidy = {
        name: (models if name == "metrics" else shared).merge(pd.concat(tables, ignore_index=True), on="model_id")
        for name, tables in parts.items()
    }
    tidy["spread"] = shared.merge(_with_ids(spread, TABLES["spread"]).astype({"model_id": object}), on="model_id")
    tidy["similarity"] = _with_ids(similarity, SIMILARITY)
    tidy["projection"] = _with_ids(points, POINTS)
    return {name: _categorical(table) for name, table in tidy.items()}


def _shared(models: pd.DataFrame) -> list[str]:
    """Return the columns that all tables have: those of every experiment, and the weights of more terms of the loss."""
    return [*OF_MODELS, *more_weights(models)]


def _with_ids(tables: Mapping[str, pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the tables of models by id as one, with ``model_id`` before their own columns; empty without tables."""
    rows = np.array([len(table) for table in tables.values()], dtype=np.int64)
    # As categories: there may be millions of rows.
    ids = pd.Categorical.from_codes(np.repeat(np.arange(len(tables)), rows), list(tables))
    none = pd.DataFrame(columns=list(columns)).astype(dict(columns))
    table = pd.concat(tables.values(), ignore_index=True) if tables else none
    table.insert(0, "model_id", ids)
    return table


def corruption_table(models: pd.DataFrame, folders: Mapping[str, Path]) -> pd.DataFrame:
    """Return the metrics on corrupted images, with the columns of the models; typed and empty where there are none.

    Args:
        models: see ``model_table``.
        folders: for each model id that was measured the folder of its record.

    Raises:
        VicinalError: a record is missing or unreadable, or has no such metrics in it.
    """
    parts = [robustness_rows({}, 0).assign(model_id=pd.Series(dtype=object))]
    parts += [read_robustness(folder).assign(model_id=id_) for id_, folder in folders.items()]
    found = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return _categorical(models[_shared(models)].merge(found, on="model_id"))


def class_table(meta: Mapping[str, Any]) -> pd.DataFrame:
    """Return the classes of a data store: label, name and superclass (a number; missing where there is none).

    ``meta`` is the store's, with ``class_names`` and ``superclass``: lists by label, the latter may be None.
    """
    names = meta["class_names"]
    superclass = pd.array(meta["superclass"] or [None] * len(names), dtype="Int16")
    return pd.DataFrame({"label": np.arange(len(names), dtype=np.int16), "name": names, "superclass": superclass})


def reliability(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the reliability diagram of one model's predictions: count, mean confidence and accuracy in 15 bins."""
    confidence = predictions["confidence"].to_numpy(dtype=np.float64)
    correct = (predictions["prediction"] == predictions["label"]).to_numpy()
    return pd.DataFrame(metrics.confidence_bins(confidence, correct)._asdict())


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean, standard deviation (n − 1) and n over seeds of every setting × split × metric."""
    keys = [column for column in table if column not in [*REPLICATE, "value"]]
    groups = table.groupby(keys, dropna=False, observed=True, sort=False)["value"]
    return groups.agg(mean="mean", sd="std", n="count").reset_index()


def not_finite(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return a line for each value of the tables that is NaN or infinite: claims and figures cannot use it."""
    lines = []
    for name, what in _NAMED.items():
        if name in tables:
            bad = tables[name][~np.isfinite(tables[name]["value"])]
            found = bad[["model_id", what, "value"]].drop_duplicates().itertuples(index=False)
            lines += [f"table {name}: {metric} of {id_} is {value}" for id_, metric, value in found]
    return lines


def _categorical(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with text as categories: its rows repeat the same few words."""
    texts = [name for name in table if table[name].dtype == object or isinstance(table[name].dtype, pd.StringDtype)]
    return table.astype(dict.fromkeys(texts, "category"))

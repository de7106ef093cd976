"""From the tables of single models to the tidy tables of an experiment."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vicinal.errors import VicinalError
from vicinal.evaluation import metrics
from vicinal.evaluation.files import PREDICTIONS, SIMILARITIES, TABLES, measure_anew, read_measures
from vicinal.evaluation.robustness import read_robustness, robustness_rows
from vicinal.files import read_table, sha256
from vicinal.jobs.plan import check_id
from vicinal.results import EVALUATION
from vicinal.spec import more_weights
from vicinal.training.history import training_history

# Columns that say which replicate a row is of; a summary is over them.
REPLICATE = ["model_id", "seed", "teacher_id"]
MODEL_COLUMNS = [
    "model_id", "role", "data", "model", "method", "seed", "alpha", "teacher", "teacher_mixup_alpha", "temperature",
    "logit_scale", "kd_weight", "ce_weight",
]  # fmt: skip
# Of experiments whose networks start from published weights: whether those were trained with mixup.
FLAGS = ("pretraining_mixup", "teacher_pretraining_mixup")
# The temperature that a model's logits were divided by to measure it, beside the one it was distilled at.
SOFTMAX_TEMPERATURE = "softmax_temperature"
# The columns of the table of class similarity, which only teachers have.
SIMILARITY = {"kind": "category", "row": "int16", "column": "int16", "value": "float32"}


def model_table(models: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row a model: its id and every setting of its spec."""
    table = pd.DataFrame([{"model_id": id_, **columns} for id_, columns in models.items()])
    table = table.drop(columns=["evaluation", "slug"], errors="ignore")
    for column in MODEL_COLUMNS:
        if column not in table:
            table[column] = None
    table = table[MODEL_COLUMNS + [column for column in table if column not in MODEL_COLUMNS]]
    for column in ("alpha", "teacher_mixup_alpha", "logit_scale"):
        table[column] = table[column].astype("float64")
    if table["seed"].isna().any():  # a given teacher is one for all seeds
        table["seed"] = table["seed"].astype("Int64")
    return table.astype(dict.fromkeys(("teacher", "temperature"), "string"))


def collect(models: pd.DataFrame, folders: Mapping[str, Path], trained: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Return the tables of an experiment, tidy: metrics, vicinal, confusion, reliability, history, spread, similarity.

    All have the columns of the models beside their own, except similarity: it has many rows, and ``model_id`` only.
    Similarity and spread are of teachers. In confusion the temperature that was measured at is ``softmax_temperature``.

    Args:
        models: see ``model_table``.
        folders: for each model id the folder of its evaluation's tables.
        trained: for each model id the folder of the trained model, with its history.

    Raises:
        VicinalError: a table is missing or unreadable, or one that was measured by older code lacks what is wanted.
    """
    parts: dict[str, list[pd.DataFrame]] = defaultdict(list)
    spread = {}
    for id_, is_teacher in zip(models["model_id"], models["role"] == "teacher", strict=True):
        folder = folders[id_]
        measures = read_measures(folder, is_teacher)
        tables = {
            "metrics": measures["metrics"],
            "vicinal": measures["vicinal"],
            "confusion": measures["confusion"].rename(columns={"temperature": SOFTMAX_TEMPERATURE}),
            "reliability": reliability(read_table(folder / PREDICTIONS, measure_anew(folder))),
            "history": training_history(trained[id_]),
        }
        for name, table in tables.items():
            parts[name].append(table.assign(model_id=id_))
        if is_teacher:
            spread[id_] = measures["spread"]
    shared = models[[*_shared(models), *(flag for flag in FLAGS if flag in models)]]
    described = {"metrics": models}
    tidy = {
        name: described.get(name, shared).merge(pd.concat(tables, ignore_index=True), on="model_id")
        for name, tables in parts.items()
    }
    tidy["spread"] = shared.merge(_of_teachers(spread, TABLES["spread"]).astype({"model_id": object}), on="model_id")
    similarity = {id_: read_table(folders[id_] / SIMILARITIES, measure_anew(folders[id_])) for id_ in spread}
    tidy["similarity"] = _of_teachers(similarity, SIMILARITY)
    return {name: _categorical(table) for name, table in tidy.items()}


def _shared(models: pd.DataFrame) -> list[str]:
    """Return the columns that all tables have: those of every experiment, and the weights of more terms of the loss."""
    return [*MODEL_COLUMNS, *more_weights(models)]


def _of_teachers(tables: Mapping[str, pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    """Return the tables of teachers as one, with ``model_id`` before their own columns; empty without teachers."""
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


def corruption_sources(models: Mapping[str, Any], units: Mapping[str, str], results: Path) -> dict[str, Path]:
    """Return model id → folder of its measurement on corrupted images.

    Args:
        models: ids of the experiment's models.
        units: model id → id of its teacher or cohort.
        results: the results folder.

    Raises:
        VicinalError: an id can be none.
    """
    for id_ in units.values():
        check_id(id_, "corrupted")
    return {id_: results / "robustness" / unit / id_ for id_, unit in units.items() if id_ in models}


def evaluation_sums(folders: Mapping[str, Path]) -> dict[str, str]:
    """Return the SHA-256 of the record (evaluation.json) of each model's evaluation; it holds those of the tables.

    Args:
        folders: for each model id the folder of its evaluation's tables.

    Raises:
        VicinalError: a record is missing.
    """
    records = {id_: folder / EVALUATION for id_, folder in folders.items()}
    for path in records.values():
        if not path.exists():
            raise VicinalError(f"{path}: no such file; run ./reproduce to make it")
    return {id_: sha256(path) for id_, path in records.items()}


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
    """Return a line for each value of the tables that is NaN or infinite: claims and figures can say nothing of it."""
    lines = []
    names = dict.fromkeys(("metrics", "vicinal", "confusion", "spread", "corruptions"), "metric")
    for name, what in (names | {"similarity": "kind"}).items():
        if name not in tables:
            continue
        bad = tables[name][~np.isfinite(tables[name]["value"])]
        found = bad[["model_id", what, "value"]].drop_duplicates().itertuples(index=False)
        lines += [f"table {name}: {metric} of {id_} is {value}" for id_, metric, value in found]
    return lines


def _categorical(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with text as categories: its rows repeat the same few words."""
    texts = [
        column for column in table if isinstance(table[column].dtype, pd.StringDtype) or table[column].dtype == object
    ]
    return table.astype(dict.fromkeys(texts, "category"))

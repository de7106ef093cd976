"""Made-up models of an experiment with the tables of their evaluations, small enough to check by hand."""

import numpy as np
import pandas as pd

from vicinal.evaluation.files import table_files
from vicinal.evaluation.projection import COLUMNS as POINTS
from vicinal.files import write_table
from vicinal.results import HISTORY
from vicinal.training.history import history_table

SEEDS = (0, 1, 2)


def columns(role, seed, **other):
    """Return what an experiment's plan says of a model."""
    teacher = {"teacher": "big", "temperature": "2", "logit_scale": 1.0} if role == "student" else {}
    return {
        "evaluation": f"{role}_s{seed}-00000000",
        "slug": "any",
        "role": role,
        "data": "digits",
        "model": "small" if role == "student" else "big",
        "method": "kd_mixup" if role == "student" else "teacher",
        "seed": seed,
        "alpha": 1.0 if role == "student" else None,
        **teacher,
        "recipe_lr": 0.1,
        **other,
    }


MODELS = {f"{role}_s{seed}": columns(role, seed) for seed in SEEDS for role in ("teacher", "student")}


def metric(id_, split, name):
    """Return a value that tells where it is from."""
    return 10 * sorted(MODELS).index(id_) + (split == "test") + {"accuracy": 0.5, "ece": 0.25}[name] ** 2


def tables_of(id_):
    """Return the tables of a model's evaluation, by name."""
    splits, names = ("validation", "test"), ("accuracy", "ece")
    tables = {
        "metrics": pd.DataFrame([{"split": s, "metric": m, "value": metric(id_, s, m)} for s in splits for m in names]),
        "vicinal": pd.DataFrame(
            {
                "split": "test",
                "pairs": "all",
                "lam_low": 0.0,
                "lam_high": 1.0,
                "metric": ["nonlinearity", "jsd"],
                "value": [1.0, 0.5],
                "count": 40,
            }
        ),
        "confusion": pd.DataFrame(
            {
                "split": "test",
                "temperature": [1.0, 2.0, 16.0],
                "metric": "explained_share",
                "value": [0.1, 0.2, 0.3],
                "count": 12,
            }
        ),
        "predictions": pd.DataFrame(
            {
                "index": np.arange(4, dtype=np.int32),
                "label": np.array([0, 1, 1, 0], dtype=np.int32),
                "prediction": np.array([0, 1, 0, 0], dtype=np.int32),
                "confidence": np.array([0.95, 0.97, 0.4, 1.0], dtype=np.float32),
            }
        ),
    }
    tables["projection"] = pd.DataFrame(
        {"kind": ["mean", "mixed"], "point": 0, "label": 0, "other": [0, 2], "lam": [1, 0.5], "x": 0.25, "y": 4.0}
    ).astype(POINTS)
    if id_.startswith("teacher"):
        tables["spread"] = pd.DataFrame(
            {
                "split": "test",
                "lam_low": [0.0, 0.0, 0.05],
                "lam_high": [1.0, 0.05, 0.1],
                "metric": "entropy_mixed",
                "quantile": [0.05, 0.5, 0.95],
                "value": [0.125, 0.5, 2.0],
                "count": [40, 4, 4],
            }
        )
        tables["similarity"] = pd.DataFrame(
            {
                "kind": pd.Categorical(["clean", "mixed", "linear"]),
                "row": np.array([0, 0, 1], dtype=np.int16),
                "column": np.array([1, 1, 0], dtype=np.int16),
                "value": np.array([1, 0.5, 0.25], dtype=np.float32),
            }
        )
    return tables


def write(folder, id_):
    """Write the files of a model's evaluation, and its history, into a new folder."""
    folder.mkdir(parents=True)
    write_files(folder, tables_of(id_))
    rows = [{"epoch": epoch, "lr": 0.1, "loss": 3.0 - epoch} for epoch in (1, 2)]
    write_table(folder / HISTORY, history_table(rows))


def write_files(folder, tables):
    """Write tables of an evaluation as the job does."""
    for name, table in table_files(tables).items():
        write_table(folder / name, table)

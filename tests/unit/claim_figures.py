"""Small made-up tables for the figures that go with the claims."""

import itertools
from functools import cache, partial

import figure_tables
import numpy as np
import pandas as pd
from figure_tables import frame

from vicinal.evaluation.confusion import similarity_table, similarity_tests

NAMES = ("confusion", "similarity", "inheritance", "overconfidence")
SCALES = (0.5, 0.75, 1.0, 1.5, 2.0)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SPREAD = (
    "entropy_clean", "entropy_mixed", "entropy_linear", "own_mass_clean", "source_mass_mixed", "source_mass_linear",
)  # fmt: skip
grid = partial(figure_tables.grid, seeds=4)


def tables_of(models, classes=5, superclass=None, names=None, zero=(), seed=0):
    """Return the tables that these figures read, with random values; students in ``zero`` have an OE of 0."""
    rng = np.random.default_rng(seed)
    models = frame(models)
    lam = [(0.0, 1.0), *((b / 20, (b + 1) / 20) for b in range(20))]
    metrics, spread, confusion, similarity = [], [], [], []
    for row in models.itertuples():
        level = {"ce": 0.1, "ce_mixup": 0.003, "kd": 0.05, "kd_mixup": 0.02}[row.method]
        for split in ("validation", "test"):
            values = {
                "accuracy": rng.uniform(0.7, 0.9),
                "oe": 0.0 if (row.method, row.seed) in zero else level * np.exp(rng.normal(0, 0.5)),
                "confidence_gap": rng.normal(0, 0.05),
            }
            if row.role == "teacher":
                values |= {f"confidence_gap_c{c:g}": rng.normal(c / 10, 0.02) for c in SCALES if c != 1}
            metrics += [(row.model_id, split, name, value) for name, value in values.items()]
        # Of teachers only; the figure is of the test split.
        for split, (low, high) in itertools.product(("train", "test"), lam) if row.role == "teacher" else ():
            height = np.sin(np.pi * (low + high) / 2)
            for name in SPREAD:
                own = np.sort(rng.uniform(0, height + 0.5 if name.startswith("entropy") else 1, len(QUANTILES)))
                for quantile, value in zip(QUANTILES, own, strict=True):
                    spread.append((row.model_id, split, low, high, name, quantile, value, 100))
        matrices = {}
        for kind in ("clean", "mixed", "linear"):
            matrix = rng.uniform(0.05, 1, (classes, classes))
            np.fill_diagonal(matrix, np.nan)
            matrices[kind] = matrix / np.nansum(matrix, axis=1, keepdims=True)
        if classes == 2:
            matrices |= dict.fromkeys(("mixed", "linear"), np.full((2, 2), np.nan))
        if classes > 2:
            confusion.append((row.model_id, "test", 1.0, "explained_share", 0.2, 10))
        if row.role == "teacher":
            tests = similarity_tests(matrices).itertuples(index=False)
            confusion += [(row.model_id, "test", t, metric, value, count) for t, metric, value, count in tests]
            similarity.append(similarity_table(matrices).assign(model_id=row.model_id))
    columns = {
        "metrics": (metrics, ["model_id", "split", "metric", "value"]),
        "spread": (spread, ["model_id", "split", "lam_low", "lam_high", "metric", "quantile", "value", "count"]),
        "confusion": (confusion, ["model_id", "split", "softmax_temperature", "metric", "value", "count"]),
    }
    tables = {name: models.merge(pd.DataFrame(rows, columns=names)) for name, (rows, names) in columns.items()}
    none = similarity_table({"clean": np.full((2, 2), np.nan)}).assign(model_id="")
    tables["similarity"] = pd.concat(similarity, ignore_index=True) if similarity else none
    for name, table in tables.items():
        texts = [column for column in table if not pd.api.types.is_numeric_dtype(table[column])]
        tables[name] = table.astype(dict.fromkeys(texts, "category"))
    tables["classes"] = pd.DataFrame(
        {
            "label": np.arange(classes, dtype=np.int16),
            "name": names or [str(i) for i in range(classes)],
            "superclass": pd.array(superclass or [None] * classes, dtype="Int16"),
        }
    )
    return tables


@cache
def usual():
    scaled = grid(methods=("kd_mixup",), temperatures=("2",), scales=SCALES)
    return tables_of(grid(teachers=("big", "bigger")) + scaled, zero={("ce_mixup", 0), ("ce_mixup", 2)})

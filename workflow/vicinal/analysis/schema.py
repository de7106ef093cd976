"""The tables of an experiment: what columns each has, and the one check of them, when they are read."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vicinal.errors import VicinalError
from vicinal.files import read_table
from vicinal.spec import more_weights

_TEXTS = (
    "model_id",
    "role",
    "data",
    "model",
    "method",
    "teacher",
    "temperature",
    "split",
    "pairs",
    "metric",
    "kind",
    "name",
    "corruption",
)
_MODEL = (
    "model_id", "role", "data", "model", "method", "seed", "alpha", "teacher", "teacher_mixup_alpha", "temperature",
    "logit_scale", "kd_weight", "ce_weight",
)  # fmt: skip
_ALWAYS = ("model_id", "role", "model", "method", "split", "metric", "corruption")  # never empty
STD = "std"
TEACHER, STUDENT = "teacher", "student"
_OF_DISTILLED = ("teacher", "temperature", "logit_scale", "kd_weight", "ce_weight")
# Columns that start so are settings of the recipe and of the data.
VARIANT = ("recipe_", "data_")
_AGAIN = "make the tables again with ./reproduce"


class _Table(NamedTuple):
    """``own`` and ``keys`` tell the rows apart; ``finite``: rows whose value is NaN or infinite are left out."""

    keys: tuple[str, ...]
    values: tuple[str, ...]
    finite: bool = False
    own: tuple[str, ...] = _MODEL


_TABLES = {
    "metrics": _Table(("split", "metric"), ("value",), finite=True),
    "vicinal": _Table(("split", "pairs", "lam_low", "lam_high", "metric"), ("value",), finite=True),
    "confusion": _Table(("split", "softmax_temperature", "metric"), ("value",), finite=True),
    "spread": _Table(("split", "lam_low", "lam_high", "metric", "quantile"), ("value",), finite=True),
    "corruptions": _Table(("corruption", "severity", "metric"), ("value",), finite=True),
    "reliability": _Table(("low",), ("high", "count", "confidence", "accuracy")),
    "history": _Table(("epoch",), ("loss", "validation_accuracy")),
    "similarity": _Table(("kind", "row", "column"), ("value",), finite=True, own=("model_id",)),
    "classes": _Table(("label",), ("name", "superclass"), own=()),
}


def read_tidy(path: Path) -> pd.DataFrame:
    """Return a table of an experiment from its file (results/NAME/TABLE.parquet), as ``tidy`` does.

    Raises:
        VicinalError: the file is missing, unreadable, or not the table that its name says.
    """
    return tidy(path.stem, read_table(path))


def tidy(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a ``validated`` table with each row once, and without the rows whose value is NaN or infinite.

    Only reliability and history keep such values: there they may be. Unknown tables are returned as they are.

    Raises:
        VicinalError: see ``validated``; or a row occurs twice, or two runs have the same setting and seed.
    """
    if name not in _TABLES:
        return table
    known = _TABLES[name]
    table = validated(name, table)
    if known.finite:
        table = table[np.isfinite(table["value"].to_numpy(dtype=float))]
    if name == "metrics":  # it alone has every setting, so that equal rows are equal runs
        settings = table.drop(columns=[*known.keys, *known.values]).drop_duplicates()
        again = settings[settings.drop(columns="model_id").duplicated()]
        if len(again):
            raise VicinalError(f"table {name}: {again['model_id'].iloc[0]}: another run has this setting and seed")
    keys = [*(["model_id"] if known.own else []), *known.keys]
    again = table[table.duplicated(keys)]
    if len(again):
        which = ", ".join(f"{key} {again.iloc[0][key]}" for key in keys)
        raise VicinalError(f"table {name}: {which} occurs twice; {_AGAIN}")
    return table


def validated(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a known table with its columns in their types: text as it is, numbers as float64 or int64.

    Temperatures are written alike (2.0 as 2).

    Raises:
        VicinalError: a column is missing or empty, a value is no number, two runs have one id, or the settings of a run
            contradict each other.
    """
    known = _TABLES[name]
    columns = (*known.own, *known.keys, *known.values)
    absent = [column for column in columns if column not in table]
    if absent:
        raise VicinalError(f"table {name}: column {absent[0]} is missing; {_AGAIN}")
    for column in columns:
        if column in _ALWAYS and table[column].isna().any():
            raise VicinalError(f"table {name}: {column} is empty in a row; {_AGAIN}")
    numbers = {c: _numbers(name, table, c) for c in (*columns, *more_weights(table)) if c not in _TEXTS}
    table = table.assign(**numbers)
    if known.own == _MODEL:
        table = table.assign(temperature=_temperatures(name, table["temperature"]))
        _check_models(name, table)
    return table


def _check_models(name: str, table: pd.DataFrame) -> None:
    more = [column for column in table if str(column).startswith(VARIANT)]
    models = table[[*_MODEL, *more_weights(table), *more]].drop_duplicates()
    again = models[models["model_id"].duplicated()]
    if len(again):
        raise VicinalError(f"table {name}: two runs have the id {again['model_id'].iloc[0]}; give each run its own")
    broken = models["seed"][models["seed"].notna() & (models["seed"] % 1 != 0)]
    if len(broken):
        raise VicinalError(f"table {name}: seed: {broken.iloc[0]} is no whole number; {_AGAIN}")
    for row in models.to_dict("records"):
        wrong = contradiction(row)
        if wrong:
            raise VicinalError(f"table {name}: {row['model_id']}: {wrong}; {_AGAIN}")


def _numbers(name: str, table: pd.DataFrame, column: str) -> pd.Series:
    values = table[column]
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":
        return values
    try:
        found = pd.to_numeric(values.astype(object).where(values.notna(), np.nan))
    except (TypeError, ValueError) as error:
        raise VicinalError(f"table {name}: column {column}: {error}; {_AGAIN}") from None
    if column == "seed":  # a given teacher is one for all seeds, and has none
        return found.astype("float64" if found.isna().any() else "int64")
    return found.astype("float64")


def _temperatures(name: str, column: pd.Series) -> pd.Series:
    alike = {}
    for value in column.dropna().unique():
        t = temperature(value, f"table {name}: temperature")
        alike[value] = t if isinstance(t, str) else f"{t:g}"
    return column.astype(object).map(alike)


def contradiction(row: Mapping[str, Any]) -> str:
    """Return what no run of this workflow can be, from the settings of a model; empty where all is well."""
    known = {name: None if missing(value) else value for name, value in row.items()}
    absent = [name for name in ("role", "data", "model", "method") if known[name] is None]
    if absent:
        return f"{absent[0]} is missing"
    role, method, alpha, teacher = (known[name] for name in ("role", "method", "alpha", "teacher"))
    if role not in (TEACHER, STUDENT):
        return f"role is {role!r}, expected {TEACHER} or {STUDENT}"
    if role != TEACHER and "seed" in known and known["seed"] is None:
        return f"role {role} without a seed"
    if str(method).endswith("_mixup") == (alpha is None):
        return f"method {method} with {'no alpha' if alpha is None else f'alpha {alpha:g}'}"
    if method in ("kd", "kd_mixup"):
        if role == TEACHER:
            return f"role {TEACHER} with method {method}"
        absent = [name for name in _OF_DISTILLED if known[name] is None]
        return f"method {method} without {absent[0]}" if absent else ""
    if method in ("ce", "ce_mixup") and teacher is not None:
        return f"method {method} with the teacher {teacher}"
    return ""


def missing(value: Any) -> bool:
    """Return whether a value of a table is None, NaN or NA."""
    return value is None or value is pd.NA or value != value


def temperature(value: Any, where: str) -> float | str | None:
    """Return a temperature: a number above 0, or ``std``; None where there is none.

    Raises:
        VicinalError: it is neither; ``where`` names the value in the message.
    """
    if value is None or value == STD:
        return value
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not 0 < found < math.inf:
        raise VicinalError(f"{where}: {value!r} is no number above 0 and not {STD}")
    return found

"""The tables of an experiment: the columns of each, and the one check of a table, made when it is read."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vicinal.errors import VicinalError
from vicinal.files import read_table
from vicinal.spec import more_weights

# What every table says of a model, one model a row or more. In the files ``TEMPERATURE_STD`` follows the temperature,
# which is a number; ``validated`` makes one text of the two.
MODEL_COLUMNS = [
    "model_id", "role", "data", "model", "method", "seed", "alpha", "teacher", "teacher_mixup_alpha", "temperature",
    "logit_scale", "kd_weight", "ce_weight",
]  # fmt: skip
# Whether the weights that a model, or its teacher, started from were trained with mixup; not in every experiment.
PRETRAINED, TEACHER_PRETRAINED = "pretraining_mixup", "teacher_pretraining_mixup"
# Columns whose names start so are settings of the recipe and of the data.
VARIANT = ("recipe_", "data_")
STD = "std"
TEMPERATURE_STD = "temperature_std"
TEACHER, STUDENT = "teacher", "student"
# What people read instead of the id of a method.
METHOD_NAMES = {"ce": "CE", "ce_mixup": "CE + mixup", "kd": "KD", "kd_mixup": "KD + mixup"}
_TEXTS = {
    "model_id", "role", "data", "model", "method", "teacher", "temperature", "split", "pairs", "metric", "kind", "name",
    "corruption",
}  # fmt: skip
_NEVER_EMPTY = ("model_id", "role", "data", "model", "method", "split", "metric", "corruption")
_OF_DISTILLED = ("teacher", "temperature", "logit_scale", "kd_weight", "ce_weight")
_AGAIN = "make the tables again with ./reproduce"


class _Table(NamedTuple):
    """What a table has beside ``own``, the columns of its models: ``keys`` tell their rows apart, ``values`` do not.

    ``finite``: rows whose value is NaN or infinite are left out.
    """

    keys: tuple[str, ...]
    values: tuple[str, ...] = ("value",)
    finite: bool = True
    own: tuple[str, ...] = tuple(MODEL_COLUMNS)


_TABLES = {
    "metrics": _Table(("split", "metric")),
    "vicinal": _Table(("split", "pairs", "lam_low", "lam_high", "metric")),
    "confusion": _Table(("split", "softmax_temperature", "metric")),
    "spread": _Table(("split", "lam_low", "lam_high", "metric", "quantile")),
    "corruptions": _Table(("corruption", "severity", "metric")),
    "reliability": _Table(("low",), ("high", "count", "confidence", "accuracy"), finite=False),
    "history": _Table(("epoch",), ("loss", "validation_accuracy"), finite=False),
    "similarity": _Table(("kind", "row", "column"), own=("model_id",)),
    "projection": _Table(("kind", "point"), ("label", "other", "lam", "x", "y"), finite=False, own=("model_id",)),
    "classes": _Table(("label",), ("name", "superclass"), finite=False, own=()),
}


def read_tidy(path: Path) -> pd.DataFrame:
    """Return a table of an experiment from its file (results/NAME/TABLE.parquet), as ``tidy`` does.

    Raises:
        VicinalError: the file is missing, unreadable, or not the table that its name says.
    """
    return tidy(path.stem, read_table(path))


def tidy(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a ``validated`` table with each row once, and without the rows whose value is NaN or infinite.

    Reliability and history keep such values, which are regular there. Unknown tables are returned as they are.

    Raises:
        VicinalError: see ``validated``; or a row occurs twice, or two runs have the same setting and seed.
    """
    if name not in _TABLES:
        return table
    known = _TABLES[name]
    table = validated(name, table)
    if known.finite:
        table = table[np.isfinite(table["value"].to_numpy(dtype=float))]
    if name == "metrics":  # it alone has every setting, so equal rows are equal runs
        settings = table.drop(columns=[*known.keys, *known.values]).drop_duplicates()
        again = settings[settings.drop(columns="model_id").duplicated()]
        if len(again):
            raise VicinalError(f"table {name}: {again['model_id'].iloc[0]}: another run has this setting and seed")
    keys = [*known.own[:1], *known.keys]
    again = table[table.duplicated(keys)]
    if len(again):
        which = ", ".join(f"{key} {again.iloc[0][key]}" for key in keys)
        raise VicinalError(f"table {name}: {which} occurs twice; {_AGAIN}")
    return table


def validated(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a known table with its numbers as NumPy's, and each temperature as one text, equal ones alike.

    A temperature is a number, or text; ``std`` where ``TEMPERATURE_STD`` says so.

    Raises:
        VicinalError: a column is missing or empty, a value is no number, two runs have one id, or the settings of a run
            contradict each other.
    """
    known = _TABLES[name]
    columns = (*known.own, *known.keys, *known.values)
    for column in columns:
        if column not in table:
            raise VicinalError(f"table {name}: column {column} is missing; {_AGAIN}")
        if column in _NEVER_EMPTY and table[column].isna().any():
            raise VicinalError(f"table {name}: {column} is empty in a row; {_AGAIN}")
    numbers = [column for column in (*columns, *more_weights(table)) if column not in _TEXTS]
    table = table.assign(**{column: _numbers(name, table[column]) for column in numbers})
    if "temperature" in columns:
        table = one_temperature(name, table)
        _check_models(name, table)
    return table


def one_temperature(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the temperature as one text, equal numbers alike (2.0 as ``2``), without ``TEMPERATURE_STD``.

    Raises:
        VicinalError: a temperature is no number above 0 and not ``std``.
    """
    return table.assign(temperature=_temperatures(name, table)).drop(columns=TEMPERATURE_STD, errors="ignore")


def plain_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its categories as text."""
    return table.astype({name: object for name in table if isinstance(table[name].dtype, pd.CategoricalDtype)})


def _numbers(name: str, values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":
        return values
    try:
        return pd.to_numeric(values.astype(object).where(values.notna(), np.nan)).astype("float64")
    except (TypeError, ValueError) as error:
        raise VicinalError(f"table {name}: column {values.name}: {error}; {_AGAIN}") from None


def _temperatures(name: str, table: pd.DataFrame) -> pd.Series:
    alike, column = {}, table["temperature"].astype(object)
    if TEMPERATURE_STD in table:
        column = column.mask(table[TEMPERATURE_STD].eq(True), STD)
    for value in column.dropna().unique():
        number = pd.to_numeric(value, errors="coerce")
        if value != STD and not 0 < number < math.inf:
            raise VicinalError(f"table {name}: temperature: {value!r} is no number above 0 and not {STD}")
        alike[value] = STD if value == STD else f"{number:g}"
    return column.map(alike)


def _check_models(name: str, table: pd.DataFrame) -> None:
    more = [column for column in table if str(column).startswith(VARIANT)]
    models = table[[*MODEL_COLUMNS, *more_weights(table), *more]].drop_duplicates()
    again = models[models["model_id"].duplicated()]
    if len(again):
        raise VicinalError(f"table {name}: two runs have the id {again['model_id'].iloc[0]}; give each run its own")
    broken = models["seed"][models["seed"].notna() & (models["seed"] % 1 != 0)]
    if len(broken):
        raise VicinalError(f"table {name}: seed: {broken.iloc[0]} is no whole number; {_AGAIN}")
    for row in models.to_dict("records"):
        wrong = _contradiction({column: None if pd.isna(value) else value for column, value in row.items()})
        if wrong:
            raise VicinalError(f"table {name}: {row['model_id']}: {wrong}; {_AGAIN}")


def _contradiction(row: Mapping[str, Any]) -> str:
    """Return why no run can have the settings of a model, None where one does not apply; empty if one can."""
    role, method, alpha, teacher = (row[name] for name in ("role", "method", "alpha", "teacher"))
    if role not in (TEACHER, STUDENT):
        return f"role is {role!r}, expected {TEACHER} or {STUDENT}"
    if role == STUDENT and row["seed"] is None:
        return f"role {role} without a seed"
    if str(method).endswith("_mixup") == (alpha is None):
        return f"method {method} with {'no alpha' if alpha is None else f'alpha {alpha:g}'}"
    if method in ("kd", "kd_mixup"):
        if role == TEACHER:
            return f"role {TEACHER} with method {method}"
        absent = [name for name in _OF_DISTILLED if row[name] is None]
        return f"method {method} without {absent[0]}" if absent else ""
    if method in ("ce", "ce_mixup") and teacher is not None:
        return f"method {method} with the teacher {teacher}"
    return ""

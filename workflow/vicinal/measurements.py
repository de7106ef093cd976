"""Reading what was measured of a model: its tables, and what they lack where older code made them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from vicinal.data.corruptions import NAMES, SEVERITIES
from vicinal.errors import VicinalError
from vicinal.files import read_json, read_table
from vicinal.model_tables import MEASURES, TABLE, needed_files, split_tables, table_names, wanted_tables
from vicinal.results import EVALUATION
from vicinal.robustness import IMAGES, METRICS, VALUES

# Of the table of metrics on corrupted images.
COLUMNS = {"corruption": "str", "severity": "int64", "metric": "str", "value": "float64", "count": "int64"}


def read_measures(folder: Path, is_teacher: bool) -> dict[str, pd.DataFrame]:
    """Return the joined tables of a model, by name.

    Args:
        folder: of the model's evaluation.
        is_teacher: whether those that only teachers have are wanted.

    Raises:
        VicinalError: the file is missing or unreadable, or lacks a table, since older code made it.
    """
    path, remedy = folder / MEASURES, measure_anew(folder)
    joined = read_table(path, remedy)
    try:
        tables = split_tables(joined)
    except ValueError as error:
        raise VicinalError(f"{path}: not the tables of a model ({error}); {remedy}") from None
    if lacking := [name for name in wanted_tables(is_teacher) if name not in tables]:
        raise VicinalError(f"{path}: the table {', '.join(lacking)} is not in it, older code made it; {remedy}")
    return tables


def measure_anew(folder: Path) -> str:
    """Return the remedy for what was measured of a model, by its folder, and is not whole."""
    return f"delete {folder} and run ./reproduce, which measures it anew"


def read_robustness(folder: Path) -> pd.DataFrame:
    """Return the metrics of a model on corrupted images: columns as in ``COLUMNS``.

    Raises:
        VicinalError: there is no such record, or no such metrics in it.
    """
    record = read_json(folder / EVALUATION)
    try:
        return robustness_rows(record[VALUES], record[IMAGES])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise VicinalError(
            f"{folder / EVALUATION}: no metrics on corrupted images in it, older code made it; {measure_anew(folder)}"
        ) from None


def robustness_rows(values: Mapping[str, Mapping[str, list[float]]], images: int) -> pd.DataFrame:
    """Return what ``measure_robustness`` found on so many images as a table: columns as in ``COLUMNS``.

    Raises:
        KeyError, ValueError: a metric or a severity is lacking.
    """
    rows = []
    for name in (name for name in NAMES if name in values):
        by_severity = zip(SEVERITIES, *(values[name][metric] for metric in METRICS), strict=True)
        for severity, *found in by_severity:
            rows += [(name, severity, metric, value, images) for metric, value in zip(METRICS, found, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def lacking_parts(folder: Path, stage: str, is_teacher: bool) -> list[str]:
    """Return what is lacking of a model's measurement, e.g. since older code made it, in words; else nothing.

    Args:
        folder: of the measurement.
        stage: ``evaluations`` or ``robustness``.
        is_teacher: whether the model is one.
    """
    if stage == "robustness":
        return [] if VALUES in read_json(folder / EVALUATION) else [f"metrics in {EVALUATION}"]
    absent = [name for name in needed_files(stage, is_teacher) if not (folder / name).is_file()]
    if MEASURES in absent:
        return absent
    try:
        present = table_names(read_table(folder / MEASURES, columns=[TABLE]))
    except (VicinalError, ValueError):
        return [f"a readable {MEASURES}", *absent]
    return absent + [f"{name} in {MEASURES}" for name in wanted_tables(is_teacher) if name not in present]

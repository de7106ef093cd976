"""The files of measured models: their tables, written and read, and the loop that measures one model after another.

Small tables are joined in one file: many small files are a burden on file systems.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.errors import VicinalError
from vicinal.files import read_json, read_table, write_table
from vicinal.jobs.provenance import Stopwatch, provenance
from vicinal.jobs.records import RECORD, write_result
from vicinal.results import EVALUATION

if TYPE_CHECKING:
    import pandas as pd
    import torch

# The file of the joined tables, and three more: tables with a row an image, a row a point, and a row a pair of classes.
MEASURES, PREDICTIONS, PROJECTION = "measures.parquet", "predictions.parquet", "projection.parquet"
SIMILARITIES = "similarity.parquet"
# The column of the joined tables that names the table of a row. Its categories are all tables that were measured, even
# those without a row.
TABLE = "table"
_RANGE = {"lam_low": "float64", "lam_high": "float64"}
_NUMBER = {"value": "float64", "count": "int64"}
# The tables that are joined, with their columns.
TABLES = {
    "metrics": {"split": "str", "metric": "str", "value": "float64"},
    "vicinal": {"split": "str", "pairs": "str", **_RANGE, "metric": "str", **_NUMBER},
    "confusion": {"split": "str", "temperature": "float64", "metric": "str", **_NUMBER},
    "spread": {"split": "str", **_RANGE, "metric": "str", "quantile": "float64", **_NUMBER},
}
# Those that only teachers have.
OF_TEACHERS = ("spread",)
# All columns of the joined tables, in types that allow a missing value in rows of tables without the column.
_MISSING = {"str": "string", "int64": "Int64"}
_JOINED = {column: _MISSING.get(kind, kind) for columns in TABLES.values() for column, kind in columns.items()}


def join_tables(tables: Mapping[str, "pd.DataFrame"]) -> "pd.DataFrame":
    """Return some of ``TABLES`` as one; ``split_tables`` reverses it. Raises ValueError: other tables or columns."""
    import pandas as pd

    parts = []
    for name, table in tables.items():
        if list(table) != list(TABLES.get(name, ())):
            raise ValueError(f"table {name}: columns {list(table)}, expected those of {__name__}.TABLES")
        parts.append(table.reindex(columns=list(_JOINED)).astype(_JOINED))
    names = [name for name, table in tables.items() for _ in range(len(table))]
    joined = pd.concat(parts, ignore_index=True)
    joined.insert(0, TABLE, pd.Categorical(names, categories=list(tables)))
    return joined


def split_tables(joined: "pd.DataFrame") -> dict[str, "pd.DataFrame"]:
    """Return the tables that ``join_tables`` joined, by name, as they were. Raises ValueError: no joined tables."""
    found = {}
    for name in table_names(joined):
        columns = TABLES.get(name, {})
        if not columns or not columns.keys() <= set(joined):
            raise ValueError(f"table {name}: unknown, or without some columns")
        rows = joined[list(columns)][joined[TABLE] == name]
        found[name] = rows.astype(columns).reset_index(drop=True)
    return found


def table_files(tables: Mapping[str, "pd.DataFrame"]) -> dict[str, "pd.DataFrame"]:
    """Return file name → table to be written: ``TABLES`` joined in one file, any other table in its own."""
    joined = {name: table for name, table in tables.items() if name in TABLES}
    return {MEASURES: join_tables(joined)} | {
        f"{name}.parquet": table for name, table in tables.items() if name not in TABLES
    }


def needed_files(stage: str, is_teacher: bool) -> tuple[str, ...]:
    """Return the names of the files of a measured model from which the tables of an experiment are made.

    Args:
        stage: ``evaluations``, or ``robustness``, which writes its few numbers into the record.
    """
    if stage == "robustness":
        return ()
    of_all = (MEASURES, PREDICTIONS, PROJECTION)
    return (*of_all, SIMILARITIES) if is_teacher else of_all


def wanted_tables(is_teacher: bool) -> list[str]:
    """Return which of ``TABLES`` a model has."""
    return [name for name in TABLES if is_teacher or name not in OF_TEACHERS]


def table_names(joined: "pd.DataFrame") -> list[str]:
    """Return the names of joined tables, also of those without rows. Raises ValueError: no column ``TABLE``."""
    if TABLE not in joined or joined[TABLE].dtype != "category":
        raise ValueError(f"no column {TABLE} of categories")
    return list(joined[TABLE].cat.categories)


def read_measures(folder: Path, is_teacher: bool) -> dict[str, "pd.DataFrame"]:
    """Return the joined tables of a model, by name. Raises VicinalError: unreadable, or of code without one of them."""
    path, remedy = folder / MEASURES, measure_anew(folder)
    joined = read_table(path, remedy)
    try:
        tables = split_tables(joined)
    except ValueError as error:
        raise VicinalError(f"{path}: not the tables of a model ({error}); {remedy}") from None
    if missing := [name for name in wanted_tables(is_teacher) if name not in tables]:
        raise VicinalError(f"{path}: made by older code, without the table {', '.join(missing)}; {remedy}")
    return tables


def measure_anew(folder: Path) -> str:
    """Return what to do where the measurements in the folder of a model are not whole."""
    return f"delete {folder} and run ./reproduce, which measures it anew"


def write_measurements(
    folder: Path,
    places: Mapping[str, Path],
    wanted: Mapping[str, Mapping[str, Any]],
    measure: Callable[[str], tuple[Mapping[str, "pd.DataFrame"], Mapping[str, Any]]],
    device: "torch.device | str" = "cpu",
    measured: Callable[[int], None] = lambda number: None,
) -> None:
    """Measure models one after the other, and write each one's files, all or nothing, before the next.

    Args:
        folder: where each model gets a folder, named by its id.
        places: id → folder of the trained model.
        wanted: id → what decides whether the measurement still counts (``write_result``).
        measure: returns, for the id of a model, file name → table, and more fields of the record.
        device: where the models are measured.
        measured: called after each model with the number of those done.
    """
    for done, (id_, place) in enumerate(places.items(), start=1):
        watch = Stopwatch()
        tables, fields = measure(id_)
        made = {**fields, "provenance": provenance(watch, device), "training": read_json(place / RECORD)["provenance"]}
        files = {name: partial(write_table, table=table) for name, table in tables.items()}
        write_result(folder / id_ / EVALUATION, wanted[id_], files, made)
        measured(done)

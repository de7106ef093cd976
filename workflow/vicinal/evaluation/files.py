"""The files of measured models: their tables, written and read, and the loop that measures one model after another.

Small tables are joined in one file, each a list of rows in one cell: many small files are a burden on file systems.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.errors import VicinalError
from vicinal.files import read_json, unreadable, write_table
from vicinal.jobs.provenance import Stopwatch, provenance
from vicinal.jobs.records import RECORD, write_result
from vicinal.results import EVALUATION

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import torch

# The file of the joined tables, and three more: tables with a row an image, a row a point, and a row a pair of classes.
MEASURES, PREDICTIONS, PROJECTION = "measures.parquet", "predictions.parquet", "projection.parquet"
SIMILARITIES = "similarity.parquet"
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


def table_files(tables: Mapping[str, "pd.DataFrame"]) -> "dict[str, pd.DataFrame | pa.Table]":
    """Return file name → table to be written: ``TABLES`` joined in one file, any other table in its own."""
    import pyarrow as pa

    cells = {}
    for name in (name for name in tables if name in TABLES):
        rows = pa.Table.from_pandas(tables[name], preserve_index=False).to_struct_array()
        cells[name] = pa.ListArray.from_arrays([0, len(rows)], rows.combine_chunks())
    own = {f"{name}.parquet": table for name, table in tables.items() if name not in TABLES}
    return {MEASURES: pa.table(cells), **own}


def split_tables(joined: "pa.Table") -> dict[str, "pd.DataFrame"]:
    """Return the tables that were joined, by name, as they were: order, columns, types."""
    import pyarrow as pa

    found = {name: pa.Table.from_struct_array(joined[name].combine_chunks().flatten()) for name in joined.column_names}
    return {name: table.to_pandas().astype(TABLES[name]) for name, table in found.items()}


def needed_files(stage: str, is_teacher: bool) -> tuple[str, ...]:
    """Return the names of the files of a measured model from which the tables of an experiment are made.

    Args:
        stage: ``evaluations``, or ``robustness``, which writes its few numbers into the record.
    """
    if stage == "robustness":
        return ()
    of_all = (MEASURES, PREDICTIONS, PROJECTION)
    return (*of_all, SIMILARITIES) if is_teacher else of_all


def lacking_tables(present: Iterable[str], is_teacher: bool) -> list[str]:
    """Return which of ``TABLES`` a model must have are not among those present; teachers have more than others."""
    return [name for name in TABLES if name not in set(present) and (is_teacher or name not in OF_TEACHERS)]


def read_measures(folder: Path, is_teacher: bool) -> dict[str, "pd.DataFrame"]:
    """Return the joined tables of a model, by name. Raises VicinalError: unreadable, or of code without one of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, remedy = folder / MEASURES, measure_anew(folder)
    try:
        joined = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error, remedy) from None
    if missing := lacking_tables(joined.column_names, is_teacher):
        raise VicinalError(f"{path}: made by older code, without the table {', '.join(missing)}; {remedy}")
    return split_tables(joined)


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

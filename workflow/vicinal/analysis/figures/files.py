"""The files of a figure: the tables of an experiment in; PDF, PNG, the data behind it and a JSON record out.

A figure is a module that has TABLES, the names of the tables it is made from; data(tables); draw(data), which returns
the picture and the caption, in its first line what the numbers say, in its second what is shown; and MISSING, the
sentence that takes the place of both where there are no data.
"""

import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from vicinal.analysis.figures import style
from vicinal.analysis.origin import write_record
from vicinal.analysis.schema import read_tidy
from vicinal.errors import VicinalError, warn
from vicinal.files import atomic_path, sha256, write_table
from vicinal.jobs.provenance import Stopwatch


def figure_tables(name: str, tables: Path) -> list[Path]:
    """Return the tables in a folder that a figure of ``FIGURES`` is made from, whether they are there or not."""
    return [tables / f"{table}.parquet" for table in import_module(f"vicinal.analysis.figures.{name}").TABLES]


def drawn(figure: ModuleType, data: pd.DataFrame) -> tuple[Figure, str]:
    """Return a figure and its caption; without data both say why there is none."""
    with style.look():
        if not len(data):
            return style.message(figure.MISSING), figure.MISSING
        picture, caption = figure.draw(data)
        return picture, caption.strip()


def write_figure(
    name: str,
    tables: Path,
    output: Path,
    spec: Mapping[str, Any],
    code: str,
    watch: Stopwatch,
    read: Callable[[Path], pd.DataFrame] = read_tidy,
) -> pd.DataFrame:
    """Draw a figure from the tables in a folder; write ``output`` (a PDF) and .png, .parquet and .json beside it.

    The record has ``spec``, ``code`` (the fingerprint) and the time since ``watch`` started. ``read`` reads a table,
    perhaps once for several figures. Returns the data behind the figure, empty where drawing fails: then picture,
    caption and a warning say why.

    Raises:
        VicinalError: a table is missing, unreadable, or holds what cannot be shown.
    """
    figure = import_module(f"vicinal.analysis.figures.{name}")
    paths = figure_tables(name, tables)
    found = {path.stem: read(path) for path in paths}
    try:
        data = figure.data(found)
        picture, caption = drawn(figure, data)
    except VicinalError:
        raise
    except Exception as error:  # one figure that fails must not cost the others and the report
        traceback.print_exc()
        caption = f"This figure cannot be drawn from these tables ({type(error).__name__}: {error})."
        warn(f"figure {name}: {caption}")
        data, picture = pd.DataFrame(), style.message(caption)
    style.arrange(picture)
    written = [output.with_suffix(ending) for ending in (".pdf", ".png", ".parquet")]
    for path in written[:2]:
        with atomic_path(path) as temporary:
            style.save(picture, temporary)
    write_table(written[2], data)
    made_from = {path.name: sha256(path) for path in paths}
    write_record(
        output.with_suffix(".json"), spec, code, watch, written, made_from, caption=caption, drawn=len(data) > 0
    )
    return data

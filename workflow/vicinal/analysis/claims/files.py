"""The files of the claims: the tables of an experiment in; verdicts as Parquet, Markdown, LaTeX and a record out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vicinal.analysis.claims import TABLES, evaluate_claims
from vicinal.analysis.claims.report import markdown, scorecard
from vicinal.analysis.dictionary import described
from vicinal.analysis.origin import write_record
from vicinal.analysis.paper import claims_table
from vicinal.files import read_table, sha256, write_table, write_text
from vicinal.jobs.provenance import Stopwatch


def write_claims(tables: Path, output: Path, spec: Mapping[str, Any], code: str, watch: Stopwatch) -> pd.DataFrame:
    """Test the claims on the tables in a folder; write ``output`` (claims.parquet) and .md, .tex, .json beside it.

    Claims that need a missing table are inconclusive; metrics.parquet must be there.

    Args:
        tables: folder of the experiment's tables (results/NAME).
        output: ends in .parquet.
        spec: of the claims, for the record.
        code: fingerprint of the stage, for the record.
        watch: started when the job began.

    Returns:
        The rows of ``evaluate_claims``.

    Raises:
        VicinalError: metrics.parquet is missing, or a table is unreadable or not what it should be.
    """
    table = judged(tables)
    write_table(output, described(output.stem, table))
    page = output.with_suffix(".md")
    write_text(page, markdown(table))
    paper = output.with_suffix(".tex")
    write_text(paper, claims_table(table, str(spec.get("experiment", tables.name))))
    verdicts = scorecard(table)
    made_from = {path.name: sha256(path) for path in _sources(tables).values()}
    write_record(output.with_suffix(".json"), spec, code, watch, (output, page, paper), made_from, verdicts=verdicts)
    return table


def judged(tables: Path) -> pd.DataFrame:
    """Return the rows of ``evaluate_claims`` for the tables in a folder.

    Raises:
        VicinalError: see ``write_claims``.
    """
    return evaluate_claims({name: read_table(path) for name, path in _sources(tables).items()})


def _sources(tables: Path) -> dict[str, Path]:
    paths = {name: tables / f"{name}.parquet" for name in TABLES}
    return {name: path for name, path in paths.items() if path.exists() or name == "metrics"}


def verdicts_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return the verdict rows of the claims."""
    return table[table["kind"] == "verdict"]

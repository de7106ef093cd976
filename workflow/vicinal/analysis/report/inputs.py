"""Reading what a report is made from: a missing file is left out, an unreadable one is an error."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from vicinal.analysis.origin import evaluations
from vicinal.analysis.published import read_published
from vicinal.analysis.report.context import Inputs
from vicinal.analysis.report.figures import read_figures
from vicinal.analysis.schema import read_tidy
from vicinal.errors import VicinalError
from vicinal.files import read_json, read_table, sha256
from vicinal.jobs.plan import check_id
from vicinal.results import EVALUATION

CLAIMS, METRICS, CORRUPTIONS = "claims.parquet", "metrics.parquet", "corruptions.parquet"


def read_inputs(folder: Path, made: Path | None = None, figures: Collection[str] | None = None) -> Inputs:
    """Read the tables, figures and records of an experiment from its folder (results/NAME).

    Args:
        folder: with metrics.parquet and provenance.json.
        made: with claims.parquet and the folder ``figures``; by default the same.
        figures: names of those to read; by default all.

    Raises:
        VicinalError: there is no such folder, or a file in it is unreadable.
    """
    if not folder.is_dir():
        raise VicinalError(f"{folder}: no such folder; name the one that holds an experiment's tables (results/NAME)")
    made = made or folder
    tables = {name: path / name for name, path in ((CLAIMS, made), (METRICS, folder)) if (path / name).exists()}
    drawn = read_figures(made / "figures")
    if figures is not None:
        drawn = {name: figure for name, figure in drawn.items() if name in figures}
    own, claims = (_record(path) for path in (folder / "provenance.json", made / "claims.json"))
    spec = own.get("spec") or {}
    records = {
        "tables": [own.get("provenance")],
        "claims": [claims.get("provenance")],
        "figures": [figure.provenance for figure in drawn.values()],
    }
    sums = {name: sha256(path) for name, path in tables.items()}
    pictures = {name: figure.png for name, figure in drawn.items() if figure.png is not None}
    sums |= {f"figures/{name}.png": hashlib.sha256(png).hexdigest() for name, png in pictures.items()}
    return Inputs(
        name=str(spec.get("name") or folder.resolve().name),
        claims=read_table(tables[CLAIMS]) if CLAIMS in tables else None,
        metrics=read_tidy(tables[METRICS]) if METRICS in tables else None,
        published=read_published(),
        figures=drawn,
        records={step: [record for record in found if record] for step, found in records.items()},  # type: ignore[attr-defined]
        spec=spec,
        data_notes=list(map(str, notes)) if isinstance(notes := own.get("data_notes"), list) else [],
        corruptions=own["corruptions"] if "corruptions" in own else _corruptions(folder / CORRUPTIONS),
        made_from=sums,
    )


def read_records(results: Path, spec: Mapping[str, Any], required: bool = True) -> dict[str, list[dict[str, Any]]]:
    """Return the provenance of the training and the evaluation of every model of an experiment.

    Args:
        results: the results folder.
        spec: that of the experiment's tables, as in its ``provenance.json``.
        required: whether a missing record is an error; else one missing record means that none is returned.

    Raises:
        VicinalError: a record is missing or not JSON, or an id in the spec cannot be one.
    """
    models = spec.get("models", {})
    for id_, columns in models.items():
        for name in (id_, columns["evaluation"]):
            check_id(name, f"provenance.json of {spec.get('name')}")
    paths = [folder / EVALUATION for folder in evaluations({"models": models}, results).values()]
    if not required and not all(path.exists() for path in paths):
        return {}
    records = [read_json(path) for path in paths]
    return {
        "training": [record["training"] for record in records],
        "evaluation": [record["provenance"] for record in records],
    }


def read_config(path: Path, name: str) -> str | None:
    """Return the settings of the experiment ``name`` in the config of a run, as YAML; None if they are not there."""
    if not path.exists():
        return None
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    for experiment in config.get("experiments", [config]):
        if experiment.get("name") == name:
            return yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True, width=100)
    return None


def _corruptions(path: Path) -> dict[str, Any] | None:
    """Return what is known of corrupted images without a record: whether the table has rows."""
    return {"available": True} if path.exists() and len(read_table(path)) else None


def _record(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}

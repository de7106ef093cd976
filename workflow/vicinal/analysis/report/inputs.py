"""Reading what a report is made of; what is not there is left out, what is unreadable is an error."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from vicinal.analysis.published import read_published
from vicinal.analysis.report.context import Inputs
from vicinal.analysis.report.figures import Figure, read_figures
from vicinal.analysis.schema import read_tidy
from vicinal.errors import VicinalError
from vicinal.files import read_json, read_table, sha256
from vicinal.jobs.plan import check_id
from vicinal.results import EVALUATION

CLAIMS, METRICS, CORRUPTIONS = "claims.parquet", "metrics.parquet", "corruptions.parquet"


def read_inputs(folder: Path, made: Path | None = None, figures: Collection[str] | None = None) -> Inputs:
    """Read the tables, figures and records of an experiment from its folder (results/NAME).

    Args:
        folder: has metrics.parquet and provenance.json.
        made: has the claims and the folder ``figures``; default the same.
        figures: names of those to read; default all that there are.

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
    pictures = {name: hashlib.sha256(figure.png) for name, figure in drawn.items() if figure.png is not None}
    own = _optional(folder / "provenance.json")
    return Inputs(
        name=str((own.get("spec") or {}).get("name") or folder.resolve().name),
        claims=read_table(tables[CLAIMS]) if CLAIMS in tables else None,
        metrics=read_tidy(tables[METRICS]) if METRICS in tables else None,
        published=read_published(),
        figures=drawn,
        records=_own_records(own, _optional(made / "claims.json"), drawn),
        spec=own.get("spec") or {},
        corruptions=own["corruptions"] if "corruptions" in own else _corruptions(folder / CORRUPTIONS),
        made_from={name: sha256(path) for name, path in tables.items()}
        | {f"figures/{name}.png": sums.hexdigest() for name, sums in pictures.items()},
    )


def read_records(results: Path, spec: Mapping[str, Any], required: bool = True) -> dict[str, list[dict[str, Any]]]:
    """Return the provenance of the training and the evaluation of every model of an experiment.

    Args:
        results: the results folder.
        spec: that of the experiment's tables, as in its ``provenance.json``.
        required: whether a missing record is an error; else there are none at all where one is missing.

    Raises:
        VicinalError: a record is missing or no JSON, or the id of a model is none.
    """
    models = spec.get("models", {}).items()
    for id_, columns in models:
        for name in (id_, columns["evaluation"]):
            check_id(name, f"provenance.json of {spec.get('name')}")
    paths = [results / "evaluations" / columns["evaluation"] / id_ / EVALUATION for id_, columns in models]
    if not required and not all(path.exists() for path in paths):
        return {}
    records = [read_json(path) for path in paths]
    return {
        "training": [record["training"] for record in records],
        "evaluation": [record["provenance"] for record in records],
    }


def read_config(path: Path, name: str) -> str | None:
    """Return the settings of the experiment ``name`` in the config of a run, as YAML; None if it does not have them."""
    if not path.exists():
        return None
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    for experiment in config.get("experiments", [config]):
        if experiment.get("name") == name:
            return yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True, width=100)
    return None


def _own_records(tables: dict, claims: dict, figures: Mapping[str, Figure]) -> dict[str, list[dict[str, Any]]]:
    found = {
        "tables": [tables.get("provenance")],
        "claims": [claims.get("provenance")],
        "figures": [figure.provenance for figure in figures.values()],
    }
    return {stage: [record for record in records if record] for stage, records in found.items()}


def _corruptions(path: Path) -> dict[str, Any] | None:
    """Return what is known of corrupted images without a record: whether the table has rows."""
    return {"available": True} if path.exists() and len(read_table(path)) else None


def _optional(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    record = read_json(path)
    if not isinstance(record, dict):
        raise VicinalError(f"{path}: not a record of this workflow; delete it and run ./reproduce again")
    return record

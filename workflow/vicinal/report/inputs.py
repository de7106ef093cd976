"""Reading what a report is made of; what is not there is left out, what is unreadable is an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vicinal.errors import VicinalError
from vicinal.files import read_json
from vicinal.published import read_published
from vicinal.report.context import Inputs
from vicinal.report.figures import Figure, read_figures
from vicinal.tables import read_table

TABLES = ("claims", "metrics")


def read_inputs(folder: Path) -> Inputs:
    """Read the tables, figures and records of an experiment from its folder (results/NAME).

    Raises:
        VicinalError: there is no such folder, or a file in it is unreadable.
    """
    if not folder.is_dir():
        raise VicinalError(f"{folder}: no such folder; name the one that holds an experiment's tables (results/NAME)")
    tables = {name: read_table(path) for name in TABLES if (path := folder / f"{name}.parquet").exists()}
    figures = read_figures(folder / "figures")
    own = _optional(folder / "provenance.json")
    return Inputs(
        name=str((own.get("spec") or {}).get("name") or folder.resolve().name),
        claims=tables.get("claims"),
        metrics=tables.get("metrics"),
        published=read_published(),
        figures=figures,
        records=_own_records(own, _optional(folder / "claims.json"), figures),
        spec=own.get("spec") or {},
    )


def read_records(results: Path, spec: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the provenance of the training and the evaluation of every model of an experiment.

    Args:
        results: the results folder.
        spec: that of the experiment's tables, as in its ``provenance.json``.

    Raises:
        VicinalError: a record is missing or no JSON.
    """
    records: dict[str, list[dict[str, Any]]] = {"training": [], "evaluation": []}
    for id_, columns in spec.get("models", {}).items():
        record = read_json(results / "evaluations" / columns["evaluation"] / id_ / "evaluation.json")
        records["training"].append(record["training"])
        records["evaluation"].append(record["provenance"])
    return records


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


def _optional(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    record = read_json(path)
    if not isinstance(record, dict):
        raise VicinalError(f"{path}: not a record of this workflow; delete it and run ./reproduce again")
    return record

"""What tables, claims, figures and reports are made from: the measurements behind the tables, the record of a file."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vicinal.files import sha256, write_json
from vicinal.jobs.provenance import Stopwatch, provenance
from vicinal.results import EVALUATION


def evaluations(spec: Mapping[str, Any], results: Path) -> dict[str, Path]:
    """Return model id → folder of its measurement, from the spec of an experiment's tables."""
    return {id_: results / "evaluations" / model["evaluation"] / id_ for id_, model in spec["models"].items()}


def on_corruptions(spec: Mapping[str, Any], results: Path) -> dict[str, Path]:
    """Return model id → folder of its measurement on corrupted images; empty where nobody asked for them."""
    return {id_: results / "robustness" / unit / id_ for id_, unit in spec.get("corrupted", {}).items()}


def measurement_records(spec: Mapping[str, Any], results: Path) -> dict[str, Path]:
    """Return the records of an experiment's measurements, by their names in the ``made_from`` of its tables.

    Each holds the checksums of the tables beside it.
    """
    found = evaluations(spec, results)
    found |= {f"robustness/{id_}": folder for id_, folder in on_corruptions(spec, results).items()}
    return {name: folder / EVALUATION for name, folder in found.items()}


def write_record(
    path: Path,
    spec: Mapping[str, Any],
    code: str,
    watch: Stopwatch,
    written: Iterable[Path],
    made_from: Mapping[str, str],
    **more: Any,
) -> None:
    """Write the JSON record of files that were made.

    Args:
        path: of the record.
        spec: of what was made.
        code: fingerprint of the stage.
        watch: started when the job began.
        written: the files; the record gets their SHA-256.
        made_from: SHA-256 of each source, by name.
        more: other fields of the record.
    """
    sums = {file.name: sha256(file) for file in written}
    own = {"spec": spec, "code": code, "sha256": sums, "made_from": made_from, "provenance": provenance(watch)}
    write_json(path, {**own, **more})

"""Results of jobs on disk, each a folder with a record: how one is written, and whether it still counts."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vicinal.errors import VicinalError
from vicinal.files import atomic_directory, read_json, read_object, sha256, write_json
from vicinal.results import EVALUATION, RECORD, WEIGHTS, checkpoint_folder, model_folder


def is_finished(record: Path, wanted: Mapping[str, Any]) -> bool:
    """Return whether a result is the wanted one, and whole.

    The fields of its JSON record must agree with those that decide (id, spec, code, checksums of what it was made
    from), and its ``sha256`` with the files beside it.
    """
    found = read_object(record)
    if not found or any(found.get(key) != value for key, value in wanted.items()):
        return False
    paths = {record.with_name(name): expected for name, expected in found["sha256"].items()}
    return all(path.is_file() and sha256(path) == expected for path, expected in paths.items())


def write_result(
    record: Path, wanted: Mapping[str, Any], files: Mapping[str, Callable[[Path], object]], made: Mapping[str, Any]
) -> None:
    """Write the folder of a result, all or nothing; a finished one that is there is kept.

    Args:
        wanted: the fields of the record that decide whether the result still counts (``is_finished``).
        files: file name → function that writes the file at a path; the record gets the checksums.
        made: the other fields of the record: how the result was made, and numbers that have no file.
    """
    with atomic_directory(record.parent, keep=lambda other: is_finished(other / record.name, wanted)) as folder:
        for name, write in files.items():
            write(folder / name)
        sums = {name: sha256(folder / name) for name in files}
        write_json(folder / record.name, {**wanted, **made, "sha256": sums})


def weights_sha256(directory: Path) -> str:
    """Return the recorded SHA-256 of a finished model's weights. Raises VicinalError: there is no such model."""
    record = read_json(directory / RECORD)
    try:
        return record["sha256"][WEIGHTS]
    except (KeyError, TypeError):
        raise VicinalError(f"{directory / RECORD}: not the record of a model") from None


def models_to_measure(
    plan: Mapping[str, Any], results: Path, folder: Path, shared: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, Path]]:
    """Return what the records of measured models must say, ``shared`` in all, and id → place of the unmeasured."""
    wanted, missing = {}, {}
    for unit in plan["units"].values():
        of_unit = {"spec": measurement_spec(plan, unit), "code": unit["code"], **shared}
        for id_ in unit["models"]:
            place = model_folder(results, unit["spec"]["stage"], id_)
            wanted[id_] = {"id": id_, "weights_sha256": weights_sha256(place), **of_unit}
            if not is_finished(folder / id_ / EVALUATION, wanted[id_]):
                missing[id_] = place
    print(f"{plan['id']}: models to measure: {len(missing)}, measured before: {len(wanted) - len(missing)}", flush=True)
    return wanted, missing


def measurement_spec(plan: Mapping[str, Any], unit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of the measured models of a unit in a measurement's plan."""
    return {**plan["spec"]["evaluation"], "unit": unit["spec"]}


def manifest_of(folder: Path, models: Iterable[str]) -> dict[str, Any]:
    """Return the manifest of the measured models in a folder: the checksums of their records."""
    return {"models": {id_: sha256(folder / id_ / EVALUATION) for id_ in models}}


def remove_checkpoints(results: Path, unit: str) -> None:
    """Remove the checkpoints of a finished teacher or cohort, whoever wrote them."""
    # If another process is writing there, the next run removes them.
    shutil.rmtree(checkpoint_folder(results, unit), ignore_errors=True)

"""The records of trained models on disk: what they are, and whether they still count. Without torch."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.errors import VicinalError
from vicinal.files import atomic_directory, read_json, sha256, write_json
from vicinal.results import EVALUATION, RECORD, WEIGHTS, checkpoint_folder

if TYPE_CHECKING:
    import pandas as pd


def is_finished(record: Path, wanted: dict[str, Any]) -> bool:
    """Tell whether an artefact is the one that is wanted, and whole.

    Args:
        record: its JSON record, whose fields must agree with ``wanted``, and whose ``sha256`` with the files beside it.
        wanted: the fields that decide: id, spec, code, sha256 of what it was made from.
    """
    directory = record.parent
    try:
        record = read_json(record)
    except VicinalError:
        return False
    if not isinstance(record, dict) or any(record.get(key) != value for key, value in wanted.items()):
        return False
    return all(
        (directory / name).is_file() and sha256(directory / name) == expected
        for name, expected in record["sha256"].items()
    )


def weights_sha256(directory: Path) -> str:
    """Return the recorded SHA-256 of a finished model's weights.

    Raises:
        VicinalError: there is no such model.
    """
    record = read_json(directory / RECORD)
    try:
        return record["sha256"][WEIGHTS]
    except (KeyError, TypeError):
        raise VicinalError(f"{directory / RECORD}: not the record of a model") from None


def write_measurement(
    directory: Path, tables: Mapping[str, "pd.DataFrame"], record: Mapping[str, Any], model: Path
) -> None:
    """Write what was measured of a model, all or nothing: tables, and the record with their checksums.

    Args:
        directory: of the measurement.
        tables: by the name of their Parquet file; perhaps none.
        record: what it is of, and how it was made; its training is added.
        model: folder of the trained model.
    """
    training = read_json(model / RECORD)["provenance"]
    with atomic_directory(directory) as temporary:
        for name, table in tables.items():
            table.to_parquet(temporary / name, index=False, compression="zstd")
        sums = {name: sha256(temporary / name) for name in tables}
        write_json(temporary / EVALUATION, {**record, "sha256": sums, "training": training})


def measured_models(folder: Path, models: Iterable[str]) -> dict[str, Any]:
    """Return the manifest of models whose measurements lie in a folder: the checksums of their records."""
    return {"models": {id_: sha256(folder / id_ / EVALUATION) for id_ in models}}


def remove_checkpoints(results: Path, unit: str) -> None:
    """Remove the checkpoints of a teacher or cohort that is finished, whoever made them."""
    # What cannot be removed now, since another process writes there, goes with the next run.
    shutil.rmtree(checkpoint_folder(results, unit), ignore_errors=True)

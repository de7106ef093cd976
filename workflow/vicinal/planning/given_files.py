"""The files of weights that teachers are given: where a config names them, and their checksums.

The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from vicinal.config import PUBLISHED, Experiment
from vicinal.errors import VicinalError
from vicinal.files import remembered_sums

# Beside the plan files; it keeps the checksums, so that results remain valid when a file is gone.
CACHE = "given.json"


def given_files(experiments: Iterable[Experiment]) -> Iterator[tuple[str, str]]:
    """Yield (field of the config, file as it stands there) of each teacher that is given a file."""
    for experiment in experiments:
        for block, grid in experiment.grids.items():
            for place, teacher in enumerate(grid.teachers or []):
                if teacher.weights not in (None, PUBLISHED):
                    yield f"grids.{block}.teachers.{place}.weights", teacher.weights


def given_sums(experiments: Iterable[Experiment], cache: Path | None) -> dict[str, str]:
    """Return path, as in the config, → SHA-256 of the files of weights that teachers are given.

    A file that is gone has the checksum that it had when it was last there, by the JSON file ``cache``. Raises
    VicinalError: a file is not there and never was; the message names the field.
    """
    sums: dict[str, str] = {}
    for field, path in given_files(experiments):
        if path not in sums:
            try:
                sums[path] = remembered_sums([Path(path)], cache, gone=True)[Path(path)]
            except VicinalError as error:
                raise VicinalError(
                    f"{field}: {error}; name a checkpoint that torch saved, a safetensors file, or {PUBLISHED}"
                ) from None
    return sums

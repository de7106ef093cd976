"""Which experiments a run of a collection skips, and why.

``./reproduce --skip-missing`` writes the list; it is part of the collection's plan and stands in its report.
The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from vicinal.errors import VicinalError
from vicinal.files import read_json, write_json


def skipped_file(results: Path, collection: str) -> Path:
    """Return the file that lists the skipped experiments of a collection."""
    return results / "plan" / "skipped" / f"{collection}.json"


def read_skipped(results: Path, collection: str, present: Iterable[str]) -> dict[str, str]:
    """Return the experiments that the last run of a collection skipped, but those that are there now, with reasons.

    Raises VicinalError: the list is damaged.
    """
    path = skipped_file(results, collection)
    if not path.exists():
        return {}
    found = read_json(path)
    if not all(isinstance(reason, str) for reason in found.values()):
        raise VicinalError(f"{path}: not a list of skipped experiments: delete it")
    return {name: reason for name, reason in found.items() if name not in set(present)}


def write_skipped(results: Path, collection: str, skipped: Mapping[str, str]) -> None:
    """Write the experiments that a run of a collection skips, each with the reason; none: remove the file."""
    path = skipped_file(results, collection)
    if skipped:
        write_json(path, dict(skipped))
    else:
        path.unlink(missing_ok=True)


def collection_name(name: str, experiments: Iterable[str], results: Path) -> str | None:
    """Return the name of the collection that the experiments of a config make up; None for a single experiment.

    One experiment is a collection too if the others were skipped.
    """
    names = set(experiments)
    several = len(names) > 1 or (name not in names and bool(read_skipped(results, name, names)))
    return name if several else None

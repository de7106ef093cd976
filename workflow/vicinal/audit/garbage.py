"""Results that no experiment refers to: which they are, how large, and their removal."""

import math
import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vicinal.audit.references import References
from vicinal.files import LEFT_OVER
from vicinal.jobs.heartbeat import lives, read_beats
from vicinal.jobs.lease import ENDING, held_leases
from vicinal.results import (
    CHECKPOINTS,
    EVALUATION,
    FOLDERS,
    HEARTBEATS,
    LOCKS,
    MEASURED,
    ON_DEVICE,
    PLAN,
    PUBLISHED,
    SHARED_FOLDERS,
    STAGES,
    is_id,
)

# A temporary file younger than this may belong to a running job, s.
YOUNG = 3600.0


@dataclass(frozen=True)
class Item:
    """A file or folder below the results folder that no experiment refers to; its size in bytes and in files."""

    kind: str
    path: Path
    bytes: int
    files: int


def jobs_at_work(results: Path) -> set[str]:
    """Return the ids of the artefacts that jobs work on: they hold a lease or show signs of life."""
    beats = read_beats(results, time.time())
    # A silent job may still run: on another machine, or on a slow disk.
    return held_leases(results) | {b["id"] for b in beats if lives(b) or (b["silent"] and b["age"] < YOUNG)}


def find_garbage(results: Path, references: References) -> list[Item]:
    """Return what no experiment refers to. Symbolic links are neither followed nor listed."""
    return [*_artefacts(results, references), *_bookkeeping(results, references), *_left_over(results)]


def _artefacts(results: Path, references: References) -> Iterator[Item]:
    for stage in FOLDERS:
        for entry in _entries(results / stage):
            name = re.split(r"\.(?:fetched|corruptions)\.json", entry.name)[0] if stage == "data" else entry.name
            if entry.name.startswith(LEFT_OVER) or not is_id(name):
                continue  # foreign files are named by ``verify``
            if name not in references.ids[stage]:
                yield _item(stage, Path(entry.path))
            elif stage in MEASURED and entry.is_dir(follow_symlinks=False):
                for model in _entries(Path(entry.path)):
                    is_measured = Path(model.path, EVALUATION).is_file()
                    if is_measured and (name, model.name) not in references.measured:
                        yield _item(stage, Path(model.path))


def _bookkeeping(results: Path, references: References) -> Iterator[Item]:
    """Yield plan files, locks, checkpoints, logs, benchmarks and heartbeats of what is gone or garbage itself."""
    units, stores = references.ids["teachers"] | references.ids["cohorts"], references.ids["data"]
    working = jobs_at_work(results)
    wanted_plans = dict.fromkeys(("downloads", "data", "corruptions"), stores)
    places = [("locks", LOCKS, ENDING, units | working)]
    for stage, wanted in wanted_plans.items():
        places.append(("logs and benchmarks", f"logs/{STAGES[stage].rule}", ".log", wanted))
        places.append(("logs and benchmarks", f"benchmarks/{STAGES[stage].rule}", ".tsv", wanted))
    wanted_plans |= {stage: references.ids[stage] for stage in ("weights", *ON_DEVICE)}
    places += [("plan files", f"{PLAN}/{stage}", ".json", wanted) for stage, wanted in wanted_plans.items()]
    for kind, folder, ending, wanted in places:
        yield from (_item(kind, path) for path in _files(results / folder, ending) if path.stem not in wanted)
    for entry in _entries(results / CHECKPOINTS):
        if is_id(entry.name) and entry.name not in units:
            yield _item("checkpoints", Path(entry.path))
    # ``status`` shows the heartbeat of a failed job as long as its result is wanted.
    failed = {(beat["stage"], beat["id"]) for beat in read_beats(results, time.time()) if beat["state"] == "failed"}
    for path in _files(results / HEARTBEATS, ".json"):
        stage, _, id_ = path.stem.partition("-")
        is_shown = (stage, id_) in failed and id_ in references.ids[stage]
        if not (is_shown or id_ in working):
            yield _item("heartbeats", path)


def _left_over(folder: Path) -> Iterator[Item]:
    """Yield the temporary files and folders below a folder that were not changed for some time."""
    for entry in _entries(folder):
        path = Path(entry.path)
        if entry.name.startswith(LEFT_OVER):
            item = _item("left over from killed jobs", path)
            if time.time() - _newest(path) >= YOUNG:
                yield item
        elif entry.name != PUBLISHED and entry.is_dir(follow_symlinks=False):
            yield from _left_over(path)


def unknown_experiments(results: Path, references: References) -> Iterator[Item]:
    """Yield the folders with the tables of experiments that no config names; these are never removed."""
    for entry in _entries(results):
        folder = Path(entry.path)
        is_made = any((folder / name).is_file() for name in ("provenance.json", "report.json", "metrics.parquet"))
        if is_made and entry.name not in SHARED_FOLDERS | references.names:
            yield _item("experiments", folder)


def _entries(folder: Path) -> list[os.DirEntry]:
    """Return what lies in a folder, without links; nothing where the folder itself is a link or does not exist."""
    if folder.is_symlink() and folder.name in SHARED_FOLDERS:
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.is_symlink()), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(folder: Path, ending: str) -> Iterator[Path]:
    for entry in _entries(folder):
        if entry.is_file(follow_symlinks=False) and entry.name.endswith(ending) and not entry.name.startswith("."):
            yield Path(entry.path)


def _item(kind: str, path: Path) -> Item:
    sizes = [status.st_size for status in _statuses(path)]
    return Item(kind, path, sum(sizes), len(sizes))


def _newest(path: Path) -> float:
    """Return when something in ``path`` was changed last, s since 1970; infinity where it was removed since."""
    inside = list(_statuses(path))
    own = _status(path)  # last, since a file that vanishes from a folder changes the folder's time
    return max(status.st_mtime for status in [*own, *inside]) if own else math.inf


def _statuses(path: Path) -> Iterator[os.stat_result]:
    """Yield the status of a file, or of all files in a folder; files that vanish meanwhile are left out."""
    if path.is_symlink() or not path.is_dir():
        yield from _status(path)
        return
    for folder, _, names in os.walk(path):
        for name in names:
            yield from _status(Path(folder) / name)


def _status(path: Path) -> list[os.stat_result]:
    try:
        return [path.lstat()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove(results: Path, items: Iterable[Item]) -> None:
    """Remove items, under the head's lock, when no job works. Raises ValueError: one lies elsewhere or is published."""
    for item in items:
        parts = item.path.relative_to(results).parts
        if not parts or parts[0] == PUBLISHED or ".." in parts:
            raise ValueError(f"{item.path}: not to be removed")
        if not item.path.is_dir():
            item.path.unlink(missing_ok=True)
        while item.path.is_dir():
            with suppress(FileNotFoundError):  # a file in it vanished meanwhile: remove the others
                shutil.rmtree(item.path)


def by_kind(items: Iterable[Item], hours: Mapping[Path, float]) -> list[tuple[str, int, int, int, float]]:
    """Return (kind, items, files, bytes, hours to make them), the largest first; ``hours``: see ``hours_to_make``."""
    groups: dict[str, list[Item]] = defaultdict(list)
    kinds = {}
    for item in items:
        groups[item.kind].append(item)
        kinds[item.path] = item.kind
    took: dict[str, float] = defaultdict(float)
    for record, value in hours.items():
        for kind in {kinds[folder] for folder in record.parents if folder in kinds}:
            took[kind] += value
    rows = [
        (kind, len(group), sum(item.files for item in group), sum(item.bytes for item in group), took[kind])
        for kind, group in groups.items()
    ]
    return sorted(rows, key=lambda row: -row[3])

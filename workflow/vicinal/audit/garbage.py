"""Results that no experiment refers to: which they are, how large, and their removal."""

import math
import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from vicinal.audit.references import References, cohort_members
from vicinal.files import LEFT_OVER, read_object
from vicinal.jobs.heartbeat import lives, read_beats
from vicinal.jobs.lease import ENDING, free_lease, held_leases
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
    TRAINED,
    is_id,
)

# A temporary file younger than this may be of a job that runs, s.
YOUNG = 3600.0
LEFT = "left over of killed jobs"


@dataclass(frozen=True)
class Item:
    """Something that no experiment refers to.

    Attributes:
        kind: of what, for the table.
        path: of a file or directory below the results folder.
        bytes: its size.
        files: how many files it consists of.
        ids: artefacts whose locks its removal needs.
    """

    kind: str
    path: Path
    bytes: int
    files: int
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Garbage:
    """What is not referred to: ``items`` can be removed, ``kept`` are folders of experiments that no config knows."""

    items: list[Item]
    kept: list[Item]


def find_garbage(results: Path, references: References) -> Garbage:
    """List what no experiment refers to and no job works on; symbolic links are neither followed nor listed.

    Args:
        results: the results folder.
        references: what the experiments refer to.
    """
    busy = _Busy(results)
    members = cohort_members(results)
    items = list(_artefacts(results, references, members))
    items += _bookkeeping(results, references)
    items += _left_over(results, members, busy.locks)
    return Garbage([item for item in items if not busy.needs(item)], list(_unknown_experiments(results, references)))


class _Busy:
    """What running jobs work on: they hold a lock or show signs of life."""

    def __init__(self, results: Path) -> None:
        self.locks = held_leases(results)
        beats = read_beats(results, time.time())
        working = [(beat["stage"], beat["id"]) for beat in beats if _is_at_work(beat)]
        self._beating = {results / HEARTBEATS / f"{stage}-{id_}.json" for stage, id_ in working}
        jobs = {(stage, id_) for id_ in self.locks for stage in TRAINED}
        self._ids = set(self.locks)
        # What the job reads must stay as well.
        todo = [*jobs, *working]
        while todo:
            stage, id_ = todo.pop()
            self._ids.add(id_)
            plan = read_object(results / PLAN / stage / f"{id_}.json")
            self._ids.update(plan.get("students", {}))
            todo += [tuple(ref.split("/", 1)) for ref in plan.get("upstream", {})]

    def needs(self, item: Item) -> bool:
        if item.path in self._beating:
            return True
        return bool(self._ids.intersection(item.ids)) or bool(self._ids.intersection(item.path.parts))


def _is_at_work(beat: dict) -> bool:
    # Silence is no proof of an end: the machine may be another one, or its disk slow.
    return lives(beat) or (beat["silent"] and beat["age"] < YOUNG)


def _artefacts(results: Path, references: References, members: dict[str, set[str]]) -> Iterator[Item]:
    for stage in FOLDERS:
        for entry in _entries(results / stage):
            known = references.ids[stage]
            name = re.split(r"\.(?:fetched|corruptions)\.json", entry.name)[0] if stage == "data" else entry.name
            if entry.name.startswith(LEFT_OVER) or not is_id(name):
                continue  # foreign: for verify to name
            if name not in known:
                cohorts = members.get(name, ()) if stage == "students" else ()
                yield _item(stage, Path(entry.path), (name, *cohorts))
            elif stage in MEASURED and entry.is_dir(follow_symlinks=False):
                for model in _entries(Path(entry.path)):
                    record = Path(model.path) / EVALUATION
                    if record.is_file() and (name, model.name) not in references.measured:
                        yield _item(stage, Path(model.path), (name,))


def _bookkeeping(results: Path, references: References) -> Iterator[Item]:
    """Yield plan files, locks, checkpoints, logs, benchmarks and heartbeats of what is gone or garbage itself."""
    units, stores = references.ids["teachers"] | references.ids["cohorts"], references.ids["data"]
    of_stores = ("downloads", "data", "corruptions")
    places = [
        *(("plan files", f"{PLAN}/{stage}", ".json", stores) for stage in of_stores),
        *(("plan files", f"{PLAN}/{stage}", ".json", references.ids[stage]) for stage in ("weights", *ON_DEVICE)),
        ("locks", LOCKS, ENDING, units),
        *(("logs and benchmarks", f"logs/{STAGES[stage].rule}", ".log", stores) for stage in of_stores),
        *(("logs and benchmarks", f"benchmarks/{STAGES[stage].rule}", ".tsv", stores) for stage in of_stores),
    ]
    for kind, folder, ending, wanted in places:
        for path in _files(results / folder, ending):
            if path.stem not in wanted:
                yield _item(kind, path, (path.stem,))
    for entry in _entries(results / CHECKPOINTS):
        if is_id(entry.name) and entry.name not in units:
            yield _item("checkpoints", Path(entry.path), (entry.name,))
    # A failed job leaves its heartbeat for status to tell, as long as it is wanted.
    failed = {(beat["stage"], beat["id"]) for beat in read_beats(results, time.time()) if beat["state"] == "failed"}
    for path in _files(results / HEARTBEATS, ".json"):
        stage, _, id_ = path.stem.partition("-")
        if (stage, id_) not in failed or id_ not in references.ids.get(stage, ()):
            yield _item("heartbeats", path)


def _left_over(results: Path, members: dict[str, set[str]], locks: set[str]) -> Iterator[Item]:
    now = time.time()
    for path in _temporary(results):
        item = _item(LEFT, path)
        if now - _newest(path) < YOUNG:
            continue
        parts = path.relative_to(results).parts
        # A temporary directory of a student says whose it is: .tmp-ID-xxxxxxxx.
        owner = parts[1] if len(parts) > 2 else path.name.split("-", 1)[1].rpartition("-")[0]
        cohorts = members.get(owner, set())
        if parts[0] == "students" and locks and not cohorts:
            continue  # nobody knows of which cohort
        yield Item(item.kind, item.path, item.bytes, item.files, (owner, *sorted(cohorts)))


def _temporary(folder: Path) -> Iterator[Path]:
    for entry in _entries(folder):
        if entry.name.startswith(LEFT_OVER):
            yield Path(entry.path)
        elif entry.name != PUBLISHED and entry.is_dir(follow_symlinks=False):
            yield from _temporary(Path(entry.path))


def _unknown_experiments(results: Path, references: References) -> Iterator[Item]:
    for entry in _entries(results):
        folder = Path(entry.path)
        is_made = any((folder / name).is_file() for name in ("provenance.json", "report.json", "metrics.parquet"))
        if entry.name not in SHARED_FOLDERS | references.names and entry.is_dir(follow_symlinks=False) and is_made:
            yield _item("experiments", folder)


def _entries(folder: Path) -> list[os.DirEntry]:
    """Return what lies in a folder, links left out; nothing where the folder itself is one, or not there."""
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


def _item(kind: str, path: Path, ids: Iterable[str] = ()) -> Item:
    sizes = [status.st_size for status in _statuses(path)]
    return Item(kind, path, sum(sizes), len(sizes), tuple(sorted(set(ids))))


def _newest(path: Path) -> float:
    """Return when something in ``path`` was changed last, s since 1970; infinity where it is gone meanwhile."""
    inside = list(_statuses(path))
    own = _status(path)  # looked at last: where a file vanished from a directory its time is new
    return max(status.st_mtime for status in [*own, *inside]) if own else math.inf


def _statuses(path: Path) -> Iterator[os.stat_result]:
    """Yield the status of a file, or of all files in a directory, but for those that vanish meanwhile."""
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


def remove(results: Path, items: Iterable[Item]) -> Iterator[tuple[Item, bool]]:
    """Remove items, each with whether it was: not where a job holds the lock. Under the head's lock.

    Raises:
        ValueError: an item does not lie in the results folder, or is published.
        OSError: a file cannot be removed.
    """
    for item in items:
        parts = item.path.relative_to(results).parts
        if not parts or parts[0] == PUBLISHED or ".." in parts:
            raise ValueError(f"{item.path}: not to be removed")
        yield item, _remove(results, item)


def _remove(results: Path, item: Item) -> bool:
    with ExitStack() as held:
        if not all(held.enter_context(free_lease(results, id_)) for id_ in item.ids):
            return False
        if not item.path.is_dir():
            item.path.unlink(missing_ok=True)
        while item.path.is_dir():
            with suppress(FileNotFoundError):  # a file in it vanished meanwhile: on with the others
                shutil.rmtree(item.path)
    return True


def by_kind(items: Iterable[Item]) -> list[tuple[str, int, int, int]]:
    """Return (kind, number of items, files, bytes), the largest first."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.kind].append(item)
    rows = [
        (kind, len(group), sum(item.files for item in group), sum(item.bytes for item in group))
        for kind, group in groups.items()
    ]
    return sorted(rows, key=lambda row: -row[3])

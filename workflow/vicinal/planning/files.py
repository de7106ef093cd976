"""Plan files on disk: written where their content changed, and dated so that Snakemake sees which outputs are stale."""

import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from vicinal.files import atomic_path
from vicinal.jobs.plan import recorded_key
from vicinal.planning.artefacts import Artefacts
from vicinal.planning.plans import Plan, build_plans

# Older than any output: a plan file of this age makes nothing run.
LONG_AGO = 946_684_800
# Times of files may lag behind the clock by a tick.
TICK_SECONDS = 1.0


def keep_plans(artefacts: Artefacts, results: Path = Path("results")) -> None:
    """Write the plan files of a run, unless another run holds Snakemake's lock: until it ends they belong to it."""
    if not snakemake_is_locked():
        write_plans(build_plans(artefacts), results)


def snakemake_is_locked() -> bool:
    """Return whether a Snakemake works in this folder, or was killed here."""
    return any(Path(".snakemake/locks").glob("*"))


def write_plans(plans: Iterable[Plan], results: Path) -> dict[str, list[str]]:
    """Write the plan files that changed, those of stale artefacts newer than the output; return stage → stale ids.

    An artefact is stale where the key of its plan is not the one recorded beside the output, or one of its directories
    is gone. Outputs dated in the future, e.g. since the clock was set back, are dated back.
    """
    stale: dict[str, list[str]] = {}
    listings: dict[Path, set[Path]] = {}
    now = time.time()
    for plan in plans:
        _date_back(results / plan.output, now)
        fresh = recorded_key(results / plan.output) == plan.key and all(
            _is_listed(results / directory, listings) for directory in plan.directories
        )
        if not fresh:
            stale.setdefault(plan.stage, []).append(plan.id)
        _write_plan(plan, results, fresh)
    return stale


def _date_back(output: Path, now: float) -> None:
    """Date an output that is dated in the future, and what lies beside it, to just before now.

    The clock was set back since, or that of another machine is ahead. Snakemake would think that new plans are older
    than the output, and refuse the outputs of jobs that are made from it. Whether an output is fresh, its key says.
    """
    if not _is_in_future(output, now):
        return
    for path in output.parent.iterdir():
        if _is_in_future(path, now) and path.is_file():
            set_time(path, now - TICK_SECONDS)


def set_time(path: Path, seconds: float) -> None:
    """Date a file; only its owner may, so that one of another user is replaced by a copy of one's own."""
    try:
        os.utime(path, (seconds, seconds))
    except PermissionError:
        with atomic_path(path) as temporary:
            shutil.copyfile(path, temporary)
            os.utime(temporary, (seconds, seconds))


def _is_in_future(path: Path, now: float) -> bool:
    try:
        return path.lstat().st_mtime > now
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_listed(directory: Path, listings: dict[Path, set[Path]]) -> bool:
    """Return whether a directory exists; each parent is listed once for all."""
    if directory.parent not in listings:
        listings[directory.parent] = set(directory.parent.iterdir()) if directory.parent.is_dir() else set()
    return directory in listings[directory.parent]


def _has_key(path: Path, key: str) -> bool:
    """Return whether a plan file has this key. Only its beginning is read, since there can be many."""
    try:
        with path.open("rb") as file:
            return f'"key": "{key}"'.encode() in file.read(4096)
    except FileNotFoundError:
        return False


def _write(path: Path, text: str) -> None:
    """Write a file atomically but without sync: there may be thousands, and a lost one is written again."""
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        temporary.write_text(text, encoding="utf-8")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _write_plan(plan: Plan, results: Path, fresh: bool) -> None:
    path = results / plan.path
    same = _has_key(path, plan.key)
    # Snakemake ignores a newer file whose content it has seen before; the nonce changes the content.
    wants_nonce = not fresh and path.exists()
    if not same or wants_nonce:
        content = {**plan.content, "nonce": time.time_ns()} if wants_nonce else plan.content
        fields = (f"{json.dumps(name)}: {json.dumps(value, sort_keys=True)}" for name, value in sorted(content.items()))
        _write(path, "{\n" + ",\n".join(fields) + "\n}\n")
    if fresh and path.stat().st_mtime != LONG_AGO:
        set_time(path, LONG_AGO)

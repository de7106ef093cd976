"""Locks of artefacts as others see them: held by a job, or free to be taken for a moment."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vicinal.errors import VicinalError

FOLDER = "locks"


def held_locks(results: Path) -> set[str]:
    """Return the ids of the artefacts that jobs are working on (``artefact_lock``)."""
    return {path.stem for path in (results / FOLDER).glob("*.lock") if not path.is_symlink() and is_held(path)}


def is_held(path: Path) -> bool:
    """Tell whether another process holds a lock file; one that cannot be asked counts as held."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, and given back at once by closing.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def free_lock(results: Path, id_: str) -> Iterator[bool]:
    """Hold the lock of an artefact for the block and yield True; yield False where a job holds it."""
    path = results / FOLDER / f"{id_}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def check_no_snakemake() -> None:
    """Refuse to change results under a Snakemake that ``./reproduce`` did not start; under the head's lock.

    Raises:
        VicinalError: Snakemake's own lock is there: it works here, or was killed.
    """
    if any(Path(".snakemake/locks").glob("*")):
        raise VicinalError(
            ".snakemake/locks: a snakemake is working here, or was killed; wait for it, or let ./reproduce finish first"
        )

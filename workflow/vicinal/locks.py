"""Locks of artefacts as others see them: held by a job, or free to be taken for a moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vicinal.errors import VicinalError
from vicinal.lease import ENDING, FOLDER, free_lease, is_leased

__all__ = ["ENDING", "FOLDER", "check_no_snakemake", "free_lock", "held_locks", "is_held"]


def held_locks(results: Path) -> set[str]:
    """Return the ids of the artefacts that jobs are working on, by their leases."""
    return {path.stem for path in (results / FOLDER).glob(f"*{ENDING}") if not path.is_symlink() and is_held(path)}


def is_held(path: Path) -> bool:
    """Tell whether a process holds a lease; one that cannot be asked counts as held."""
    try:
        return is_leased(path)
    except OSError:
        return True


@contextmanager
def free_lock(results: Path, id_: str) -> Iterator[bool]:
    """Hold the lease of an artefact for the block and yield True; yield False where a job holds it."""
    with free_lease(results, id_) as free:
        yield free


def check_no_snakemake() -> None:
    """Refuse to change results under a Snakemake that ``./reproduce`` did not start; under the head's lock.

    Raises:
        VicinalError: Snakemake's own lock is there: it works here, or was killed.
    """
    if any(Path(".snakemake/locks").glob("*")):
        raise VicinalError(
            ".snakemake/locks: a snakemake is working here, or was killed; wait for it, or let ./reproduce finish first"
        )

"""Where a data store is built: in a folder inside the store's, by one process at a time."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vicinal.files import LEFT_OVER, exclusive

# Names of what a killed process leaves: ``verify`` does not take it for foreign, and ``gc`` removes it.
FOLDER = f"{LEFT_OVER[0]}building"
_LOCK = f"{FOLDER}.lock"


@contextmanager
def locked(directory: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a store's folder, which is made if it is missing; wait while another process holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / _LOCK
    with exclusive(path, lambda: say(f"{directory}: another process is building it; waiting")):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def publish(paths: Iterable[Path], directory: Path) -> None:
    """Move files into ``directory`` once all are on the disk; the last one shows that the others are complete."""
    paths = list(paths)
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (directory / paths[-1].name).unlink(missing_ok=True)
    for path in paths:
        path.replace(directory / path.name)

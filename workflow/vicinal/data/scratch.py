"""Where a data store is built: a temporary folder that its process locks, so that what a killed one left is removed."""

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vicinal.files import exclusive

PREFIX = f".tmp-{socket.gethostname()}-"
LOCK = ".lock"
# What was not touched for so long is left over where no lock can show it, s: of another machine, or without one.
SILENT_SECONDS = 3600.0


def clear(directory: Path, say: Callable[[str], None]) -> None:
    """Remove the workplaces in ``directory`` of processes that have ended, one line each; those of living ones stay."""
    for path in directory.glob(".tmp-*"):
        if _is_left(path):
            say(f"{path}: left by a process that was killed, removed")
            _remove(path)


@contextmanager
def workplace(directory: Path) -> Iterator[Path]:
    """Yield a temporary folder in ``directory`` that this process has locked; it is removed at the end.

    Raises:
        OSError: of the disk; it names the file as it would be called in the end.
    """
    work = Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory))
    try:
        with exclusive(work / LOCK):
            yield work
    except OSError as error:
        where = Path(str(error.filename or ""))
        if error.errno is None or not where.is_relative_to(work):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(directory / where.relative_to(work))) from error
    finally:
        _remove(work)


@contextmanager
def naming(path: Path) -> Iterator[Path]:
    """Yield ``path``; let errors of the disk name it, where the writer does not."""
    try:
        yield path
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def publish(paths: Iterable[Path], directory: Path) -> None:
    """Give files their places in ``directory`` once all are on the disk; the last says that the others are whole."""
    paths = list(paths)
    for path in paths:
        path.chmod(0o644)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (directory / paths[-1].name).unlink(missing_ok=True)
    for path in paths:
        path.replace(directory / path.name)


def _is_left(path: Path) -> bool:
    lock = path / LOCK
    if not (path.name.startswith(PREFIX) and lock.is_file()):
        return _silence(path) > SILENT_SECONDS
    try:
        with FileLock(lock, blocking=False, fallback_to_soft=False):
            return True
    except Timeout:
        return False
    except OSError:  # a file system without locks
        return _silence(path) > SILENT_SECONDS


def _silence(path: Path) -> float:
    """Return the seconds since something in a file or folder was changed; 0 where it vanished meanwhile."""
    try:
        return time.time() - max(each.lstat().st_mtime for each in (path, *path.glob("*")))
    except FileNotFoundError:
        return 0.0


def _remove(path: Path) -> None:
    """Remove a file or folder; what cannot be removed stays, and costs room only."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()

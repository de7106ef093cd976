"""Files: atomic writes, locks, reads with clear errors, and checksums.

The workflow imports this module whenever it is parsed, so nothing heavy is imported at its top.
"""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.errors import VicinalError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# The folder of the library, and that of the workflow around it: rules, scripts, templates, published numbers.
PACKAGE = Path(__file__).resolve().parent
WORKFLOW = PACKAGE.parent
# How names of temporary files and directories begin; a killed process leaves them behind.
LEFT_OVER = (".tmp-", ".old-")
# Seconds between two attempts at a lock that another process holds.
LOCK_POLL_SECONDS = 0.5
# Errors of file systems that have no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def _sync(path: Path) -> None:
    """Flush a file or directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Make errors of the disk name ``path``: some writers name no file, others the ``temporary`` file or folder."""
    temporary = temporary or path
    try:
        yield
    except OSError as error:
        where = Path(str(error.filename or temporary))
        if error.errno is None or not where.is_relative_to(temporary):
            raise
        name = str(path / where.relative_to(temporary))
        raise OSError(error.errno, os.strerror(error.errno), name) from error


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary file beside ``path``; when the block ends well it is synced and renamed to ``path``.

    When the block fails, the temporary file is removed and ``path`` stays as it was. The temporary name has the same
    ending, since some writers choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # With the rights that the umask leaves, so that a group can share a folder; those of mkstemp are one user's.
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}")
    try:
        with naming(path, temporary):
            temporary.touch(exist_ok=False)
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # safetensors puts a file in its place that only its user may read
            _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path | str, keep: Callable[[Path], bool] = lambda path: False) -> Iterator[Path]:
    """Yield an empty temporary directory beside ``path`` that replaces ``path`` when the block ends well.

    When the block fails, the temporary directory is removed and ``path`` stays as it was. So it does if ``keep`` says
    so of a directory that is there when the block ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}-{secrets.token_hex(4)}")
    temporary.mkdir()
    lock = path.with_name(f".tmp-{path.name}.lock")
    try:
        with naming(path, temporary):
            yield temporary
            for file in temporary.rglob("*"):
                _sync(file)
            _sync(temporary)
        with exclusive(lock):
            try:
                if not path.exists():
                    temporary.rename(path)
                elif not keep(path):
                    _replace_directory(path, temporary)
            finally:
                lock.unlink(missing_ok=True)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_directory(path: Path, new: Path) -> None:
    """Rename ``new`` to ``path`` and remove the old directory; if that fails put the old one back."""
    aside = path.with_name(f".old-{path.name}-{secrets.token_hex(4)}")
    aside.mkdir()
    old = aside / path.name
    try:
        path.rename(old)
        new.rename(path)
    except OSError:
        with suppress(OSError):
            if old.exists():
                old.rename(path)
            aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def exclusive(
    path: Path, waiting: Callable[[], None] = lambda: None, polled: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold the kernel's lock of a file within the block; the kernel releases it when the process ends, even if killed.

    The file is made if it is missing, its content does not matter, and the block may remove it. While another process
    holds the lock, ``waiting`` is called once and ``polled``, which may raise, before every further attempt. On a file
    system without such locks the block runs without.
    """
    from filelock import FileLock, Timeout

    lock, is_first = FileLock(path, fallback_to_soft=False), True
    try:
        while not lock.is_locked:
            try:
                lock.acquire(blocking=False)
            except Timeout:
                if is_first:
                    waiting()
                is_first = False
                polled()
                time.sleep(LOCK_POLL_SECONDS)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> tuple[bool | None, str]:
    """Return whether a process holds the kernel's lock of a file (None: unknown), and its text; does not disturb it.

    Raises OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        text = file.read(200).decode(errors="replace").strip()
        try:
            # Shared, so that two who look do not see each other; closing gives it back.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True, text
        except OSError:
            return None, text
    return False, text


def write_text(path: Path | str, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write a JSON file atomically: indented, keys sorted, no NaN."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_cache(path: Path, value: Any) -> None:
    """Write a JSON file that spares work the next time, where that can be written: who only looks need no right to."""
    with suppress(OSError):
        write_json(path, value)


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a JSON file that holds an object. Raises VicinalError: it is missing, not JSON, or holds something else."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VicinalError(f"{path}: no such file") from None
    except ValueError as error:
        raise VicinalError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(found, dict):
        raise VicinalError(f"{path}: expected a JSON object, {{…}}, found {json.dumps(found)[:40]}")
    return found


def modified(path: Path) -> float | None:
    """Return when a file was changed last, s since 1970; None if there is no such file."""
    try:
        return path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_object(path: Path | str) -> dict[str, Any]:
    """Read a JSON object; empty if there is no such file or no object in it."""
    try:
        return read_json(path)
    except (VicinalError, OSError):
        return {}


def read_table(path: Path, remedy: str | None = None, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a Parquet table that another job wrote, all columns or some; ``remedy``: what else to do than delete it.

    Raises VicinalError: it is missing or unreadable, or lacks a column; the message names it.
    """
    import pandas as pd

    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, ValueError) as error:
        raise unreadable(path, error, remedy) from None


def unreadable(path: Path, error: Exception, remedy: str | None = None) -> VicinalError:
    """Return the error for a Parquet table that another job wrote, and that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return VicinalError(f"{path}: no such file; {remedy or 'run ./reproduce to make it'}")
    remedy = remedy or "delete it and run ./reproduce again"
    return VicinalError(f"{path}: not a readable Parquet file ({error}); {remedy}")


def write_table(path: Path, table: "pd.DataFrame | pa.Table") -> None:
    """Write a table as a Parquet file, atomically and without its index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    # A file of ours, so that it is closed, and its room free, before an error is told.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file, compression="zstd")


def checksum(path: Path | str, algorithm: str) -> str:
    """Return the hexadecimal checksum of a file; ``algorithm`` is a name of hashlib's."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def sha256(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    return checksum(path, "sha256")


def remembered_sums(paths: Iterable[Path], cache: Path | None, gone: bool = False) -> dict[Path, str]:
    """Return path → SHA-256 of files of the user; files with the size and mtime in the JSON ``cache`` are not read.

    ``gone``: a removed file keeps its remembered sum. Raises VicinalError: there is no such file, or it cannot be read.
    """
    remembered = read_object(cache) if cache is not None else {}
    before = dict(remembered)
    sums = {}
    for path in paths:
        try:
            name = str(path.resolve())
            entry: Any = remembered.get(name)
            known = isinstance(entry, list) and len(entry) == 3
            if path.is_file():
                stat = path.stat()
                if not (known and entry[:2] == [stat.st_size, stat.st_mtime_ns]):
                    entry = [stat.st_size, stat.st_mtime_ns, sha256(path)]
                    remembered[name] = entry
            elif not (gone and known):
                raise VicinalError(f"{path}: no such file")
        except OSError as error:
            raise VicinalError(f"{path}: cannot be read ({str(error.strerror).lower()})") from None
        sums[path] = entry[2]
    if cache is not None and remembered != before:
        write_cache(cache, remembered)
    return sums

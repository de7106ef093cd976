"""Leases: while one job works on an artefact, others that want the same one wait, so that nothing is computed twice.

A lease is a file that is made exclusively and touched every few seconds, so it works between machines that share a file
system. It only saves work: if two processes still train the same artefact, the first to finish counts.

filelock's ``SoftFileLease`` will not do. On file systems that cannot swap two names (NFS, SMB) it never takes over
the lease of a killed process, and an empty file, as a crashed machine leaves it, holds for ever on any file system.
"""

import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from threading import Event, Thread

import psutil

from vicinal.errors import warn
from vicinal.files import exclusive, write_text
from vicinal.results import LOCKS

ENDING = ".lease"
TOUCH_SECONDS = 5.0
POLL_SECONDS = 0.5
# An owner on another machine that was silent for this long is dead: NFS may show times of files up to a minute late.
STALE_SECONDS = 90.0
# A waiting job then watches for this many touches more: where clocks differ, the lease of a living owner may look
# old, or lie in the future.
MISSED_TOUCHES = 3


@dataclass(frozen=True)
class Owner:
    """A process; no other one, on any machine, equals it.

    Attributes:
        host: name of its machine, for messages.
        machine: where its number is valid: one boot of one machine, one container.
        pid: its number.
        started: when it started, in s since boot, since numbers are reused.
    """

    host: str
    machine: str
    pid: int
    started: float

    @property
    def has_ended(self) -> bool | None:
        """Whether the process has ended; None: this machine cannot know."""
        if self.machine != _machine():
            return None
        started = _started(self.pid)
        return started is None or abs(started - self.started) > 1

    def __str__(self) -> str:
        return f"{self.host}, process {self.pid}"


def this_owner() -> Owner:
    """Return this process."""
    return _owner_of(os.getpid())


@cache
def _owner_of(pid: int) -> Owner:
    return Owner(socket.gethostname(), _machine(), pid, _started(pid) or 0.0)


@cache
def _machine() -> str:
    with suppress(OSError):  # without /proc only silence shows that an owner is dead
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return f"process {os.getpid()}"


def _started(pid: int) -> float | None:
    """Return when a process started, in s since boot, whatever the clock says; None if it has ended."""
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return round(process.create_time() - psutil.boot_time(), 2)
    except psutil.Error:
        return None


@contextmanager
def lease(results: Path, id_: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lease of an artefact for the block, waiting while another process holds it.

    Args:
        results: the results folder.
        id_: the artefact.
        on_wait: called about twice a second while it waits; may raise.
    """
    path = _path(results, id_)
    announced, watch = None, _Watch()
    while (holder := _take(path, watch.sees_end)) is not None:
        if holder != announced:
            announced = holder
            print(f"{id_}: another process is working on it ({holder}); waiting", flush=True)
        on_wait()
        time.sleep(POLL_SECONDS)
    stop = Event()
    keeper = Thread(target=_keep, args=(path, stop), name="lease", daemon=True)
    if _is_own(path):
        keeper.start()
    try:
        yield
    finally:
        stop.set()
        if keeper.is_alive():
            keeper.join()
        _release(path)


def held_leases(results: Path) -> set[str]:
    """Return the ids of the artefacts that jobs are working on."""
    return {path.stem for path in (results / LOCKS).glob(f"*{ENDING}") if not path.is_symlink() and is_held(path)}


def is_held(path: Path) -> bool:
    """Return whether a process holds the lease in the file ``path``; an unreadable one counts as held."""
    try:
        text = _read(path)
        return text is not None and not _is_stale(path, text)
    except OSError:
        return True


class _Watch:
    """What a waiting job sees of a lease: whether its owner touches it."""

    def __init__(self) -> None:
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    def sees_end(self, path: Path, text: str) -> bool:
        """Return whether the owner is gone: it is known to have ended, or was silent all the time it was watched."""
        if not _is_stale(path, text):
            return False
        if (owner := _owner(text)) and owner.has_ended:
            return True
        try:
            seen = (text, path.stat().st_mtime_ns)
        except FileNotFoundError:
            return False  # released just now
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        return time.monotonic() - self._since >= MISSED_TOUCHES * TOUCH_SECONDS


def _take(path: Path, is_stale: Callable[[Path, str], bool]) -> str | None:
    """Take a lease; return who holds it if another process does. If the disk fails, print a line and return None."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while not _create(path):
            text = _read(path)
            if text is None:
                continue  # released just now
            if not is_stale(path, text) or not _take_over(path, text):
                return _describe(_read(path) or text)
            print(f"{path.stem}: its lease was left by {_describe(text)}, which is gone; taken over", flush=True)
            break
    except OSError as error:
        warn(f"{path}: {error.strerror}; going on without a lease: another process may do the same work")
    return None


def _create(path: Path) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_own_text())
    except FileExistsError:
        return False
    except OSError:  # the disk is full; an empty lease would keep others waiting
        if _read(path) == "":
            path.unlink(missing_ok=True)
        raise
    return True


def _take_over(path: Path, stale: str) -> bool:
    """Replace a stale lease by one of this process; return False if another process was faster."""
    with exclusive(path.with_name(".takeover")):
        if _read(path) != stale:
            return False
        write_text(path, _own_text())
    return True


def _keep(path: Path, stop: Event) -> None:
    """Touch the lease of this process until told to stop, or until the lease is lost."""
    while not stop.wait(TOUCH_SECONDS):
        with suppress(OSError):  # the disk may answer the next time
            if (found := _read(path)) != _own_text():
                taken = "removed" if found is None else f"taken over by {_describe(found)}"
                warn(f"{path.stem}: the lease of this process was {taken}; it goes on: what is finished first counts")
                return
            os.utime(path)


def _release(path: Path) -> None:
    with suppress(OSError):  # it goes stale when this process ends
        if _is_own(path):
            path.unlink()


def _is_own(path: Path) -> bool:
    try:
        return _read(path) == _own_text()
    except OSError:
        return False


def _path(results: Path, id_: str) -> Path:
    return results / LOCKS / f"{id_}{ENDING}"


def _own_text() -> str:
    return json.dumps(asdict(this_owner()))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _owner(text: str) -> Owner | None:
    try:
        return Owner(**json.loads(text))
    except (ValueError, TypeError):
        return None  # it is being written, or its writer was killed


def _describe(text: str) -> str:
    return str(_owner(text) or "a process that is just starting")


def _is_stale(path: Path, text: str) -> bool:
    owner = _owner(text)
    if owner and owner.has_ended is not None:
        return owner.has_ended
    # Times in the future count too: a clock was set back, or that of a dead owner was wrong.
    return abs(_silence(path)) > STALE_SECONDS


def _silence(path: Path) -> float:
    """Return the seconds since a file was touched, by the clock of the file system: those of machines may differ."""
    with tempfile.NamedTemporaryFile(prefix=".tmp-", suffix="-probe", dir=path.parent) as probe:
        os.utime(probe.name)
        try:
            return Path(probe.name).stat().st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return 0.0  # released just now

"""Leases of artefacts: one process trains, others wait, so that nothing is computed twice. Without torch.

A lease is a file, made exclusively and touched every few seconds, so that it works on shared file systems too. It
saves work and nothing else depends on it: two processes that train the same artefact all the same, since a lease cannot
be kept here or was lost by one that was suspended, do each other no harm.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from threading import Event, Thread

FOLDER = "locks"
ENDING = ".lease"
TOUCH_SECONDS = 5.0
POLL_SECONDS = 0.5
# On another machine an owner that was silent for so long is dead: NFS may show times of files up to a minute late.
STALE_SECONDS = 90.0
# Who waits looks for so many touches more: where times of files come from their writers, clocks that differ make the
# lease of a living owner look old, or of the future.
MISSED_TOUCHES = 3


@dataclass(frozen=True)
class Owner:
    """A process, told apart from all others.

    Attributes:
        host: name of its machine, for people.
        machine: what its process numbers are valid in: one boot of one machine, one container.
        pid: its number.
        started: when it started, in clock ticks since boot, as numbers are used again.
    """

    host: str
    machine: str
    pid: int
    started: str

    @property
    def name(self) -> str:
        """Return a name for files."""
        machine = hashlib.sha256(self.machine.encode()).hexdigest()[:8]  # names of hosts are used again, too
        return re.sub(r"[^\w.-]", "_", f"{self.host}-{self.pid}-{self.started}-{machine}")


def this_owner() -> Owner:
    """Return this process."""
    return Owner(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()) or "0")


def has_ended(name: str) -> bool | None:
    """Tell of an owner, by its ``name``, whether it has ended; None where this machine cannot know."""
    if match := re.fullmatch(rf".+-(\d+)-(\d+)-{this_owner().name[-8:]}", name):
        return _started(int(match[1])) != match[2]
    return None


@cache
def _machine() -> str:
    with suppress(OSError):  # no Linux: then only silence tells who is dead
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return f"process {os.getpid()}"


def _started(pid: int) -> str | None:
    """Return when a process started; None where there is none, or it only waits to be buried."""
    try:
        # After the name, which may hold anything, in parentheses: the state is field 3, the start field 22.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


@contextmanager
def lease(results: Path, id_: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lease of an artefact for the block, waiting while another process holds it.

    Args:
        results: the results folder.
        id_: the artefact.
        on_wait: called about twice a second while it waits; may raise.
    """
    path = results / FOLDER / f"{id_}{ENDING}"
    said, watch = None, _Watch()
    while (holder := _try(path, watch.sees_end)) is not None:
        if holder != said:
            said = holder
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
        if keeper.ident is not None:
            keeper.join()
        _release(path)


@contextmanager
def free_lease(results: Path, id_: str) -> Iterator[bool]:
    """Hold the lease of an artefact for a short block and yield True; yield False where another process holds it."""
    path = results / FOLDER / f"{id_}{ENDING}"
    if _try(path, _is_stale) is not None:
        yield False
        return
    try:
        yield True
    finally:
        _release(path)


def is_leased(path: Path) -> bool:
    """Tell whether a process holds the lease that is kept in the file ``path``."""
    text = _read(path)
    return text is not None and not _is_stale(path, text)


class _Watch:
    """What a waiting process sees of a lease: whether somebody touches it."""

    def __init__(self) -> None:
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    def sees_end(self, path: Path, text: str) -> bool:
        """Tell whether the owner is gone: known to be, or silent for long and since this process looks at it."""
        if not _is_stale(path, text):
            return False
        if _is_of_this_machine(_owner(text)):
            return True
        try:
            seen = (text, path.stat().st_mtime_ns)
        except FileNotFoundError:
            return False  # given back this moment
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        return time.monotonic() - self._since >= MISSED_TOUCHES * TOUCH_SECONDS


def _try(path: Path, is_stale: Callable[[Path, str], bool]) -> str | None:
    """Take a lease; return who holds it if that is another process. One that cannot be kept is worth one line."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            if _create(path):
                return None
            text = _read(path)
            if text is None:
                continue  # given back this moment
            if not is_stale(path, text):
                return _describe(text)
            if not _take_over(path, text):
                return _describe("")
            print(f"{path.stem}: its lease was left by {_describe(text)}, which is gone; taken over", flush=True)
            return None
    except OSError as error:
        print(
            f"{path}: {error.strerror}; going on without a lease: another process may do the same work",
            file=sys.stderr,
            flush=True,
        )
        return None


def _create(path: Path) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_own_text())
    except FileExistsError:
        return False
    except OSError:  # the disk is full: an empty lease would keep others waiting
        if _read(path) == "":
            path.unlink(missing_ok=True)
        raise
    return True


def _take_over(path: Path, stale: str) -> bool:
    """Put an own lease in the place of a stale one; return False where another process was faster."""
    with path.with_name(".takeover").open("a", encoding="utf-8") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            # Without flock two that come in the same moment may both take it, which costs time only.
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
        if _read(path) != stale:
            return False
        temporary = path.with_name(f".tmp-{this_owner().name}-{path.name}")
        try:
            temporary.write_text(_own_text(), encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return True


def _keep(path: Path, stop: Event) -> None:
    """Touch a lease until told to stop, or until it is lost."""
    text = _own_text()
    while not stop.wait(TOUCH_SECONDS):
        try:
            if (found := _read(path)) != text:
                taken = f"taken over by {_describe(found)}" if found is not None else "removed"
                print(
                    f"{path.stem}: the lease of this process was {taken}; it goes on: what is finished first counts",
                    file=sys.stderr,
                    flush=True,
                )
                return
            os.utime(path)
        except OSError:
            continue  # the disk does not answer now: it may the next time


def _release(path: Path) -> None:
    with suppress(OSError):  # left behind, it is stale as soon as this process ends
        if _is_own(path):
            path.unlink()


def _is_own(path: Path) -> bool:
    try:
        return _read(path) == _own_text()
    except OSError:
        return False


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
    owner = _owner(text)
    return f"{owner.host}, process {owner.pid}" if owner else "a process that is just starting"


def _is_of_this_machine(owner: Owner | None) -> bool:
    return owner is not None and owner.machine == _machine()


def _is_stale(path: Path, text: str) -> bool:
    owner = _owner(text)
    if _is_of_this_machine(owner):
        return _started(owner.pid) != owner.started
    # Of the future too: a clock was set back since, or that of a dead owner was wrong; nobody would ever touch it.
    return abs(_silence(path)) > STALE_SECONDS


def _silence(path: Path) -> float:
    """Return the seconds since a file was touched, by the clock of its file system: machines may differ."""
    probe = path.with_name(f".tmp-{this_owner().name}-probe")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # given back this moment
    finally:
        probe.unlink(missing_ok=True)

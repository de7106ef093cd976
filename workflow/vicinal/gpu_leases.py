"""Leases of GPUs: each job takes one for itself, since Snakemake counts GPUs but does not say which one a job gets.

A slot of a GPU is a lock file in a folder of this machine, and who holds its flock has the slot. The kernel frees it
when the process ends, however it ends; what is written in the file serves messages only. Jobs of other users, of
containers with a /tmp of their own, and with another TMPDIR are not seen.
"""

import fcntl
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vicinal.errors import VicinalError
from vicinal.gpus import VISIBLE, identity, list_gpus

POLL_SECONDS = 1.0
# While a job waits, a line after so many seconds.
SAY_SECONDS = 60.0

# Descriptors of the lock files that are open here.
_open: set[int] = set()


def _close_in_child() -> None:
    """Close the lock files in a forked child: a flock lasts as long as anybody has the file open.

    Closing keeps the parent's lock (LOCK_UN would free it). Programs started by exec never get them: close-on-exec.
    """
    for descriptor in _open:
        os.close(descriptor)
    _open.clear()


os.register_at_fork(after_in_child=_close_in_child)


@dataclass(frozen=True)
class Lease:
    """A leased slot of a GPU, held until ``release`` or the end of this process.

    Attributes:
        device: the GPU, as in CUDA_VISIBLE_DEVICES.
        slot: counted from 0.
        path: the lock file.
        descriptor: of the lock file.
        before: CUDA_VISIBLE_DEVICES before the lease; None: not set.
    """

    device: str
    slot: int
    path: Path
    descriptor: int
    before: str | None

    def release(self) -> None:
        """Give the slot back, and CUDA_VISIBLE_DEVICES its former value; nothing in a forked child, which has none."""
        if self.descriptor in _open:
            _close(self.descriptor)
            if self.before is None:
                os.environ.pop(VISIBLE, None)
            else:
                os.environ[VISIBLE] = self.before


def lease_folder() -> Path:
    """Return the folder of this machine's lock files: one a user, and on SLURM one a job that was given GPUs.

    SLURM hands out GPUs itself, and may call the first GPU of every job 0: jobs must not wait for each other there.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    own = f"-job{job}" if job.isdecimal() and VISIBLE in os.environ else ""
    return Path(tempfile.gettempdir()) / f"vicinal-gpus-{os.geteuid()}{own}"


def lease(
    devices: Sequence[str],
    slots: int = 1,
    folder: Path | None = None,
    artefact: str = "",
    poll: float = POLL_SECONDS,
) -> Lease:
    """Lease a GPU, waiting for one if need be, and set CUDA_VISIBLE_DEVICES to it: see ``lease_several``."""
    return lease_several(devices, 1, slots, folder, artefact, poll)[0]


def lease_several(
    devices: Sequence[str],
    number: int,
    slots: int = 1,
    folder: Path | None = None,
    artefact: str = "",
    poll: float = POLL_SECONDS,
) -> list[Lease]:
    """Lease GPUs, waiting for them if need be, and set CUDA_VISIBLE_DEVICES to the first.

    Must come before anything on CUDA, which reads that variable once. Slot 0 of every GPU is taken before slot 1 of
    any. Of the jobs that want several one at a time collects them, as they become free, so that no two wait for what
    the other one holds.

    Args:
        devices: to choose from, see ``visible_devices``.
        number: of GPUs.
        slots: jobs that share a GPU.
        folder: of the lock files; it must be of this machine. None: ``lease_folder``.
        artefact: what the job makes, for the messages of others.
        poll: seconds between two tries.

    Raises:
        VicinalError: the folder cannot be used, or is not this user's own.
    """
    if not 0 < number <= len(devices) or slots < 1:
        raise ValueError(f"nothing to lease: {number} of {len(devices)} devices, {slots} slots")
    folder = folder or lease_folder()
    _own_folder(folder)
    with _turn(folder, artefact, poll) if number > 1 else nullcontext():
        held = _collect(devices, number, slots, folder, artefact, poll)
    os.environ[VISIBLE] = held[0].device
    return held


@contextmanager
def _turn(folder: Path, artefact: str, poll: float) -> Iterator[None]:
    """Let one job at a time collect GPUs."""
    path, said = folder / "several.lock", None
    while (descriptor := _try_lock(path, artefact)) is None:
        if said is None or time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            print(f"waiting for another job that collects GPUs ({_holder(path)})", file=sys.stderr, flush=True)
        time.sleep(poll)
    try:
        yield
    finally:
        _close(descriptor)


def _collect(devices: Sequence[str], number: int, slots: int, folder: Path, artefact: str, poll: float) -> list[Lease]:
    """Return leases of different GPUs, waiting until there are as many as wanted."""
    gpus = list_gpus()
    places = {
        (device, slot): folder / f"{quote(identity(device, gpus) or device, safe='')}.{slot}.lock"
        for slot in range(slots)
        for device in devices
    }
    said, held = None, {}
    while True:
        for (device, slot), path in places.items():
            if device in held or (descriptor := _try_lock(path, artefact)) is None:
                continue
            shared = f" (slot {slot} of {slots})" if slots > 1 else ""
            print(f"leased GPU {device}{shared}", file=sys.stderr, flush=True)
            held[device] = Lease(device, slot, path, descriptor, os.environ.get(VISIBLE))
            if len(held) == number:
                return [held[device] for device in devices if device in held]
        if said is None or time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            holders = "; ".join(f"{name}: {_holder(path)}" for (name, _), path in places.items() if name not in held)
            wanted = f"{number - len(held)} more GPUs" if held else f"{number} GPUs" if number > 1 else "a GPU"
            print(f"waiting for {wanted}, all are taken ({holders})", file=sys.stderr, flush=True)
        time.sleep(poll)


def _own_folder(folder: Path) -> None:
    """Make the folder of the lock files, and refuse one that somebody else could have put there.

    Raises:
        VicinalError: see above.
    """
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
    except OSError as error:
        raise _unusable(folder, error) from None
    if not stat.S_ISDIR(status.st_mode):
        raise VicinalError(f"{folder}: is a link or a file, but leases of GPUs need a folder here; remove it")
    if status.st_uid != os.geteuid():
        raise VicinalError(f"{folder}: belongs to user {status.st_uid}; leases of GPUs need another TMPDIR")
    if status.st_mode & 0o022:
        raise VicinalError(f"{folder}: others may write to it; chmod 700 it, since leases of GPUs are kept there")


def _unusable(path: Path, error: OSError) -> VicinalError:
    return VicinalError(
        f"{path}: cannot be used for leases of GPUs ({error.strerror}); set TMPDIR to a folder of this machine that "
        "you may write to"
    )


def _try_lock(path: Path, artefact: str) -> int | None:
    """Return the descriptor of a lock file that is now held; None if somebody else holds it."""
    held = False
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        _open.add(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = _is_in_place(descriptor, path)
        except BlockingIOError:
            return None
        finally:
            if not held:
                _close(descriptor)
    except OSError as error:
        raise _unusable(path, error) from None
    if held:
        with suppress(OSError):  # for messages only: a full disk is no reason to stop
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}, {artefact or 'unnamed'}".encode(), 0)
    return descriptor if held else None


def _is_in_place(descriptor: int, path: Path) -> bool:
    """Tell whether an open file still has its name: one that a cleaner removed would be locked by nobody else."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _close(descriptor: int) -> None:
    _open.discard(descriptor)
    os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") or "a process that is just starting"
    except FileNotFoundError:
        return "free just now"

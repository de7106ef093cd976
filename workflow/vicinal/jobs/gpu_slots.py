"""Slots of GPUs: every job takes one, since Snakemake counts GPUs but does not say which one a job gets.

A slot is a lock file in a folder of this machine. Its owner is the process that holds the kernel's lock of the file,
which the kernel releases when the process ends, even if it is killed; the file's text is for messages only. Jobs of
other users, in containers with their own /tmp, or with another TMPDIR are not seen.
"""

import os
import stat
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from vicinal.errors import VicinalError, say
from vicinal.jobs.gpus import VISIBLE, identity, list_gpus

POLL_SECONDS = 1.0
# Seconds between two messages of a waiting job.
SAY_SECONDS = 60.0


@dataclass(frozen=True)
class Slot:
    """A slot of a GPU, held until ``release`` or the end of this process."""

    device: str  # the GPU, as in CUDA_VISIBLE_DEVICES
    number: int  # of the slot, from 0
    lock: FileLock  # of its file; a forked child does not have it
    before: str | None  # CUDA_VISIBLE_DEVICES before; None: not set

    @property
    def path(self) -> Path:
        """Return the lock file."""
        return Path(self.lock.lock_file)

    def release(self) -> None:
        """Release the slot and restore CUDA_VISIBLE_DEVICES; do nothing in a forked child."""
        if not self.lock.is_locked:
            return
        self.lock.release()
        if self.before is None:
            os.environ.pop(VISIBLE, None)
        else:
            os.environ[VISIBLE] = self.before


def slot_folder() -> Path:
    """Return the folder of this machine's lock files: one a user, on SLURM one a job that has GPUs.

    SLURM assigns GPUs itself and may call the first GPU of every job 0, so its jobs must not wait for each other.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    own = f"-job{job}" if job.isdecimal() and VISIBLE in os.environ else ""
    return Path(tempfile.gettempdir()) / f"vicinal-gpus-{os.geteuid()}{own}"


def take_slot(
    devices: Sequence[str],
    slots: int = 1,
    folder: Path | None = None,
    artefact: str = "",
    poll: float = POLL_SECONDS,
) -> Slot:
    """Take a free slot of a GPU, or wait for one, and set CUDA_VISIBLE_DEVICES to the GPU.

    Every GPU gets a job before any gets a second one.

    Args:
        devices: the GPUs to choose from, as in CUDA_VISIBLE_DEVICES; the first free one is taken.
        slots: jobs that share a GPU, the same number for all jobs of a machine.
        folder: of the lock files; by default ``slot_folder()``. It is made if its parent exists.
        artefact: what the job makes, for the messages of waiting jobs.
        poll: seconds between two tries while all slots are taken.

    Raises:
        VicinalError: the folder or a file in it cannot be used for locks.
        ValueError: there is no device, or no slot.
    """
    if not devices or slots < 1:
        raise ValueError("no slot to take")
    folder = folder or slot_folder()
    _own_folder(folder)
    gpus = list_gpus()
    # By identity, since index and UUID name the same GPU.
    locks = {
        (device, number): FileLock(
            folder / f"{quote(identity(device, gpus) or device, safe='')}.{number}.lock",
            thread_local=False,
            fallback_to_soft=False,
        )
        for number in range(slots)
        for device in devices
    }
    announced = None
    while True:
        for (device, number), lock in locks.items():
            if _locked(lock, artefact):
                shared = f" (slot {number} of {slots})" if slots > 1 else ""
                say(f"leased GPU {device}{shared}")
                slot = Slot(device, number, lock, os.environ.get(VISIBLE))
                os.environ[VISIBLE] = device
                return slot
        if announced is None or time.monotonic() - announced >= SAY_SECONDS:
            announced = time.monotonic()
            holders = "; ".join(f"{name}: {_holder(Path(lock.lock_file))}" for (name, _), lock in locks.items())
            say(f"waiting for a GPU, all are taken ({holders})")
        time.sleep(poll)


def _own_folder(folder: Path) -> None:
    """Make the folder of the lock files; refuse one that another user may have put there."""
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
    except OSError as error:
        raise _unusable(folder, error) from None
    if not stat.S_ISDIR(status.st_mode):
        raise VicinalError(f"{folder}: is a link or a file, but locks of GPUs need a folder here; remove it")
    if status.st_uid != os.geteuid():
        raise VicinalError(f"{folder}: belongs to user {status.st_uid}; locks of GPUs need another TMPDIR")
    if status.st_mode & 0o022:
        raise VicinalError(f"{folder}: others may write to it; chmod 700 it, since locks of GPUs are kept there")


def _unusable(path: Path, error: OSError) -> VicinalError:
    return VicinalError(
        f"{path}: cannot be used for locks of GPUs ({error.strerror}); set TMPDIR to a folder of this machine that "
        "you may write to"
    )


def _locked(lock: FileLock, artefact: str) -> bool:
    """Take the lock of a slot and write who has it; return False if somebody else holds it."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        raise _unusable(Path(lock.lock_file), error) from None
    with suppress(OSError):  # the text is for messages only
        Path(lock.lock_file).write_text(f"process {os.getpid()}, {artefact or 'unnamed'}", encoding="utf-8")
    return True


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") or "a process that is just starting"
    except FileNotFoundError:
        return "free just now"

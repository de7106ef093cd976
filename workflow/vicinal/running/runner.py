"""The head of a run: starts Snakemake, shows how far it is, and reports what failed."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import psutil
from rich.console import Console

from vicinal.errors import VicinalError, say
from vicinal.files import write_text
from vicinal.planning.files import snakemake_is_locked
from vicinal.running.live import LiveView, Planned, follow
from vicinal.running.log_reader import tail
from vicinal.running.tracking import Tracker

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
SNAKEMAKE_ON_SLURM = [sys.executable, "-m", "vicinal.running.slurm_executor"]
# If Snakemake fails without a failed job, so many of its last lines are shown.
SHOWN_LINES = 15
# While Snakemake stops, jobs that it has just started are looked for so often, s.
STOP_SECONDS = 0.5
# On a busy machine a killed process may hold its locks for so long, s.
RELEASE_SECONDS = 1.0
# The exit statuses of shells: 128 + SIGINT, 128 + SIGTERM.
INTERRUPTED, TERMINATED = 130, 143


@contextmanager
def head_lock(results: Path) -> Iterator[int]:
    """Hold the one lock of this results folder; yield its file descriptor, which Snakemake inherits.

    Snakemake keeps the lock when this process is killed, so that no second head starts beside it; its jobs do not
    inherit it. The file names the holder, and is empty after a run that ended in order. Raises VicinalError: another
    head is running, or the folder cannot be written.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        descriptor = _open_lock(results)
    except OSError as error:
        why = f"{error.filename or results}: {error.strerror}"
        raise VicinalError(f"{results}: cannot be written ({why}); make it a folder you may write to") from None
    try:
        yield descriptor
        if not snakemake_is_locked():
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _open_lock(results: Path) -> int:
    """Open and take the lock of a results folder; one of another user that only he may write is replaced by a copy."""
    path = results / ".lock"
    while True:
        try:
            descriptor, foreign = os.open(path, os.O_RDWR | os.O_CREAT, 0o666), False
        except PermissionError:
            descriptor, foreign = os.open(path, os.O_RDONLY), True
        taken, holder = _take(descriptor), _holder(descriptor)
        if not taken:
            os.close(descriptor)
            raise VicinalError(f"{results}: another run is working here ({holder}); wait for it or stop it")
        if foreign:
            write_text(path, holder)
        elif os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Take the lock; return False if another run has it. A killed run keeps it until its last thread has ended."""
    deadline = time.monotonic() + RELEASE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip()


def unlock_snakemake(lock: int, arguments: list[str], force: bool = False) -> None:
    """Remove the lock that a killed Snakemake left behind, or any (``force``); write into the head's who holds it now.

    If the last head here was killed, Snakemake's lock belongs to it and is dead: if that Snakemake still lived it would
    hold the head's lock. Otherwise somebody called ``snakemake`` directly, and it may still be working: VicinalError.
    """
    if snakemake_is_locked():
        killed = _holder(lock)
        if not (killed or force or _confirmed()):
            raise VicinalError(
                ".snakemake/locks: a snakemake that ./reproduce did not start is working here, or was killed; wait for "
                "it, or if it does not run any more: ./reproduce --unlock"
            )
        print(
            f"removing the lock of a Snakemake that was killed ({killed or 'not started by ./reproduce'})", flush=True
        )
        subprocess.run([*SNAKEMAKE, "--unlock", *arguments], check=True, capture_output=True)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()} since {datetime.now():%Y-%m-%d %H:%M:%S}\n".encode(), 0)


def _confirmed() -> bool:
    """Ask whether to remove the lock; without a terminal, return False."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    print("A snakemake that ./reproduce did not start is working here, or was killed.")
    return input("Has it ended, and shall its lock be removed? [y/N] ").strip().lower() in ("y", "yes")


def run_snakemake_as_it_is(command: list[str], lock: int) -> int:
    """Run Snakemake with its own output, and return its exit status."""
    process = subprocess.Popen(command, pass_fds=(lock,))
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # Snakemake got it too, and ends its jobs
            continue


def run_snakemake(
    command: list[str], results: Path, lock: int, planned: Planned = dict, tracker: Tracker | None = None
) -> int:
    """Run Snakemake on the workflow of this folder, show progress, and return its exit status.

    Its output goes to ``logs`` in the results folder, with one file for each run. It inherits the descriptor ``lock``.
    """
    logs = results / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"run-{datetime.now():%Y%m%d-%H%M%S}.log"
    reading, writing = os.pipe()
    plugin = ["--logger", "vicinal", "--logger-vicinal-pipe", str(writing)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *plugin], stdout=output, stderr=subprocess.STDOUT, pass_fds=(lock, writing)
        )
    os.close(writing)
    signal.signal(signal.SIGTERM, _raise_terminated)
    view = LiveView(Console(highlight=False), results, planned, tracker)
    run = view.run
    try:
        follow(reading, view)
    except KeyboardInterrupt as stop:
        is_terminated = isinstance(stop, _Terminated)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("stopping: Snakemake ends its jobs", flush=True)
        # Ctrl-C reached Snakemake and its jobs too; SIGTERM may have reached this process only.
        if not run.total:  # no job has begun, and modules that Snakemake imports may have lost its Ctrl-C
            process.kill()
        elif is_terminated:
            _stop(process)
        process.wait()
        say("stopped; what is finished is kept, run again to go on")
        return TERMINATED if is_terminated else INTERRUPTED
    status = process.wait()
    if status:
        # What Snakemake prints before it has read its arguments is not an event.
        for line in run.failures() or (run.errors or tail(log))[-SHOWN_LINES:]:
            say(f"error: {line}")
        say(f"not finished (all output: {log}); what is finished is kept, run again to go on")
    elif not run.total:
        print("nothing to do: all results are up to date", flush=True)
    return status


class _Terminated(KeyboardInterrupt):
    """SIGTERM: like Ctrl-C, with another exit status."""


def _raise_terminated(number: int, frame: object) -> None:
    raise _Terminated


def _stop(process: subprocess.Popen) -> None:
    """End Snakemake and its jobs, which leave a checkpoint.

    At SIGTERM Snakemake would wait for its jobs, perhaps for hours, or hang for ever: its handler takes locks that are
    not reentrant. At SIGINT it stops and starts no more jobs.
    """
    process.send_signal(signal.SIGINT)
    told: set[psutil.Process] = set()
    while process.poll() is None:
        # A job is a shell that waits for a script; only the script is told to end.
        for job in _leaves(process.pid) - told:
            told.add(job)
            with suppress(psutil.NoSuchProcess):
                job.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


def _leaves(pid: int) -> set[psutil.Process]:
    """Return the living processes below a process that have no living children."""
    living, parents = set(), set()
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it ended this moment
                if process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                    living.add(process)
                    parents.add(process.ppid())
    return {process for process in living if process.pid not in parents}

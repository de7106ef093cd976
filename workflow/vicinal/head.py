"""The head of a run: starts Snakemake, shows how far it is, and says plainly what failed."""

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
from queue import Empty, Queue
from threading import Thread

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vicinal.errors import VicinalError
from vicinal.watcher import Watcher

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
# Where nobody watches a terminal, a line about the running jobs after so many seconds without news.
QUIET_SECONDS = 20
INTERRUPTED = 130  # as shells say it: 128 + SIGINT


@contextmanager
def head_lock(results: Path) -> Iterator[int]:
    """Hold the one lock of this results folder; yield its file descriptor, which Snakemake inherits.

    Snakemake keeps the lock when this process is killed, so that no second head starts beside it; its jobs do not
    inherit it.

    Raises:
        VicinalError: another head is running, or the folder cannot be written.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(results / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise VicinalError(
            f"{results}: cannot be written ({error.strerror}); make it a folder you may write to"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            raise VicinalError(f"{results}: another run is working here ({holder}); wait for it or stop it") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} since {datetime.now():%Y-%m-%d %H:%M:%S}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def unlock_snakemake(arguments: list[str]) -> None:
    """Remove the lock that a killed Snakemake left behind; call it under the head's lock only."""
    if any(Path(".snakemake/locks").glob("*")):
        print("a run ended without tidying up: removing its Snakemake lock", flush=True)
        subprocess.run([*SNAKEMAKE, "--unlock", *arguments], check=True, capture_output=True)


def run_snakemake_as_it_is(arguments: list[str], lock: int) -> int:
    """Run Snakemake with its own output, and return its exit status."""
    return subprocess.run([*SNAKEMAKE, *arguments], check=False, pass_fds=(lock,)).returncode


def run_snakemake(arguments: list[str], logs: Path, lock: int) -> int:
    """Run Snakemake on the workflow of this folder, show progress, and return its exit status.

    Args:
        arguments: of Snakemake.
        logs: folder for its whole output, a file a run.
        lock: descriptor that Snakemake inherits.
    """
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"run-{datetime.now():%Y%m%d-%H%M%S}.log"
    process = subprocess.Popen(
        [*SNAKEMAKE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=(lock,),
    )
    # Ctrl-C reaches Snakemake as well, which stops its jobs; SIGTERM has to be handed on.
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    watcher = Watcher()
    with log.open("w", encoding="utf-8") as file:
        try:
            _follow(process, watcher, file)
        except KeyboardInterrupt:
            print("stopping: Snakemake ends its jobs", flush=True)
            process.wait()
            print("stopped; what is finished is kept, run again to go on", file=sys.stderr, flush=True)
            return INTERRUPTED
        status = process.wait()
    if status:
        for line in watcher.failures():
            print(f"error: {line}", file=sys.stderr)
        print(
            f"not finished (all output: {log}); what is finished is kept, run again to go on",
            file=sys.stderr,
            flush=True,
        )
    elif not watcher.total:
        print("nothing to do: all results are up to date", flush=True)
    return status


def _follow(process: subprocess.Popen, watcher: Watcher, file) -> None:
    """Read Snakemake's output to its end; show what happens."""
    lines: Queue[str | None] = Queue()

    def pump() -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    Thread(target=pump, daemon=True).start()
    console = Console(highlight=False)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("jobs"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    began = last_news = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=None)
        while True:
            try:
                line = lines.get(timeout=0.5)
            except Empty:
                now = "\n".join(
                    job.last_line()[: max(20, console.width - 2)] for job in list(watcher.running.values())[:4]
                )
                progress.update(task, description=f"\n{now}")
                if not console.is_terminal and watcher.running and time.monotonic() - last_news > QUIET_SECONDS:
                    last_news = time.monotonic()
                    for job in watcher.running.values():
                        print(f"        {_clock(last_news - began)} … {job.last_line()}", flush=True)
                continue
            if line is None:
                return
            with suppress(OSError):  # a full disk must not stop the run from saying what failed
                file.write(line)
                file.flush()
            finished = watcher.read(line)
            progress.update(task, completed=watcher.done, total=watcher.total or None)
            if finished is not None and finished.rule != "all":
                last_news = time.monotonic()
                count = f"[{watcher.done + 1:>{len(str(watcher.total))}}/{watcher.total}]"
                progress.console.print(f"{count} {_clock(last_news - began)} {finished.label}", markup=False)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"

"""The processes of a job that has several GPUs: the job's own leads, and starts the others as its helpers.

A helper is the same script, told by the variables that ``torchrun`` uses (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT)
which one of how many it is. torchrun itself is not needed, and not used: it ends with 1 whatever its processes end
with, and would stand between a signal and the process that makes a checkpoint. Started by hand, as in
``torchrun --nproc-per-node 2 workflow/scripts/distill.py --gpus-per-job 2 …``, a script takes part all the same.

Helpers heed no signal, since the first process tells them when to stop; SIGTERM they pass on to it. They end when it
does, however it ends. Where one of them dies, so does the job, and says so. Without torch.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from vicinal.device import started_by_torchrun, whole_number
from vicinal.errors import VicinalError
from vicinal.gpus import VISIBLE
from vicinal.heartbeat import EVERY, update_heartbeat
from vicinal.interruption import SIGNALS, TO_BE_CONTINUED

if TYPE_CHECKING:
    import torch

    from vicinal.parallel import Group

# In a helper: the process that started it.
LEADER = "VICINAL_LEADER"
# Helpers end by themselves after the last step, or at the latest after so many seconds.
END_SECONDS = 10.0
# The first process learns from a broken connection that a helper died, unless it waits for a GPU: then it is ended.
GRACE_SECONDS = 10.0
POLL_SECONDS = 0.05


def add_processes_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--gpus-per-job`` to a trainer's arguments."""
    parser.add_argument(
        "--gpus-per-job",
        type=whole_number,
        default=1,
        metavar="N",
        help="GPUs that share each batch, a process each; on a CPU as many processes",
    )


def is_helper(number: int) -> bool:
    """Tell whether this is a helper in a job of ``number`` processes."""
    return started_by_torchrun(number) and os.environ["RANK"] != "0"


def become_helper() -> None:
    """Ignore signals, and end with the first process; call it first thing in a helper."""
    # To the end: the first process says the same.
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if LEADER not in os.environ:  # torchrun looks after it
        return
    # Waited for in a thread: while the main one waits for other processes it can handle no signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGTERM, lambda number, frame: _pass_on())
    Thread(target=_wait_for_sigterm, name="signals", daemon=True).start()
    Thread(target=_end_with_the_leader, name="leader", daemon=True).start()


def _wait_for_sigterm() -> None:
    signal.sigwait({signal.SIGTERM})
    _pass_on()


def _pass_on() -> None:
    # What ends a job may know its last processes only (``vicinal.head``).
    if os.getppid() == int(os.environ[LEADER]):
        os.kill(os.getppid(), signal.SIGTERM)


def _end_with_the_leader() -> None:
    # It never writes: there is an end once no process has the pipe open.
    while os.read(0, 1):
        pass
    os._exit(1)


class Helpers:
    """The other processes of a job, for as long as the block lasts.

    Args:
        number: of processes in all; 1: there are no others.
        what: the job, for messages.
    """

    def __init__(self, number: int, what: str) -> None:
        self._number, self._what = number, what
        self._processes: list[subprocess.Popen] = []
        self._given = started_by_torchrun(number)
        self._begun = False
        self._closing = Event()

    def __enter__(self) -> "Helpers":
        return self

    def start(self, device: "torch.device", gpus: list[str], task: dict[str, Any]) -> "Group":
        """Start the helpers, wait for them, and give them their task; return the group of all processes.

        Args:
            device: where this process computes.
            gpus: what CUDA_VISIBLE_DEVICES shall be in each process, this one first; empty on a CPU.
            task: for the helpers, as JSON knows it.

        Raises:
            VicinalError: a helper died.
        """
        from vicinal.parallel import Group, arrived, join, meeting_place

        self._begun = True
        if self._number == 1:
            return Group()
        store = None
        if not self._given:
            store = meeting_place(self._number)
            for rank in range(1, self._number):
                self._processes.append(self._start(rank, store.port, gpus[rank] if gpus else None))
            while not store.check([arrived(rank) for rank in range(1, self._number)]):
                self._check()
                time.sleep(POLL_SECONDS)
            Thread(target=self._watch, name="helpers", daemon=True).start()
        group = join(0, self._number, store)
        group.share({"device": device.type, **task})
        group.compute_on(device)
        return group

    def _start(self, rank: int, port: int, gpu: str | None) -> subprocess.Popen:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), LEADER: str(os.getpid())}
        place |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(self._number)}
        visible = {} if gpu is None else {VISIBLE: gpu}
        return subprocess.Popen(
            [sys.executable, *sys.argv],
            env={**os.environ, **place, **visible},
            stdin=subprocess.PIPE,
        )

    def _dead(self) -> str | None:
        """Return what is to be said of a helper that died; None as long as there is none."""
        for rank, process in enumerate(self._processes, 1):
            code = process.poll()
            if code not in (None, 0, TO_BE_CONTINUED):
                how = f"ended with exit code {code}, see above" if code > 0 else f"was killed by signal {-code}"
                return f"{self._what}: process {rank + 1} of {self._number} {how}"
        return None

    def _check(self) -> None:
        if dead := self._dead():
            raise VicinalError(dead)

    def _watch(self) -> None:
        """End this process where a helper dies and this one does not notice, as it waits for its GPU."""
        while not self._closing.wait(1.0):
            if dead := self._dead():
                if self._closing.wait(GRACE_SECONDS):
                    return
                print(f"error: {dead}", file=sys.stderr, flush=True)
                update_heartbeat(state="failed", error=dead)
                time.sleep(2 * EVERY)  # until that is written
                os._exit(1)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self._closing.set()
        if self._given and not self._begun:
            self._send_home()
        # A broken connection is seen at once, its cause a moment later.
        patient_until = time.monotonic() + (2.0 if _may_be_broken_connection(error) else 0.0)
        while not (dead := self._dead()) and time.monotonic() < patient_until:
            time.sleep(POLL_SECONDS)
        if error is None and self._begun and self._number > 1:
            from vicinal.parallel import leave

            leave()
        for process in self._processes:
            if error is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)
            process.kill()
            process.wait()
            process.stdin.close()
        if dead and isinstance(error, Exception):
            raise VicinalError(dead) from error

    def _send_home(self) -> None:
        """Tell helpers that somebody else has started that there is nothing to do."""
        from vicinal.parallel import join, leave

        join(0, self._number).share(None)
        leave()


def _may_be_broken_connection(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and type(error).__name__ != "OutOfMemoryError"


def wait_for_task() -> "tuple[Group, dict[str, Any] | None]":
    """Join the others as a helper; return the group and the task, None if there is nothing to do."""
    from vicinal.parallel import arrive, join

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    group = join(rank, size, arrive(rank, size) if LEADER in os.environ else None)
    return group, group.share(None)

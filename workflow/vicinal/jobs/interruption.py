"""When a training stops early: shortly before its deadline, or at a signal. Without torch."""

import argparse
import math
import os
import signal
import time
from typing import Any, NoReturn

from vicinal.errors import say

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
# Exit status of an unfinished job that continues when it is run again (EX_TEMPFAIL of sysexits.h).
TO_BE_CONTINUED = 75
INTERRUPTED = 130  # 128 + SIGINT, as shells do
# Time before the deadline for a last checkpoint and the end of the process.
RESERVE_SECONDS = 15.0
# A terminal and Snakemake may both send the same signal; one that comes later than this is a second request.
REPEAT_SECONDS = 1.0

# The deadline counts from the import of this module, when a script starts.
_START = time.monotonic()


def add_interruption_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--checkpoint-seconds`` and ``--deadline-minutes`` to a script's arguments."""
    parser.add_argument(
        "--checkpoint-seconds", type=_positive, default=60.0, metavar="S", help="seconds between two checkpoints"
    )
    parser.add_argument(
        "--deadline-minutes",
        type=_positive,
        metavar="M",
        help="minutes after which the process may be killed; shortly before, it writes a checkpoint and ends with exit "
        f"code {TO_BE_CONTINUED}",
    )


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number above 0")
    return value


class Interruption:
    """Decides when the process stops; catches SIGTERM, SIGUSR1 and Ctrl-C within its block.

    Until ``defer`` is called a signal ends the process at once, but cleanly. After that ``reason`` reports it, and a
    second signal, more than a second later, kills the process.

    Args:
        deadline_minutes: from the start of the process; None: there is no deadline.
    """

    def __init__(self, deadline_minutes: float | None = None) -> None:
        self._deadline = None if deadline_minutes is None else _START + 60 * deadline_minutes
        self._deferred = False
        self._signal: signal.Signals | None = None
        self._arrived = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        for number in SIGNALS:
            # A shell makes its background jobs ignore Ctrl-C.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def defer(self) -> None:
        """From now on, remember a signal instead of ending the process."""
        self._deferred = True

    def reason(self, reserve: float = RESERVE_SECONDS) -> str | None:
        """Return why to stop now; None if there was no signal and more than ``reserve`` seconds are left."""
        if self._signal is not None:
            return f"at {self._signal.name}"
        if self._deadline is not None and time.monotonic() > self._deadline - reserve:
            return "before its deadline"
        return None

    def check(self, what: str) -> None:
        """End the process, before the training began, if there is a reason; ``what`` names the job in the message."""
        if reason := self.reason():
            self.stop(
                f"{what}: stopped {reason}, before the training began (the last {RESERVE_SECONDS:.0f} s are kept for "
                "the end); run again, with more time"
            )

    def stop(self, message: str) -> NoReturn:
        """Print a line and end the process; another run continues it."""
        say(message)
        raise SystemExit(INTERRUPTED if self._signal is signal.SIGINT else TO_BE_CONTINUED)

    def _handle(self, number: int, frame: object) -> None:
        if self._signal is None:
            self._signal, self._arrived = signal.Signals(number), time.monotonic()
            if not self._deferred:
                self.stop(f"stopped at {self._signal.name}, before the training began; run again to go on")
        elif time.monotonic() - self._arrived > REPEAT_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

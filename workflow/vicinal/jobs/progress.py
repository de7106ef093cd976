"""Progress of a job: lines in its log, and the same in its heartbeat."""

import sys
import time

from vicinal.jobs.heartbeat import update_heartbeat

# Within an epoch, or whatever is counted, a line after so many seconds without one.
QUIET_SECONDS = 15.0


class Progress:
    """Says how far a job is, with rate and time left.

    Lines go to standard error, at most one in ``every`` seconds; the heartbeat of the process learns all.

    Args:
        what: the job, for the lines.
        total: how many there are to do.
        unit: of what, e.g. epochs.
        every: seconds between two lines.
        images: that are trained on in one unit; None where this is no training.
        before: how many were done before, by another process; they do not count for the rate.
    """

    def __init__(
        self, what: str, total: int, unit: str, every: float = 1.0, images: int | None = None, before: float = 0
    ) -> None:
        self.what, self.total, self.unit, self.every, self.images = what, total, unit, every, images
        self._before = before
        self._start = time.monotonic()
        self._last = self._beaten = self._start
        self._note = ""
        update_heartbeat(done=before, total=total, unit=unit)

    def update(self, done: int, note: str = "", models: dict[str, dict[str, float | None]] | None = None) -> None:
        """Report that ``done`` of ``total`` are done.

        Args:
            done: how many.
            note: for the line.
            models: for the heartbeat: model id → ``loss`` and ``accuracy``.
        """
        self._note = note
        now = time.monotonic()
        self._beat(now, done)
        if models is not None:
            update_heartbeat(models=models)
        if now - self._last >= self.every or done >= self.total:
            self._print(now, done)

    def within(self, done: float) -> None:
        """Report from within a unit: ``done`` counts its finished part too. Costs next to nothing: for every step."""
        now = time.monotonic()
        if now - self._beaten < self.every:
            return
        self._beat(now, done)
        if now - self._last >= QUIET_SECONDS:
            self._print(now, done)

    def _beat(self, now: float, done: float) -> None:
        self._beaten = now
        rate = (done - self._before) / max(now - self._start, 1e-9)
        update_heartbeat(
            done=done,
            seconds_left=(self.total - done) / rate if rate else None,
            images_per_second=rate * self.images if self.images else None,
        )

    def _print(self, now: float, done: float) -> None:
        self._last = now
        elapsed = max(now - self._start, 1e-9)
        rate = (done - self._before) / elapsed
        left = (self.total - done) / rate if rate else 0.0
        count = done if isinstance(done, int) else f"{done:.2f}"
        print(
            f"{self.what}: {count}/{self.total} {self.unit}, {rate:.3g} {self.unit}/s, {elapsed:.0f} s, "
            f"about {left:.0f} s left{', ' + self._note if self._note else ''}",
            file=sys.stderr,
            flush=True,
        )

"""Progress lines for the log of a job."""

import sys
import time


class Progress:
    """Prints how far a job is, at most once in ``every`` seconds, with rate and time left."""

    def __init__(self, what: str, total: int, unit: str, every: float = 1.0) -> None:
        self.what, self.total, self.unit, self.every = what, total, unit, every
        self._start = time.monotonic()
        self._last = self._start

    def update(self, done: int, note: str = "") -> None:
        """Report that ``done`` of ``total`` are done."""
        now = time.monotonic()
        if now - self._last < self.every and done < self.total:
            return
        self._last = now
        elapsed = max(now - self._start, 1e-9)
        left = elapsed / done * (self.total - done) if done else 0.0
        rate = done / elapsed
        print(
            f"{self.what}: {done}/{self.total} {self.unit}, {rate:.3g} {self.unit}/s, {elapsed:.0f} s, "
            f"about {left:.0f} s left{', ' + note if note else ''}",
            file=sys.stderr,
            flush=True,
        )

"""Progress of a job: lines in its log, and the same in its heartbeat."""

import time
from collections.abc import Mapping

from vicinal.errors import say
from vicinal.jobs.heartbeat import current_labels, update_heartbeat

# Seconds without a line after which one is printed within an epoch, too.
QUIET_SECONDS = 15.0


class Progress:
    """Reports how far a job is, with rate and time left: lines on standard error, and fields of the heartbeat.

    Args:
        unit: e.g. epochs.
        every: least seconds between two lines.
        images: trained on in one unit; None where the job trains nothing.
        before: units that another process did; they do not count for the rate.
    """

    def __init__(
        self, what: str, total: int, unit: str, every: float = 1.0, images: int | None = None, before: float = 0
    ) -> None:
        self.what, self.total, self.unit, self.every, self.images = what, total, unit, every, images
        self._before = before
        self._start = self._printed = self._reported = time.monotonic()
        self._note = ""
        update_heartbeat(done=before, total=total, unit=unit)

    def update(self, done: int, note: str = "", models: dict[str, dict[str, float | None]] | None = None) -> None:
        """Report how many units are done, and the models' ``loss`` and ``accuracy`` by id, or a note."""
        labels = current_labels()
        self._note = note
        if models is not None:
            update_heartbeat(models=models)
            if labels.keys() >= models.keys():
                self._note = ", ".join(f"{labels[id_]}: {describe_curves(curves)}" for id_, curves in models.items())
        self._report(done, self.every if done < self.total else 0)

    def within(self, done: float) -> None:
        """Report from within a unit; ``done`` counts its finished part. Cheap enough to be called at every step."""
        if time.monotonic() - self._reported >= self.every:
            self._report(done, QUIET_SECONDS)

    def _report(self, done: float, quiet: float) -> None:
        """Update the heartbeat, and print a line if none was printed for ``quiet`` seconds."""
        now = self._reported = time.monotonic()
        elapsed = max(now - self._start, 1e-9)
        rate = (done - self._before) / elapsed
        left = (self.total - done) / rate if rate else None
        speed = rate * self.images if self.images else None
        update_heartbeat(done=done, seconds_left=left, images_per_second=speed)
        if now - self._printed < quiet:
            return
        self._printed = now
        count = done if isinstance(done, int) else f"{done:.2f}"
        say(
            f"{self.what}: {count}/{self.total} {self.unit}, {rate:.3g} {self.unit}/s, {elapsed:.0f} s, "
            f"about {left or 0:.0f} s left{', ' + self._note if self._note else ''}",
        )


def describe_curves(curves: Mapping[str, float | None]) -> str:
    """Return the last ``loss`` and validation ``accuracy`` of a model, as far as they are known."""
    loss, accuracy = curves.get("loss"), curves.get("accuracy")
    words = ["" if loss is None else f"loss {loss:.4f}", "" if accuracy is None else f"val {accuracy:.1%}"]
    return " ".join(filter(None, words)) or "no finite loss"

"""When to compile the networks (``torch.compile``): where the time that it saves is more than what it takes.

Neither is known beforehand, so both are measured: two epochs run as they are, then, if enough is left, two compiled.
"""

from collections.abc import Callable

# Epochs of each kind: the first one has the warm-up in it, the last one counts.
TRIAL = 2
# Compiling is tried where a tenth of the time that is left, about the least it was ever seen to save on an H100 (12 to
# 27 %), is more than what it takes for a deep ResNet with an empty cache.
LEAST_GAIN, COMPILE_SECONDS = 0.1, 120.0


class Compilation:
    """Decides before each epoch whether the networks run compiled.

    Args:
        mode: ``on``, ``off``, or ``auto``: where it pays.
        say: called with one line when that is known.

    Attributes:
        active: whether the next epoch is to run compiled.
        seconds: that compiling took; whoever does it sets this.
    """

    def __init__(self, mode: str, say: Callable[[str], None]) -> None:
        self._say = say
        self._plain: list[float] | None = [] if mode == "auto" else None
        self._compiled: list[float] = []
        self.active = mode == "on"
        self.seconds = 0.0

    def after_epoch(self, seconds: float, epochs_left: int) -> None:
        """Take note of an epoch's wall time and decide about the next one (``active``)."""
        if self._plain is None:  # decided
            return
        if self.active:
            self._compiled.append(seconds)
            if len(self._compiled) == TRIAL:
                self._decide()
            return
        self._plain.append(seconds)
        if len(self._plain) >= TRIAL:
            self.active = LEAST_GAIN * seconds * epochs_left > COMPILE_SECONDS
            if not self.active:
                self._plain = None

    def failed(self, error: Exception) -> None:
        """Give up, after an error of the compiler."""
        self._plain, self.active = None, False
        self._say(
            f"the networks could not be compiled, so this is slower: {next(iter(str(error).splitlines()), repr(error))}"
        )

    def _decide(self) -> None:
        before, now = self._plain[-1], self._compiled[-1]
        self.active = now < before
        self._plain = None
        verdict = "kept" if self.active else "dropped"
        self._say(
            f"compiling the networks took {self.seconds:.0f} s; an epoch takes {now:.2f} s, {before:.2f} s before: "
            f"{verdict}"
        )

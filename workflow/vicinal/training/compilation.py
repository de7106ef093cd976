"""When to compile the networks (``torch.compile``): where it saves more time than it takes.

Neither time is known beforehand, so both are measured: two plain epochs, then, if enough epochs are left, two compiled.
"""

from collections.abc import Callable

# Epochs of each kind: the first includes the warm-up, the last is compared.
TRIAL = 2
# Compiling saved 12 to 27 % of an epoch on an H100, and takes up to 120 s, for a deep ResNet with an empty cache. It is
# tried where a tenth of the remaining time is more than that.
LEAST_GAIN, COMPILE_SECONDS = 0.1, 120.0


class Compilation:
    """Decides before each epoch whether the networks run compiled.

    Args:
        mode: ``on``, ``off``, or ``auto``: where it pays.
        say: called with one line when that is known.

    Attributes:
        active: whether the next epoch is to run compiled.
        seconds: that compiling took; set by the caller.
    """

    def __init__(self, mode: str, say: Callable[[str], None]) -> None:
        self._say = say
        self._undecided = mode == "auto"
        self._plain: list[float] = []
        self._compiled: list[float] = []
        self.active = mode == "on"
        self.seconds = 0.0

    def after_epoch(self, seconds: float, epochs_left: int) -> None:
        """Take note of an epoch's wall time and decide about the next one (``active``)."""
        if not self._undecided:
            return
        (self._compiled if self.active else self._plain).append(seconds)
        if len(self._compiled) == TRIAL:
            self._decide()
        elif not self.active and len(self._plain) >= TRIAL:
            self.active = self._undecided = LEAST_GAIN * seconds * epochs_left > COMPILE_SECONDS

    def failed(self, error: Exception) -> None:
        """Give up, after an error of the compiler."""
        self._undecided = self.active = False
        self._say(
            f"the networks could not be compiled, so this is slower: {next(iter(str(error).splitlines()), repr(error))}"
        )

    def _decide(self) -> None:
        before, now = self._plain[-1], self._compiled[-1]
        self.active, self._undecided = now < before, False
        verdict = "kept" if self.active else "dropped"
        self._say(
            f"compiling the networks took {self.seconds:.0f} s; an epoch takes {now:.2f} s, {before:.2f} s before: "
            f"{verdict}"
        )

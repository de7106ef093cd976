"""In what the numbers of a test are shown: those of the analysis are fractions and logarithms."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from vicinal.analysis.claims.statistics import Interval
from vicinal.words import number


@dataclass(frozen=True)
class Unit:
    """What stands behind a number, and the number as it is shown; ``of`` is monotone."""

    name: str = ""
    of: Callable[[float], float] = float

    @property
    def suffix(self) -> str:
        """What stands behind the name of a quantity; a ratio has no unit."""
        return f",{self.name}" if self.name.startswith(" ") else ""

    def show(self, value: float) -> str:
        """Return a value of the analysis with its unit, e.g. ``1.14-fold``."""
        return number(self.of(value)) + self.name

    def show_effect(self, estimate: float, interval: Interval) -> str:
        """Return an estimate with its interval, e.g. ``1.14-fold [0.648, 1.86]``."""
        low, high = (number(self.of(bound)) for bound in interval)
        return f"{self.show(estimate)} [{low}, {high}]"


PLAIN = Unit()
NATS = Unit(" nats")
POINTS = Unit(" points", lambda share: 100 * share)
FOLD = Unit("-fold", lambda log: math.exp(min(log, 700.0)))  # of the logarithm of a ratio; more would overflow

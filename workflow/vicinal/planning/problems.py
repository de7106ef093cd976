"""Problems found before a run: what keeps experiments from running, and what a user should know."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from vicinal.errors import VicinalError

Kind = Literal["error", "warning", "note"]
ERROR: Final = "error"
WARNING: Final = "warning"
NOTE: Final = "note"


@dataclass(frozen=True)
class Problem:
    """One problem."""

    text: str  # one line
    experiments: tuple[str, ...] = ()  # names of those that it concerns; empty: all
    kind: Kind = ERROR  # only an error keeps an experiment from running

    @property
    def words(self) -> str:
        """Return the line, after the names of the experiments that it concerns."""
        return f"{', '.join(self.experiments)}: {self.text}" if self.experiments else self.text

    def __str__(self) -> str:
        """Return the line as it is shown."""
        return f"{self.kind}: {self.words}"


def errors_of(problems: Iterable[Problem]) -> list[Problem]:
    """Return the errors among problems."""
    return [problem for problem in problems if problem.kind == ERROR]


def refuse(problems: Iterable[Problem]) -> None:
    """Raise the errors among problems as one VicinalError, a line each."""
    if errors := errors_of(problems):
        raise VicinalError("\n".join(problem.words for problem in errors))


def reasons(problems: Iterable[Problem]) -> dict[str, str]:
    """Return the experiments that cannot run, in the order of their problems, each with the reasons in one line."""
    found: dict[str, list[str]] = {}
    for problem in errors_of(problems):
        for name in problem.experiments:
            found.setdefault(name, []).append(problem.text)
    return {name: "; ".join(texts) for name, texts in found.items()}

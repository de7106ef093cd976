"""The verdicts of finished experiments as a table on the terminal."""

from collections.abc import Mapping
from pathlib import Path

from rich.table import Table
from rich.text import Text

from vicinal.running.console import make_table

KEYS = ("claim", "verdict", "effect", "needed", "seeds")
STYLES = {"reproduced": "bold green", "not reproduced": "bold red"}


def read_verdicts(claims: Path) -> list[dict[str, str]]:
    """Return a line for each claim, with ``KEYS``. Raises VicinalError: the file is unreadable, or of older code."""
    from vicinal.analysis.claims.report import scorecard  # pandas and SciPy take a while to load
    from vicinal.files import read_table

    return [dict(zip(KEYS, line, strict=True)) for line in scorecard(read_table(claims))]


def verdict_table(experiment: str, lines: list[dict[str, str]]) -> Table:
    """Return the lines of an experiment as a table."""
    heads = {"claim": experiment, "effect": "effect [95 % interval]"}
    rows = [[Text(line[key], style=_style(key, line)) for key in KEYS] for line in lines]
    return make_table([heads.get(key, key) for key in KEYS], rows, right=(KEYS.index("seeds"),))


def _style(key: str, line: Mapping[str, str]) -> str:
    return STYLES.get(line["verdict"], "bold") if key == "verdict" else ""

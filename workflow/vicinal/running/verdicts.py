"""The verdicts of finished experiments, from the record beside claims.parquet: pandas takes a while to load."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.table import Table
from rich.text import Text

from vicinal.files import read_object
from vicinal.running.console import make_table

KEYS = ("claim", "verdict", "effect", "needed", "seeds")
STYLES = {"reproduced": "bold green", "not reproduced": "bold red"}


def read_verdicts(folder: Path) -> list[dict[str, str]]:
    """Return the lines of the scorecard of the experiment in a folder, each with ``KEYS``; none without claims."""
    lines = read_object(folder / "claims.json").get("verdicts", [])
    return [line for line in lines if isinstance(line, dict) and set(KEYS) <= set(line)]


def count_verdicts(folders: Iterable[Path]) -> Counter[str]:
    """Return verdict → number of claims in the folders of experiments; those without claims do not count."""
    return Counter(line["verdict"] for folder in folders for line in read_verdicts(folder))


def verdict_table(experiment: str, lines: list[dict[str, str]]) -> Table:
    """Return the lines of an experiment as a table."""
    heads = {"claim": experiment, "effect": "effect [95 % interval]"}
    rows = [[Text(line[key], style=_style(key, line)) for key in KEYS] for line in lines]
    return make_table([heads.get(key, key) for key in KEYS], rows, right=(KEYS.index("seeds"),))


def _style(key: str, line: Mapping[str, str]) -> str:
    return STYLES.get(line["verdict"], "bold") if key == "verdict" else ""

"""Where tables and folded lines are printed."""

import os
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Columns of a file or pipe: no line of a table is folded, so that programs can search it.
WIDE = 1000


def make_console() -> Console:
    """Return a console on standard output, as wide as the terminal; a file has ``WIDE`` columns, or COLUMNS if set."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


def make_table(head: Sequence[str], rows: Iterable[Sequence[str | Text]], right: Sequence[int] = ()) -> Table:
    """Return a table without lines; the columns with these numbers are aligned to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for at, name in enumerate(head):
        table.add_column(Text(name), justify="right" if at in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table

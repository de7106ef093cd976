"""Where tables and folded lines are printed."""

import os

from rich.console import Console

# Columns of a file or pipe: no line of a table is folded, so that programs can search it.
WIDE = 1000


def make_console() -> Console:
    """Return a console on standard output, as wide as the terminal; a file has ``WIDE`` columns, or COLUMNS if set."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console

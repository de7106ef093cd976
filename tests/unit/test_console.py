"""Tables fill a terminal; in a file no line is folded."""

import pytest
from rich.table import Table

from vicinal.running.console import make_console


@pytest.mark.parametrize(("columns", "lines"), [(None, 1), ("40", 3)])
def test_lines_in_a_file_are_not_folded(capsys, monkeypatch, columns, lines):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    table = Table.grid()
    table.add_row("word " * 20)
    make_console().print(table)
    assert len(capsys.readouterr().out.splitlines()) == lines

"""Write the page of the dictionary of the tables: unit and meaning of every column and metric."""

from pathlib import Path

from vicinal.analysis.dictionary import page
from vicinal.errors import run
from vicinal.files import write_text
from vicinal.jobs.script import Parser


def main() -> None:
    """Write the page."""
    parser = Parser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("workflow/docs/columns.md"), help="the file to write")
    write_text(parser.parse_args().output, page())


if __name__ == "__main__":
    run(main)

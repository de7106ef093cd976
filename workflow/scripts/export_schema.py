"""Write the JSON schema of the config files, for editors and as the reference of all fields."""

from pathlib import Path

from vicinal.config import json_schema
from vicinal.errors import run
from vicinal.files import write_json
from vicinal.jobs.script import Parser


def main() -> None:
    """Export the schema."""
    parser = Parser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("workflow/config.schema.json"), help="the file to write")
    write_json(parser.parse_args().output, json_schema())


if __name__ == "__main__":
    run(main)

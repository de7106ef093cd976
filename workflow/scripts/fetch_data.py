"""Make sure that the files of a data set are there, downloading them where that is possible."""

import argparse
import sys
from pathlib import Path

from vicinal.data.catalogue import DATA_SETS, SOURCES
from vicinal.data.fetch import fetch
from vicinal.errors import run
from vicinal.files import write_json


def main() -> None:
    """Fetch one data set and write the record of its files."""
    parser = argparse.ArgumentParser(
        description="Make sure that the files of a data set are there and whole. Those of torchvision are downloaded "
        "if they are missing (CIFAR: 170 MB, Fashion-MNIST: 31 MB) and checked against their published MD5.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--name", required=True, help=f"{', '.join(DATA_SETS)}, or a folder of Parquet files")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of all data")
    parser.add_argument("--source", choices=SOURCES, default="auto", help="where the data set comes from")
    parser.add_argument("--record", type=Path, required=True, help="JSON file to write: the files and their hashes")
    arguments = parser.parse_args()
    record = fetch(arguments.name, arguments.root, arguments.source, lambda line: print(line, file=sys.stderr))
    write_json(arguments.record, record)


if __name__ == "__main__":
    run(main)

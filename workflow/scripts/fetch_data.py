"""Make sure that the files of a data set are there, downloading them where that is possible."""

import argparse
import sys
from pathlib import Path

from vicinal.data.fetch import fetch
from vicinal.errors import run
from vicinal.files import write_json
from vicinal.heartbeat import Heartbeat
from vicinal.plan import read_plan, record_key


def main() -> None:
    """Fetch one data set and write the record of its files."""
    parser = argparse.ArgumentParser(
        description="Make sure that the files of a data set are there and whole. Those of torchvision are downloaded "
        "if they are missing (CIFAR: 170 MB, Fashion-MNIST: 31 MB) and checked against their SHA-256.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--plan", type=Path, required=True, help="plan file, results/plan/downloads/ID.json")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of all data")
    parser.add_argument("--record", type=Path, required=True, help="JSON file to write: the files and their hashes")
    arguments = parser.parse_args()
    plan = read_plan(arguments.plan, "downloads")
    name, source = plan["spec"]["name"], plan["spec"]["source"]
    with Heartbeat(arguments.record.parent.parent, plan["stage"], plan["id"]):
        write_json(arguments.record, fetch(name, arguments.root, source, lambda line: print(line, file=sys.stderr)))
        record_key(arguments.record, plan)


if __name__ == "__main__":
    run(main)

"""Make sure that the files of a data set are there, and download them if possible."""

from pathlib import Path

from vicinal.data.fetch import fetch
from vicinal.errors import run, say
from vicinal.jobs.plan import read_plan
from vicinal.jobs.script import heartbeat_of, job_parser, write_output


def main() -> None:
    """Fetch one data set and write the record of its files."""
    parser = job_parser(
        "Make sure that the files of a data set are there and whole. Those of torchvision are downloaded "
        "if they are missing (CIFAR: 170 MB, Fashion-MNIST: 31 MB) and checked against their SHA-256.",
        "downloads",
    )
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of all data")
    parser.add_argument("--record", type=Path, required=True, help="JSON file to write: the files and their hashes")
    args = parser.parse_args()
    plan = read_plan(args.plan, "downloads")
    name, source = plan["spec"]["name"], plan["spec"]["source"]
    with heartbeat_of(args.results, plan):
        write_output(args.record, fetch(name, args.root, source, say), plan)


if __name__ == "__main__":
    run(main)

"""Make sure that the published corrupted test images of a data set are there, or record why not."""

from pathlib import Path

from vicinal.data.corruptions.fetch import fetch_corruptions
from vicinal.data.store import DataStore
from vicinal.errors import run, say
from vicinal.jobs.plan import read_plan
from vicinal.jobs.script import heartbeat_of, job_parser, write_output


def main() -> None:
    """Fetch the archive of one data set, find the store's test images in it and write the record."""
    parser = job_parser(
        "Make sure that the archive of corrupted test images (CIFAR-10-C, CIFAR-100-C) is there and whole: "
        "it is downloaded if it is missing (2.9 GB) and checked against its MD5. Then find its rows of the test "
        "images of a data store. If that fails, the record says why, and the script succeeds.",
        "corruptions",
        data=True,
    )
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of all data")
    parser.add_argument("--record", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    plan = read_plan(args.plan, "corruptions")
    spec = plan["spec"]
    with heartbeat_of(args.results, plan):
        store, state = DataStore(args.data), spec.get("archive_state")
        record = fetch_corruptions(spec["name"], args.root, store, state, say)
        write_output(args.record, record, plan)


if __name__ == "__main__":
    run(main)

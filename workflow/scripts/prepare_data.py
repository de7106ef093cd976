"""Build the store of a data set from its plan."""

from pathlib import Path

from vicinal.data.prepare import prepare_data
from vicinal.errors import run, say
from vicinal.files import write_json
from vicinal.jobs.fingerprint import data_modules
from vicinal.jobs.plan import record_key
from vicinal.jobs.script import checked_plan, heartbeat_of, job_parser
from vicinal.results import META


def main() -> None:
    """Build the store in the folder of the output, unless it is there already."""
    parser = job_parser(
        "Build the store of a data set: all images as one memory-mapped array, or all photos in one "
        "file, the labels and the exact split. A whole store of the same plan is kept. Takes as much disk space as the "
        "decoded images (CIFAR: 184 MB), or the photos.",
        "data",
    )
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of all data")
    parser.add_argument(
        "--output", type=Path, required=True, help="JSON file that describes the store; its folder becomes the store"
    )
    args = parser.parse_args()
    plan = checked_plan(args.plan, "data", data_modules)
    with heartbeat_of(args.results, plan):
        store = prepare_data(plan["spec"], args.root, args.output.parent, say, plan["code"])
    if args.output.name != META:
        write_json(args.output, store.meta)
    record_key(args.output, plan)


if __name__ == "__main__":
    run(main)

"""Build the store of a data set from its plan."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from vicinal.data.prepare import prepare
from vicinal.data.store import META
from vicinal.errors import run
from vicinal.files import write_json
from vicinal.fingerprint import data_modules, stage_fingerprint
from vicinal.heartbeat import Heartbeat
from vicinal.plan import check_code, read_plan, record_key
from vicinal.spec import PHOTOS


def main() -> None:
    """Build the store in the folder of the output, or keep the one that is there."""
    parser = argparse.ArgumentParser(
        description="Build the store of a data set: all images as one memory-mapped array, or all photos in one "
        "file, the labels and the exact split. A whole store of the same plan is kept as it is. Takes the size of the "
        "decoded images on disk (CIFAR: 184 MB), or of the photos.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--plan", type=Path, required=True, help="plan file, results/plan/data/ID.json")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of all data")
    parser.add_argument(
        "--output", type=Path, required=True, help="JSON file that describes the store; its folder becomes the store"
    )
    arguments = parser.parse_args()
    plan = read_plan(arguments.plan, "data")
    check_code(plan, plan["code"], stage_fingerprint("data", data_modules(plan["spec"])))
    folder = arguments.output.parent
    photos = plan["spec"].get("store") == PHOTOS
    build = import_module("vicinal.data.photos.prepare").prepare_photos if photos else prepare
    with Heartbeat(folder.parent.parent, plan["stage"], plan["id"]):
        store = build(
            plan["spec"],
            arguments.root,
            folder,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
            code=plan["code"],
        )
    if arguments.output.name != META:
        write_json(arguments.output, store.meta)
    record_key(arguments.output, plan)


if __name__ == "__main__":
    run(main)

"""Make sure that published weights are there, and download those that are missing."""

from pathlib import Path

from vicinal.errors import run, say
from vicinal.files import write_json
from vicinal.jobs.plan import read_plan
from vicinal.jobs.script import Parser, heartbeat_of, write_output
from vicinal.models.fetch import fetch_weights
from vicinal.models.pretrained import FOLDER, WEIGHTS


def main() -> None:
    """Fetch the named weights and write the record of their files."""
    sizes = ", ".join(f"{name} ({weights.size / 10**6:.0f} MB)" for name, weights in WEIGHTS.items())
    parser = Parser(
        description="Make sure that published weights, trained on ImageNet-1k, are there and whole. Those that are "
        "missing are downloaded and checked against their SHA-256; an interrupted download is resumed.",
        epilog=f"Names: {sizes}. torchvision and timm leave their weights to the terms of ImageNet.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks, see below")
    parser.add_argument("--plan", type=Path, help="plan file, results/plan/weights/NAME.json, instead of names")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder")
    parser.add_argument("--root", type=Path, default=Path("data"), help=f"folder of all data; they go to its {FOLDER}/")
    parser.add_argument("--record", type=Path, help="JSON file to write: the files, their hashes and addresses")
    args = parser.parse_args()
    if bool(args.names) == bool(args.plan) or (args.plan and not args.record):
        parser.error("give either names, or --plan and --record")

    if not args.plan:
        records = fetch_weights(args.names, args.root, say)
        if args.record:
            write_json(args.record, records)
        return
    plan = read_plan(args.plan, "weights")
    name = plan["id"]
    with heartbeat_of(args.results, plan):
        write_output(args.record, fetch_weights([name], args.root, say)[name], plan)


if __name__ == "__main__":
    run(main)

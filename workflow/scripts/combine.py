"""Write the report of a collection: its experiments side by side, one HTML file that needs no network."""

from pathlib import Path

from vicinal.errors import run
from vicinal.jobs.plan import record_key
from vicinal.jobs.provenance import Stopwatch
from vicinal.jobs.script import checked_plan, job_parser


def main() -> None:
    """Read the plan, the tables and the records, write the page."""
    watch = Stopwatch()
    parser = job_parser(__doc__, "collections")
    parser.add_argument(
        "--tables", type=Path, required=True, nargs="+", help="folders of the experiments' tables (results/EXPERIMENT)"
    )
    parser.add_argument("--output", type=Path, required=True, help="results/NAME/report.html; .json goes beside it")
    args = parser.parse_args()

    plan = checked_plan(args.plan, "collections")

    # Imported only now: pandas and SciPy load slowly, and the checks above do not need them.
    from vicinal.analysis.report.files import write_combined

    folders = {folder: folder for folder in args.tables}
    names = write_combined(folders, plan["id"], args.output, plan["spec"], plan["code"], watch, args.results)
    record_key(args.output, plan)
    print(f"{plan['id']}: {', '.join(names)} in {args.output}, {args.output.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    run(main)

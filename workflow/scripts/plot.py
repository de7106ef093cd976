"""Draw one figure of an experiment: PDF, PNG (300 dpi), and the data behind it as Parquet."""

from pathlib import Path

from vicinal.analysis.figures import FIGURES
from vicinal.errors import VicinalError, nearest, run
from vicinal.jobs.fingerprint import stage_fingerprint
from vicinal.jobs.plan import check_code, read_plan, record_key
from vicinal.jobs.provenance import Stopwatch
from vicinal.jobs.script import job_parser


def main() -> None:
    """Read the plan and the tables, draw, write."""
    watch = Stopwatch()
    parser = job_parser(__doc__, "figures")
    parser.add_argument("--tables", type=Path, required=True, help="folder of the experiment's tables (results/NAME)")
    parser.add_argument("--output", type=Path, required=True, help="the PDF; .png, .parquet and .json go beside it")
    args = parser.parse_args()

    plan = read_plan(args.plan, "figures")
    name = plan["spec"]["figure"]
    if name not in FIGURES:
        raise VicinalError(f"{args.plan}: unknown figure {name!r}{nearest(name, FIGURES)}")
    check_code(plan, plan["code"], stage_fingerprint("figures", (f"vicinal.analysis.figures.{name}",)))
    if args.output.suffix != ".pdf":
        raise VicinalError(f"--output {args.output}: must end in .pdf")

    # Imported only now: matplotlib loads slowly, and the checks above do not need it.
    from vicinal.analysis.figures.files import write_figure

    data = write_figure(name, args.tables, args.output, plan["spec"], plan["code"], watch)
    record_key(args.output, plan)
    print(f"{plan['id']}: {len(data)} rows", flush=True)


if __name__ == "__main__":
    run(main)

"""Write the report of an experiment: one HTML file that needs no network."""

from pathlib import Path

from vicinal.errors import run
from vicinal.jobs.plan import record_key
from vicinal.jobs.provenance import Stopwatch
from vicinal.jobs.script import checked_plan, job_parser


def main() -> None:
    """Read the plan, the tables and the records, write the page."""
    watch = Stopwatch()
    parser = job_parser(__doc__, "reports")
    parser.add_argument(
        "--tables", type=Path, required=True, help="folder of the experiment's tables and figures (results/NAME)"
    )
    parser.add_argument("--output", type=Path, required=True, help="results/NAME/report.html; .json goes beside it")
    args = parser.parse_args()

    plan = checked_plan(args.plan, "reports")

    # Imported only now: pandas and SciPy load slowly, and the checks above do not need them.
    from vicinal.analysis.report import read_config, read_inputs, read_records
    from vicinal.analysis.report.files import write_report

    inputs = read_inputs(args.tables)
    inputs.records |= read_records(args.results, inputs.spec)
    inputs.config = read_config(args.results / "plan" / "config.yaml", inputs.name)
    write_report(inputs, args.output, plan["spec"], plan["code"], watch)
    record_key(args.output, plan)
    print(f"{inputs.name}: {args.output}, {args.output.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    run(main)

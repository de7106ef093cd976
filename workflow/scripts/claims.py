"""Test the claims of the paper on the tables of an experiment: verdicts, intervals and p-values."""

from pathlib import Path

from vicinal.errors import run
from vicinal.jobs.plan import record_key
from vicinal.jobs.provenance import Stopwatch
from vicinal.jobs.script import checked_plan, job_parser


def main() -> None:
    """Read the plan and the tables, test, write."""
    watch = Stopwatch()
    parser = job_parser(__doc__, "claims")
    parser.add_argument("--tables", type=Path, required=True, help="folder of the experiment's tables (results/NAME)")
    parser.add_argument("--output", type=Path, required=True, help="claims.parquet; .md, .tex and .json go beside it")
    args = parser.parse_args()

    plan = checked_plan(args.plan, "claims")

    # Imported only now: SciPy and pandas load slowly, and the checks above do not need them.
    from vicinal.analysis.claims.files import verdicts_of, write_claims

    table = write_claims(args.tables, args.output, plan["spec"], plan["code"], watch)
    record_key(args.output, plan)
    for row in verdicts_of(table).itertuples():
        print(f"{row.claim} {row.verdict}: {row.reason}", flush=True)


if __name__ == "__main__":
    run(main)

#!/usr/bin/env python
"""Test the claims of the paper on the tables of an experiment: verdicts, intervals and p-values."""

import argparse
from pathlib import Path

from vicinal.errors import VicinalError, run
from vicinal.fingerprint import stage_fingerprint
from vicinal.plan import check_code, read_plan, record_key
from vicinal.provenance import Stopwatch


def main() -> None:
    """Read the plan and the tables, test, write."""
    watch = Stopwatch()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--plan", type=Path, required=True, help="plan file (results/plan/claims/EXPERIMENT.json)")
    parser.add_argument("--tables", type=Path, required=True, help="folder of the experiment's tables (results/NAME)")
    parser.add_argument("--output", type=Path, required=True, help="claims.parquet; .md and .json go beside it")
    args = parser.parse_args()

    plan = read_plan(args.plan, "claims")
    check_code(plan, plan["code"], stage_fingerprint("claims"))
    if args.output.suffix != ".parquet":
        raise VicinalError(f"--output {args.output}: must end in .parquet")

    # Imported only now: SciPy and pandas take a while to load, and the checks above need not wait for them.
    from vicinal.claims.files import verdicts_of, write_claims

    table = write_claims(args.tables, args.output, plan["spec"], plan["code"], watch)
    record_key(args.output, plan)
    for row in verdicts_of(table).itertuples():
        print(f"{row.claim} {row.verdict}: {row.reason}", flush=True)


if __name__ == "__main__":
    run(main)

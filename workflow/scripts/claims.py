#!/usr/bin/env python
"""Test the claims of the paper on the tables of an experiment: verdicts, intervals and p-values."""

import argparse
from pathlib import Path

from vicinal.errors import VicinalError, run
from vicinal.files import atomic_path, write_json, write_text
from vicinal.fingerprint import stage_fingerprint
from vicinal.plan import check_code, read_plan, record_key
from vicinal.provenance import Stopwatch, provenance


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
    from vicinal.claims import TABLES, evaluate_claims
    from vicinal.claims.report import markdown
    from vicinal.tables import read_table

    # A table that is not there leaves the claims that need it inconclusive; without metrics there is nothing to say.
    paths = {name: args.tables / f"{name}.parquet" for name in TABLES}
    table = evaluate_claims(
        {name: read_table(path) for name, path in paths.items() if path.exists() or name == "metrics"}
    )
    with atomic_path(args.output) as temporary:
        table.to_parquet(temporary, index=False)
    write_text(args.output.with_suffix(".md"), markdown(table))
    verdicts = table[table["kind"] == "verdict"]
    record = {
        "spec": plan.get("spec"),
        "code": plan["code"],
        "verdicts": dict(zip(verdicts["claim"], verdicts["verdict"], strict=True)),
        "provenance": provenance(watch),
    }
    write_json(args.output.with_suffix(".json"), record)
    record_key(args.output, plan)
    for row in verdicts.itertuples():
        print(f"{row.claim} {row.verdict}: {row.reason}", flush=True)


if __name__ == "__main__":
    run(main)

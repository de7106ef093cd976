#!/usr/bin/env python
"""Collect the tables of all models of an experiment into tidy tables, and summarise them over seeds."""

import argparse
import sys
from pathlib import Path

from vicinal.aggregate import class_table, collect, evaluation_sums, model_table, not_finite, summarise
from vicinal.data.store import read_meta
from vicinal.errors import run
from vicinal.files import atomic_path, sha256, write_json
from vicinal.fingerprint import stage_fingerprint
from vicinal.plan import check_code, read_plan, record_key
from vicinal.provenance import Stopwatch, provenance


def main() -> None:
    """Read the plan, collect, summarise, write."""
    watch = Stopwatch()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--plan", type=Path, required=True, help="plan file (results/plan/experiments/NAME.json)")
    parser.add_argument(
        "--data", type=Path, help="record of the data store (results/data/ID/data.json), to list the classes too"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder")
    parser.add_argument("--output", type=Path, required=True, help="folder for the tables (results/NAME)")
    args = parser.parse_args()

    plan = read_plan(args.plan, "experiments")
    check_code(plan, plan["code"], stage_fingerprint("experiments"))
    models = model_table(plan["spec"]["models"])
    folders, histories = {}, {}
    for id_, columns in plan["spec"]["models"].items():
        folders[id_] = args.results / "evaluations" / columns["evaluation"] / id_
        trained = args.results / ("students" if columns["role"] == "student" else "teachers") / id_
        histories[id_] = (trained if columns["role"] == "student" else trained / "model") / "history.parquet"
    made_from = evaluation_sums(folders)
    tables = collect(models, folders, histories)
    for line in not_finite(tables):
        print(f"warning: {line}; what needs it stays open", file=sys.stderr, flush=True)
    tables["summary"] = summarise(tables["metrics"])
    if args.data:
        tables["classes"] = class_table(read_meta(args.data))
    written = [args.output / f"{name}.parquet" for name in tables]
    for path in written:
        with atomic_path(path) as temporary:
            tables[path.stem].to_parquet(temporary, index=False, compression="zstd")
    written.append(args.output / "summary.csv")
    with atomic_path(written[-1]) as temporary:
        tables["summary"].to_csv(temporary, index=False)
    record = {
        "spec": plan["spec"],
        "code": plan["code"],
        "sha256": {path.name: sha256(path) for path in written},
        "made_from": made_from,
        "provenance": provenance(watch),
    }
    write_json(args.output / "provenance.json", record)
    record_key(args.output / "metrics.parquet", plan)
    print(f"{plan['id']}: {len(models)} models, {len(tables['metrics'])} rows of metrics", flush=True)


if __name__ == "__main__":
    run(main)

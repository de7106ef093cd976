"""Collect the tables of all models of an experiment into tidy tables, and summarise them over seeds."""

import sys
from pathlib import Path

from vicinal.analysis.tables import (
    class_table,
    collect,
    corruption_sources,
    corruption_table,
    evaluation_sums,
    model_table,
    not_finite,
    summarise,
)
from vicinal.data.corruptions.catalogue import unpublished
from vicinal.data.store import read_meta
from vicinal.errors import run
from vicinal.files import atomic_path, read_json, sha256, write_json, write_table
from vicinal.jobs.plan import record_key
from vicinal.jobs.provenance import Stopwatch, provenance
from vicinal.jobs.script import checked_plan, job_parser
from vicinal.results import model_folder


def main() -> None:
    """Read the plan, collect, summarise, write."""
    watch = Stopwatch()
    parser = job_parser(__doc__, "experiments")
    parser.add_argument(
        "--data", type=Path, help="record of the data store (results/data/ID/data.json), to list the classes too"
    )
    parser.add_argument("--corruptions", type=Path, help="record of the data's corrupted images, if those are wanted")
    parser.add_argument("--output", type=Path, required=True, help="folder for the tables (results/NAME)")
    args = parser.parse_args()

    plan = checked_plan(args.plan, "experiments")
    models = model_table(plan["spec"]["models"])
    folders, trained = {}, {}
    for id_, columns in plan["spec"]["models"].items():
        folders[id_] = args.results / "evaluations" / columns["evaluation"] / id_
        trained[id_] = model_folder(args.results, columns["role"], id_)
    corrupted = corruption_sources(plan["spec"]["models"], plan["spec"].get("corrupted", {}), args.results)
    made_from = evaluation_sums(folders)
    made_from |= {f"robustness/{id_}": sum_ for id_, sum_ in evaluation_sums(corrupted).items()}
    tables = collect(models, folders, trained)
    tables["corruptions"] = corruption_table(models, corrupted)
    for line in not_finite(tables):
        print(f"warning: {line}; what depends on it stays open", file=sys.stderr, flush=True)
    tables["summary"] = summarise(tables["metrics"])
    if args.data:
        tables["classes"] = class_table(read_meta(args.data))
    written = [args.output / f"{name}.parquet" for name in tables]
    for path in written:
        write_table(path, tables[path.stem])
    written.append(args.output / "summary.csv")
    with atomic_path(written[-1]) as temporary:
        tables["summary"].to_csv(temporary, index=False)
    record = {
        "spec": plan["spec"],
        "code": plan["code"],
        "sha256": {path.name: sha256(path) for path in written},
        "made_from": made_from,
        "corruptions": corruptions(plan["spec"], args.corruptions),
        "provenance": provenance(watch),
    }
    write_json(args.output / "provenance.json", record)
    record_key(args.output / "metrics.parquet", plan)
    print(f"{plan['id']}: {len(models)} models, {len(tables['metrics'])} rows of metrics", flush=True)


def corruptions(spec: dict, record: Path | None) -> dict | None:
    """Return whether there were corrupted images, and why not; None if the experiment does not use them."""
    if "corrupted" not in spec:
        return None
    found = read_json(record) if record else {"available": False, "reason": unpublished(spec["data"]["name"])}
    return {key: found.get(key) for key in ("available", "reason", "file", "md5", "url")}


if __name__ == "__main__":
    run(main)

"""Collect the tables of all models of an experiment into tidy tables, and summarise them over seeds."""

from pathlib import Path

from vicinal.analysis.dictionary import described
from vicinal.analysis.origin import measurement_records, write_record
from vicinal.analysis.paper import summary_tables
from vicinal.analysis.schema import one_temperature
from vicinal.analysis.tables import make_tables, not_finite
from vicinal.data.corruptions.catalogue import unpublished
from vicinal.data.store import read_meta
from vicinal.errors import run, warn
from vicinal.files import atomic_path, read_json, sha256, write_table, write_text
from vicinal.jobs.plan import record_key
from vicinal.jobs.provenance import Stopwatch
from vicinal.jobs.script import checked_plan, job_parser


def main() -> None:
    """Read the plan, collect, summarise, write."""
    watch = Stopwatch()
    parser = job_parser(__doc__, "experiments", data=True)
    parser.add_argument(
        "--corruptions", type=Path, help="record of the data's corrupted images, where those are wanted"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the tables (results/NAME)")
    args = parser.parse_args()

    plan = checked_plan(args.plan, "experiments")
    spec = plan["spec"]
    meta = read_meta(args.data)
    tables = make_tables(spec, args.results, meta)
    made_from = {name: sha256(path) for name, path in measurement_records(spec, args.results).items()}
    for line in not_finite(tables):
        warn(f"{line}; what needs it stays open")
    written = [args.output / f"{name}.parquet" for name in tables]
    for path in written:
        write_table(path, described(path.stem, tables[path.stem]))
    written += [args.output / f"summary.{ending}" for ending in ("csv", "tex", "md")]
    with atomic_path(written[-3]) as temporary:
        tables["summary"].to_csv(temporary, index=False)
    for path, text in zip(
        written[-2:], summary_tables(one_temperature("metrics", tables["metrics"]), plan["id"]), strict=True
    ):
        write_text(path, text)
    found = corruptions(spec, args.corruptions)
    more = {"corruptions": found, "data_notes": meta.get("notes", [])}
    write_record(args.output / "provenance.json", spec, plan["code"], watch, written, made_from, **more)
    record_key(args.output / "metrics.parquet", plan)
    print(f"{plan['id']}: {len(spec['models'])} models, {len(tables['metrics'])} rows of metrics", flush=True)


def corruptions(spec: dict, record: Path | None) -> dict | None:
    """Return whether there were corrupted images to measure, and if not why; None where nobody asked for them."""
    if "corrupted" not in spec:
        return None
    found = read_json(record) if record else {"available": False, "reason": unpublished(spec["data"]["name"])}
    return {key: found.get(key) for key in ("available", "reason", "file", "md5", "url")}


if __name__ == "__main__":
    run(main)

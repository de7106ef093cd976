#!/usr/bin/env python
"""Draw one figure of an experiment: PDF, PNG (300 dpi), and the data behind it as Parquet."""

import argparse
from importlib import import_module
from pathlib import Path

from vicinal.errors import VicinalError, nearest, run
from vicinal.figures import FIGURES
from vicinal.files import atomic_path, write_json
from vicinal.fingerprint import stage_fingerprint
from vicinal.plan import check_code, read_plan, record_key
from vicinal.provenance import Stopwatch, provenance


def main() -> None:
    """Read the plan and the tables, draw, write."""
    watch = Stopwatch()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--plan", type=Path, required=True, help="plan file (results/plan/figures/NAME/FIGURE.json)")
    parser.add_argument("--tables", type=Path, required=True, help="folder of the experiment's tables (results/NAME)")
    parser.add_argument("--output", type=Path, required=True, help="the PDF; .png, .parquet and .json go beside it")
    args = parser.parse_args()

    plan = read_plan(args.plan, "figures")
    name = plan["spec"]["figure"]
    if name not in FIGURES:
        raise VicinalError(f"{args.plan}: unknown figure {name!r}{nearest(name, FIGURES)}")
    check_code(plan, plan["code"], stage_fingerprint("figures", (f"vicinal.figures.{name}",)))
    if args.output.suffix != ".pdf":
        raise VicinalError(f"--output {args.output}: must end in .pdf")

    # Imported only now: drawing takes a while to load, and the checks above need not wait for it.
    from vicinal.figures.style import save
    from vicinal.tables import read_table

    figure = import_module(f"vicinal.figures.{name}")
    data = figure.data({table: read_table(args.tables / f"{table}.parquet") for table in figure.TABLES})
    drawn = figure.draw(data)
    for ending in (".pdf", ".png"):
        with atomic_path(args.output.with_suffix(ending)) as temporary:
            save(drawn, temporary)
    with atomic_path(args.output.with_suffix(".parquet")) as temporary:
        data.to_parquet(temporary, index=False)
    record = {
        "spec": plan["spec"],
        "code": plan["code"],
        "caption": figure.caption(data),
        "provenance": provenance(watch),
    }
    write_json(args.output.with_suffix(".json"), record)
    record_key(args.output, plan)
    print(f"{plan['id']}: {len(data)} rows", flush=True)


if __name__ == "__main__":
    run(main)

#!/usr/bin/env python
"""Write the report of an experiment: one HTML file that needs no network."""

import argparse
from pathlib import Path

from vicinal.errors import VicinalError, run
from vicinal.files import write_text
from vicinal.fingerprint import stage_fingerprint
from vicinal.plan import check_code, read_plan, record_key


def main() -> None:
    """Read the plan, the tables and the records, write the page."""
    args = parse()
    plan = None
    if args.plan:
        plan = read_plan(args.plan, "reports")
        check_code(plan, plan["code"], stage_fingerprint("reports"))
    if args.output.suffix != ".html":
        raise VicinalError(f"--output {args.output}: must end in .html")

    # Imported only now: pandas and SciPy take a while to load, and the checks above need not wait for them.
    from vicinal.report import context, read_config, read_inputs, read_records, render

    inputs = read_inputs(args.tables)
    if plan:
        inputs.records |= read_records(args.results, inputs.spec)
        inputs.config = read_config(args.results / "plan" / "config.yaml", inputs.name)
    page = render(context(inputs))
    write_text(args.output, page)
    if plan:
        record_key(args.output, plan)
    print(f"{inputs.name}: {args.output}, {len(page.encode()) / 1e6:.1f} MB", flush=True)


def parse() -> argparse.Namespace:
    """Return the arguments: a planned report, or with --from one of a folder alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--plan", type=Path, help="plan file (results/plan/reports/EXPERIMENT.json)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder")
    parser.add_argument("--tables", type=Path, help="folder of the experiment's tables and figures (results/NAME)")
    parser.add_argument("--from", type=Path, dest="folder", metavar="DIR", help="instead: such a folder alone, no plan")
    parser.add_argument("--output", type=Path, required=True, help="the report (results/NAME/report.html)")
    args = parser.parse_args()
    if args.folder:
        if args.plan or args.tables:
            parser.error("--from takes no --plan and no --tables")
        args.tables = args.folder
    elif not (args.plan and args.tables):
        parser.error("needs --plan and --tables, or --from")
    return args


if __name__ == "__main__":
    run(main)

"""Draw the figures of an experiment: of each a PDF, a PNG (300 dpi), the data behind it as Parquet, and a record."""

from functools import cache
from pathlib import Path

from vicinal.analysis.figures import FIGURES
from vicinal.errors import VicinalError, nearest, run
from vicinal.jobs.fingerprint import named_modules, stage_fingerprint
from vicinal.jobs.plan import check_code, read_plan, record_key
from vicinal.jobs.progress import Progress
from vicinal.jobs.provenance import Stopwatch
from vicinal.jobs.script import import_large, job_parser
from vicinal.results import STAGES


def main() -> None:
    """Read the plan and the tables, draw, write."""
    parser = job_parser(__doc__, "figures")
    parser.add_argument("--tables", type=Path, required=True, help="folder of the experiment's tables (results/NAME)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the figures (results/NAME/figures)")
    parser.add_argument("--figure", metavar="NAME", choices=FIGURES, help="draw only this one")
    args = parser.parse_args()

    plan = read_plan(args.plan, "figures")
    spec = plan["spec"]
    for name in spec["figures"]:
        if name not in FIGURES:
            raise VicinalError(f"{args.plan}: unknown figure {name!r}{nearest(name, FIGURES)}")
    check_code(plan, plan["code"], stage_fingerprint("figures", named_modules(spec)))

    import_large("seaborn")  # only now: it loads slowly, and the checks above do not need it
    from vicinal.analysis.figures.files import write_figure
    from vicinal.analysis.schema import read_tidy

    names = [args.figure] if args.figure else spec["figures"]
    progress, read = Progress(plan["id"], len(names), "figures"), cache(read_tidy)
    for done, name in enumerate(names, start=1):
        own = {"experiment": spec["experiment"], "figure": name}
        data = write_figure(name, args.tables, args.output / f"{name}.pdf", own, plan["code"], Stopwatch(), read)
        progress.update(done, f"{name}: {len(data)} rows")
    if not args.figure:
        record_key(args.output / Path(STAGES["figures"].output).name, plan)


if __name__ == "__main__":
    run(main)

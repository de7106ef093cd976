#!/usr/bin/env python
"""How long and how much memory the head of a large experiment takes, and how many files its plan has.

Experiments of N cohorts of 20 students each are made up (digits; a teacher and four cohorts a seed), and of each these
commands are measured, none of which trains anything:

- first dry run: ./reproduce EXPERIMENT -- --dry-run --quiet rules, which expands the grid, writes the plan files, and
  lets Snakemake build the graph of all jobs and look for their files;
- second dry run: the same where the plan files are there;
- plan: ./reproduce plan EXPERIMENT;
- a cluster's job: what Snakemake does on the node before the job's own work begins, where --slurm submitted it;
- finished dry run: the first once more, where all models are trained and measured, as far as the records say: what it
  costs to find out that nearly nothing is to be done;
- finished status: ./reproduce status --once of that;
- empty run, with --run: all trainings and measurements, by scripts that write an empty output and nothing else: what
  the head itself costs, with the start of a shell and of Python for each job.

CPU seconds are those of all processes of the command together; the peak is of the largest of them, and jobs are those
that a dry run would start. Takes 50 folders and files a cohort in a temporary folder, and minutes.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from project import Project, make_project

from vicinal.files import write_json
from vicinal.jobs.plan import record_key
from vicinal.jobs.provenance import cpu_model
from vicinal.planning.experiments import read_artefacts
from vicinal.planning.plans import build_plans

COHORTS_A_SEED, STUDENTS = 4, 20
MODELS = {"data", "teachers", "cohorts", "evaluations"}  # stages that are finished in the end
# In the place of every script.
EMPTY = """import sys
for flag, path in zip(sys.argv, sys.argv[1:]):
    if flag in ("--manifest", "--record", "--output"):
        open(path, "w").write("{}")
"""
HEADER = f"{'cohorts':>8} {'command':18}{'jobs':>8}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}"


def experiment(cohorts: int) -> dict:
    """Return the config of an experiment of so many cohorts, a multiple of four."""
    grid = {
        "teachers": ["resnet8"],
        "students": ["resnet8_narrow"],
        "methods": ["kd_mixup"],
        "alphas": [0.25, 0.5, 0.75, 1.0],
        "temperatures": list(range(1, STUDENTS + 1)),
    }
    seeds = list(range(cohorts // COHORTS_A_SEED))
    return {"name": "scale", "data": {"name": "digits"}, "seeds": seeds, "grids": [grid]}


def measure(project: Project, module: str, *arguments: str) -> dict[str, float | int | None]:
    """Run a module (vicinal is ./reproduce) with arguments.

    Returns:
        CPU and wall seconds, the peak memory in bytes, and the jobs that a dry run names.

    Raises:
        RuntimeError: it failed; the message is its output.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as file:
        command = [sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(
            command, cwd=project.folder, env=project.environment(warm=False), stdout=file, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        file.seek(0)
        output = file.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(output[-2000:])
    total = re.search(r"^total +(\d+)$", output, re.M)
    return {
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "wall_seconds": round(wall, 2),
        "peak_bytes": usage.ru_maxrss * 1024,
        "jobs": int(total[1]) if total else None,
    }


def finish(project: Project, config: str) -> None:
    """Leave the records of finished models, as far as a run looks at them."""
    os.chdir(project.folder)
    artefacts = read_artefacts(argparse.Namespace(experiment=config, set=[]))[1]
    for plan in build_plans(artefacts):
        if plan.stage in MODELS:
            output = project.results / plan.output
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text("{}")
            record_key(output, plan.content)
            for directory in plan.directories:
                (project.results / directory).mkdir(parents=True, exist_ok=True)


def measure_size(cohorts: int, folder: Path, run: bool) -> dict:
    """Return all measures of an experiment of so many cohorts, with ``run`` the empty run too; print a line each."""
    project, config = make_project(folder), "scale.yaml"
    write_json(folder / config, experiment(cohorts))  # JSON is YAML
    snapshot = ("--configfile", "results/plan/config.yaml")
    dry_run = (config, "--cores", "1", "--", "--dry-run", "--quiet", "rules")
    commands = {}

    def take(name: str, *arguments: str, module: str = "vicinal") -> None:
        taken = commands[name] = measure(project, module, *arguments)
        jobs = "" if taken["jobs"] is None else f"{taken['jobs']:,}"
        print(
            f"{cohorts:8,} {name:18}{jobs:>8}{taken['cpu_seconds']:8.1f}{taken['wall_seconds']:8.1f}"
            f"{taken['peak_bytes'] / 1e6:9.0f}",
            flush=True,
        )

    take("first dry run", *dry_run)
    take("second dry run", *dry_run)
    take("plan", "plan", config)
    cohort = next((project.results / "plan/cohorts").iterdir()).stem
    job = ("--target-jobs", f"distill:cohort={cohort}", "--allowed-rules", "distill", "--mode", "remote")
    take("a cluster's job", *snapshot, *job, "--nolock", "--force", "--cores", "1", "--dry-run", module="snakemake")
    sizes = [path.stat().st_size for path in (project.results / "plan").rglob("*.json")]
    print(f"{'':9}{len(sizes):,} plan files, {sum(sizes) / 1e6:.1f} MB; finishing all models …", flush=True)
    finish(project, config)
    take("finished dry run", *dry_run)
    take("finished status", "status", config, "--once")
    if run:
        for script in (folder / "workflow" / "scripts").glob("*.py"):
            script.write_text(EMPTY)
        take("empty run", config, "--cores", "2", "--", "--until", "evaluate", "--quiet", "all")
    plans = {"files": len(sizes), "bytes": sum(sizes)}
    return {"cohorts": cohorts, "students": cohorts * STUDENTS, "plan_files": plans, "commands": commands}


def main() -> int:
    """Measure experiments of all sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "cohorts", type=int, nargs="*", default=[200, 1000, 5000], help="sizes, multiples of 4 (200 1000 5000)"
    )
    parser.add_argument("--run", action="store_true", help="take the empty run too")
    parser.add_argument("--json", type=Path, help="write all measures to this file too")
    args = parser.parse_args()
    if any(cohorts < COHORTS_A_SEED or cohorts % COHORTS_A_SEED for cohorts in args.cohorts):
        parser.error(f"sizes: must be multiples of {COHORTS_A_SEED}")
    target = args.json and args.json.resolve()
    print(f"{cpu_model()}, Python {platform.python_version()}\n{HEADER}", flush=True)
    measured = []
    for cohorts in args.cohorts:
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure_size(cohorts, Path(folder), args.run))
            os.chdir("/")  # out of the folder that goes
    if target:
        machine = {"cpu": cpu_model(), "python": platform.python_version()}
        write_json(target, {"machine": machine, "sizes": measured})
    return 0


if __name__ == "__main__":
    sys.exit(main())

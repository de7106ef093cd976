"""A project with the plans of one teacher and one cohort, and the training jobs in it, started as scripts."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from project import make_project
from warm import warm_python

PLAN = """
import sys
from pathlib import Path
from vicinal.config import read_config, validate
from vicinal.data.catalogue import resolve_source
from vicinal.planning.grid import expand
from vicinal.planning.files import write_plans
from vicinal.planning.plans import build_plans
[experiment] = validate(read_config("config.yaml"), "config.yaml", sys.argv[1:])
write_plans(build_plans(expand([(experiment, resolve_source("digits", "data"))])), Path("results"))
"""
# Checkpoints as often as asked for, whatever they cost: a test cannot wait for them.
OFTEN = "import vicinal.training.checkpoint; vicinal.training.checkpoint.COST = 0"
# A deadline that comes in the middle of the training, however slow the machine is.
SOON = """
import time
from vicinal.jobs.interruption import RESERVE_SECONDS, Interruption
def defer(self, defer=Interruption.defer):
    defer(self)
    self._deadline = time.monotonic() + RESERVE_SECONDS + 0.2
Interruption.defer = defer
"""
SCRIPT = "\nimport sys, runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


@dataclass
class Trial:
    """A results folder, and the two training jobs in it."""

    folder: Path
    project: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def start(self, stage, *options, first=None):
        scripts = self.project / "workflow" / "scripts"
        [plan] = (self.results / "plan" / stage).glob("*.json")
        [data] = self.results.glob("data/*/data.json")
        arguments = ["--plan", plan, "--data", data, "--device", "cpu", *options]
        if stage == "teachers":
            arguments = ["train_teacher.py", *arguments, "--record", f"results/teachers/{plan.stem}/teacher.json"]
        else:
            [teacher] = self.results.glob("teachers/*/teacher.json")
            manifest = f"results/cohorts/{plan.stem}/manifest.json"
            arguments = ["distill.py", *arguments, "--teacher", teacher, "--manifest", manifest]
        arguments[0] = scripts / arguments[0]
        command = [warm_python(), *(["-c", first + SCRIPT] if first else []), *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(self.project / "workflow")}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=environment, **pipes)

    def run(self, stage, *options, first=None):
        """Run a job to its end; ``first`` is code that comes before its script."""
        process = self.start(stage, *options, first=first)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def copy(self, folder, *parts):
        """Return a trial with some parts of the results of this one."""
        for part in ("plan", "data", *parts):
            shutil.copytree(self.results / part, folder / "results" / part)
        return Trial(folder, self.project)

    def artefacts(self):
        """Return the bytes of all models' files, except the record of how they were made, and the records."""
        found = {}
        for path in sorted(self.results.glob("students/*/*")) + sorted(self.results.glob("teachers/*/model/*")):
            content = path.read_bytes()
            if path.name == "model.json":
                content = {key: value for key, value in json.loads(content).items() if key != "provenance"}
            found[path.relative_to(self.results).as_posix()] = content
        for pattern in ("teachers/*/teacher.json*", "cohorts/*/manifest.json*"):
            for path in self.results.glob(pattern):
                found[path.relative_to(self.results).as_posix()] = path.read_bytes()
        return found

    def left_over(self):
        """Return what a finished run should not leave."""
        names = [path.relative_to(self.results).as_posix() for path in self.results.rglob("*") if path.is_file()]
        return [name for name in names if name.startswith(("checkpoints", "heartbeats")) or "/.tmp-" in name] + [
            name for name in names if name.endswith(".lease") or "/.old-" in name
        ]

    def checkpoints(self):
        """Return the whole checkpoint files: path → time, the newest last."""
        times = {}
        for path in self.results.glob("checkpoints/*/[!.]*.safetensors"):
            times[path] = path.stat().st_mtime_ns
        return dict(sorted(times.items(), key=lambda item: item[1]))

    def wait_for_checkpoints(self, process, number=1):
        """Wait until a process has made so many checkpoints; return False where it ended before."""
        seen = set(self.checkpoints().items())
        made = set()
        while len(made) < number:
            if process.poll() is not None:
                return False
            made |= set(self.checkpoints().items()) - seen
            time.sleep(0.005)
        return True


def make_trial(folder, settings):
    """Return a finished trial in a new project: its data, its teacher, its cohort."""
    project = make_project(folder).folder
    plan_trial(project, project, settings)
    trial = Trial(project, project)
    [plan] = (project / "results/plan/data").glob("*.json")
    command = [warm_python(), "workflow/scripts/prepare_data.py", "--plan", plan]
    command += ["--output", f"results/data/{plan.stem}/data.json"]
    environment = {**os.environ, "PYTHONPATH": str(project / "workflow")}
    subprocess.run(command, cwd=project, env=environment, check=True)
    assert trial.run("teachers")[0] == 0
    assert trial.run("cohorts")[0] == 0
    assert trial.left_over() == []
    return trial


def plan_trial(folder, project, settings):
    """Write the plans of config.yaml with other settings into the results of a folder."""
    environment = {**os.environ, "PYTHONPATH": str(project / "workflow")}
    subprocess.run([warm_python(), "-c", PLAN, *settings], cwd=folder, env=environment, check=True)


def provenances(trial, pattern):
    return [json.loads(path.read_text())["provenance"] for path in sorted(trial.results.glob(pattern))]

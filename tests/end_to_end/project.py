"""A copy of the project to run in, and how to run it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from warm import run_scripts

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("Snakefile", "config.yaml", "experiments", "profiles", "workflow", "envs")
# One student pair, one seed, two epochs: a second a job.
SHORT = (
    "seeds=[0]",
    "epochs=2",
    "limit_train=60",
    "limit_test=120",
    "teachers=[resnet8]",
    "pairs=100",
    "temperatures=[1,4]",
)


@dataclass
class Project:
    """A copy of the project in a temporary folder."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def environment(self, library: Path | None = None) -> dict[str, str]:
        """Return the environment of a run; modules in the folder ``library`` come before all others."""
        folders = [library, self.folder / "workflow"] if library else [self.folder / "workflow"]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), "COLUMNS": "200"}

    def start(self, *arguments, library: Path | None = None, **options) -> subprocess.Popen:
        """Start what ./reproduce starts once it has its environment."""
        command = [sys.executable, "-m", "vicinal", "--cores", "2", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment(library), **{**pipes, **options})

    def reproduce(self, *arguments, settings=SHORT, library: Path | None = None) -> subprocess.CompletedProcess:
        own, snakemake = list(arguments), []
        if "--" in own:
            cut = own.index("--")
            own, snakemake = own[:cut], own[cut:]
        for setting in settings:
            own += ["--set", setting]
        process = self.start(*own, *snakemake, library=library)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def command(self, *arguments) -> subprocess.CompletedProcess:
        """Run another command of ./reproduce."""
        command = [sys.executable, "-m", "vicinal", *map(str, arguments)]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=600, check=False
        )

    def snakemake(self, *arguments, library: Path | None = None) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *map(str, arguments)]
        environment = self.environment(library)
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    def until(self, rule: str, *arguments, settings=SHORT, **options) -> subprocess.CompletedProcess:
        """Run all that comes before the end of a rule."""
        return self.reproduce(*arguments, "--", "--until", rule, settings=settings, **options)

    def scripts(self, *commands) -> list[tuple[int, str, str]]:
        """Run scripts with their arguments in one process; return status, stdout and stderr of each."""
        paths = [[Path("workflow/scripts") / script, *arguments] for script, *arguments in commands]
        return run_scripts(self.folder, paths, self.folder / "workflow")

    def to_the_end(self, *arguments, settings=SHORT, **options) -> subprocess.CompletedProcess:
        """Run to the end; Snakemake's part ends with the claims: one process makes all figures and reports.

        That takes a third of the time where Snakemake's part in it is not looked at.
        """
        result = self.until("judge_claims", *arguments, settings=settings, **options)
        if result.returncode:
            return result
        config = yaml.safe_load((self.results / "plan" / "config.yaml").read_text())
        commands, names = [], [experiment["name"] for experiment in config.get("experiments", [config])]
        for name in names:
            tables = ["--tables", f"results/{name}"]
            plan, output = f"results/plan/figures/{name}.json", ["--output", f"results/{name}/figures"]
            commands.append(["plot.py", "--plan", plan, *tables, *output])
            plan = f"results/plan/reports/{name}.json"
            output = ["--results", "results", "--output", f"results/{name}/report.html"]
            commands.append(["report.py", "--plan", plan, *tables, *output])
        if "experiments" in config:
            plan = f"results/plan/collections/{config['name']}.json"
            tables = ["--tables", *(f"results/{name}" for name in names)]
            output = ["--results", "results", "--output", f"results/{config['name']}/report.html"]
            commands.append(["combine.py", "--plan", plan, *tables, *output])
        for status, out, err in self.scripts(*commands):
            assert status == 0, out + err
        return result

    def copy(self, folder: Path) -> "Project":
        """Return a copy in a folder, with the times of the files: Snakemake looks at these."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        return Project(folder)

    def students(self) -> dict[str, dict[str, tuple[int, bytes]]]:
        """Return the students' files: id → name → (mtime in ns, bytes)."""
        return {
            folder.name: {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
            for folder in sorted((self.results / "students").iterdir())
        }


def make_project(folder: Path) -> Project:
    """Return a copy of the project in a folder, in which nothing has run yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            # With compiled code, except what another process is writing there at this moment.
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.egg-info", "*.pyc.*", ".tmp-*"))
        else:
            shutil.copy2(source, folder / name)
    return Project(folder)

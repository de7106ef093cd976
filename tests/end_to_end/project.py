"""A copy of the project to run in, and how to run it."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from warm import warm_python

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("Snakefile", "config.yaml", "requirements.lock", "experiments", "profiles", "workflow", "envs")
# One student pair, one seed, two epochs: a second a job.
SHORT = (
    "name=digits",  # so that all changes of a test write to one folder
    "grids.calibration=null",
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

    def environment(self, library: Path | None = None, warm: bool = True) -> dict[str, str]:
        """Return the environment of a run; modules in the folder ``library`` come before all others.

        Unless ``warm`` is false, ``python`` is there with torch loaded (see warm.py).
        """
        folders = [library, self.folder / "workflow"] if library else [self.folder / "workflow"]
        path = [str(Path(warm_python()).parent)] if warm else []
        path = os.pathsep.join([*path, os.environ["PATH"]])
        return {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(map(str, folders)), "COLUMNS": "200"}

    def start(
        self, *arguments, library: Path | None = None, python: str = sys.executable, warm: bool = True, **options
    ) -> subprocess.Popen:
        """Start what ./reproduce starts once it has its environment."""
        command = [python, "-m", "vicinal", "--cores", "2", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment(library, warm), **{**pipes, **options})

    def reproduce(
        self, *arguments, settings=SHORT, library: Path | None = None, warm: bool = True
    ) -> subprocess.CompletedProcess:
        """Run to the end."""
        own, snakemake = list(arguments), []
        if "--" in own:
            cut = own.index("--")
            own, snakemake = own[:cut], own[cut:]
        for setting in settings:
            own += ["--set", setting]
        python = warm_python() if warm else sys.executable
        process = self.start(*own, *snakemake, library=library, python=python, warm=warm)
        out, err = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def until(self, rule: str, *arguments, **options) -> subprocess.CompletedProcess:
        """Run all that comes before the end of a rule."""
        return self.reproduce(*arguments, "--", "--until", rule, **options)

    def command(self, *arguments) -> subprocess.CompletedProcess:
        """Run another command of ./reproduce."""
        return self.python("-m", "vicinal", *arguments)

    def snakemake(self, *arguments, library: Path | None = None) -> subprocess.CompletedProcess:
        return self.python("-m", "snakemake", "--cores", "2", *arguments, library=library)

    def python(self, *arguments, library: Path | None = None) -> subprocess.CompletedProcess:
        """Run Python on a script, module or code."""
        command = [warm_python(), *map(str, arguments)]
        environment = self.environment(library)
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    def problems(self, *arguments) -> list[str]:
        """Return what verify finds, except figures and a report that were not made."""
        found = json.loads(self.command("verify", "--json", *arguments).stdout)
        assert found["files"] > 0
        lines = [f"{problem['path']}: {problem}" for problem in found["problems"]]
        not_made = re.compile(r"results/\w+/(figures/.*|report\.html): .*missing")
        return [line for line in lines if not not_made.match(line)]

    def page(self, name: str) -> str:
        """Return the report on an experiment, made from its tables and without figures."""
        code = "from pathlib import Path; from vicinal.analysis.report import context, read_inputs, render; "
        code += "import sys; print(render(context(read_inputs(Path('results', sys.argv[1])))))"
        result = self.python("-c", code, name)
        assert result.returncode == 0, result.stderr
        return result.stdout

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

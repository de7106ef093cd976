"""A copy of the project to run in, and how to run it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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

    def students(self) -> dict[str, dict[str, tuple[int, bytes]]]:
        """Return the students' files: id → name → (mtime in ns, bytes)."""
        return {
            folder.name: {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
            for folder in sorted((self.results / "students").iterdir())
        }


def make_project(folder: Path) -> Project:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, folder / name)
    return Project(folder)

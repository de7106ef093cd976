"""Copies of the project to break, one of them finished."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from project import Project, make_project

# One teacher and one cohort of a single student.
SMALL = (
    "name=digits",
    "seeds=[0]",
    "epochs=20",
    "limit_train=60",
    "limit_test=120",
    "teachers=[resnet8]",
    "methods=[ce]",
)
SMALL += ("grids.calibration=null", "pairs=100", "execution.device=cpu", "execution.checkpoint_seconds=0.05")


@pytest.fixture
def fresh_project(tmp_path) -> Project:
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def measured(once) -> Project:
    """A project in which all models are trained and measured; read only: tests break copies of it."""

    def run(folder):
        result = make_project(folder).reproduce("--", "--until", "evaluate", "--quiet", "all", settings=SMALL)
        assert result.returncode == 0, result.stdout + result.stderr

    return Project(once("measured", run))


@pytest.fixture
def copy(measured, tmp_path) -> Project:
    """A copy of it."""
    return measured.copy(tmp_path)


@pytest.fixture
def mount():
    """Yield a function that mounts a folder on itself with options, or on a disk of its own of so many bytes."""
    mounted = []

    def make(folder: Path, size: str = "", options: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if folder in mounted:
            command = ["mount", "-o", f"remount,size={size}", folder]
        elif size:
            command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        else:
            command = ["mount", "--bind", folder, folder]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode and not mounted:
            pytest.skip(f"needs the right to mount a file system (root): {result.stderr.strip()}")
        assert result.returncode == 0, result.stderr
        if folder not in mounted:
            mounted.append(folder)
        if options:
            subprocess.run(["mount", "-o", f"remount,bind,{options}", folder], check=True)

    yield make
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", folder], check=True)

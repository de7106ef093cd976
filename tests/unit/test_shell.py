"""What ./reproduce and ./run-tests make of the caller's shell, in a project whose Python prints how it was started."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/bin/sh
case $2 in vicinal | pytest) echo "started $0 $*"; env ;; esac
"""
# What a shell, a module system or a git hook may bring, and what would go wrong.
BROUGHT = {
    "PYTHONPATH": "/other/packages",
    "PYTHONHOME": "/usr",
    "PYTHONIOENCODING": "latin-1",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "1",
    "SNAKEMAKE_PROFILE": "slurm",
    "SNAKEMAKE_OUTPUT_CACHE": "/cache",
    "BASH_ENV": "/etc/modules.sh",
    "GIT_DIR": "/other/.git",
}


@pytest.fixture
def project(tmp_path):
    """A project with its environment, whose Python is a shell script."""
    folder = tmp_path / "project"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("reproduce", "run-tests"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "envs", folder / "envs")
    (folder / "requirements.lock").write_text("a==1\n")
    (folder / "pyproject.toml").write_text("[project]\n")
    write_program(folder / ".venv" / "bin" / "python")
    (folder / ".venv" / "made-from").write_text(hashlib.sha256(b"a==1\n[project]\n").hexdigest() + "  -\n")
    return folder


def write_program(path):
    path.write_text(PYTHON)
    path.chmod(0o755)


def call(command, cwd, **variables):
    environment = {"PATH": os.environ["PATH"], "HOME": "/home/of/somebody", **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def started(result):
    """Return with which command and which variables the project's Python was started."""
    assert result.returncode == 0, result.stderr
    command, *lines = result.stdout.splitlines()
    return command.removeprefix("started "), dict(line.partition("=")[::2] for line in lines)


@pytest.mark.parametrize("script", [["./reproduce", "plan"], ["./run-tests", "--gpu"]])
def test_what_the_shell_brings_is_cleared_and_the_environment_is_used_by_its_path(project, script):
    command, variables = started(call(script, project, **BROUGHT, PYTHON="/my/python", PIP_INDEX_URL="https://a"))
    python = f"{project}/.venv/bin/python"
    assert command.startswith(f"{python} -m {'vicinal plan' if script[1] == 'plan' else 'pytest -m gpu'}")
    assert variables.keys() & BROUGHT.keys() == {"PYTHONPATH"}
    assert variables["PYTHONPATH"] == f"{project}/workflow"
    assert variables["PYTHONUTF8"] == "1"
    assert variables["PATH"].startswith(f"{project}/.venv/bin:")
    assert (variables["PYTHON"], variables["PIP_INDEX_URL"]) == ("/my/python", "https://a")


def test_the_active_environment_keeps_its_packages(project):
    write_program(project / "python")
    path = f"{project}:{os.environ['PATH']}"
    command, variables = started(call(["./reproduce", "--no-venv"], project, **{**BROUGHT, "PATH": path}))
    assert command == f"{project}/python -m vicinal --no-venv"
    assert variables["PYTHONPATH"] == f"{project}/workflow:/other/packages"
    assert variables["PYTHONHOME"] == "/usr"
    assert variables.keys() & BROUGHT.keys() == {"PYTHONPATH", "PYTHONHOME"}
    # After --, it is an argument of Snakemake.
    command, _ = started(call(["./reproduce", "--", "--no-venv"], project, PATH=path))
    assert command.startswith(f"{project}/.venv/")


def test_caches_lie_in_the_project_and_names_that_are_missing_are_set(project):
    _, variables = started(call(["./reproduce"], project))
    caches = project / ".cache" / str(os.getuid())
    assert variables["XDG_CACHE_HOME"] == str(caches)
    assert Path(variables["MPLCONFIGDIR"]).parent == caches
    assert caches.is_dir()
    assert variables["HOME"] == "/home/of/somebody"
    assert variables["USER"]
    _, variables = started(call(["env", "--unset=HOME", "./reproduce"], project, USER="me"))
    assert (variables["HOME"], variables["USER"]) == (str(caches), "me")


def test_where_no_cache_can_lie_the_command_goes_on(project):
    (project / ".cache").write_text("no folder")
    _, variables = started(call(["./reproduce"], project, XDG_CACHE_HOME="/mine"))
    assert (variables["XDG_CACHE_HOME"], variables["HOME"]) == ("/mine", "/home/of/somebody")


def test_the_project_is_found_through_links_and_whatever_cdpath_says(project, tmp_path):
    for place in ("elsewhere/project", "links"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "links" / "first").symlink_to("../project/reproduce")
    (tmp_path / "links" / "second").symlink_to("first")
    calls = [["project/reproduce"], ["links/second"], ["sh", "links/second"]]
    for command in calls:
        run, variables = started(call(command, tmp_path, CDPATH=str(tmp_path / "elsewhere")))
        assert (run, variables["PWD"]) == (f"{project}/.venv/bin/python -m vicinal", str(project))


def test_a_finished_environment_needs_no_right_to_write(project):
    started(call(["./reproduce"], project))
    assert not (project / ".venv.lock").exists()


def refused(result):
    assert result.returncode == 1
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    return line


def test_no_other_python_is_taken_where_that_of_the_environment_is_gone(project):
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/gone/python3")
    write_program(project / "python")
    line = refused(call(["./reproduce"], project, PATH=f"{project}:{os.environ['PATH']}"))
    assert line.startswith(f"error: {python}: leads to /gone/python3, which is not on this machine")


@pytest.mark.parametrize("name", ["run-12:30", "{x}"])
def test_a_folder_whose_name_cannot_work_is_named(project, name):
    folder = project.rename(project.with_name(name))
    assert refused(call(["./reproduce"], folder)).startswith(f"error: {folder}: a colon or a brace in this path")


def test_a_missing_program_is_named(project):
    tools = project / "tools"
    tools.mkdir()
    for tool in ("sh", "cat", "dirname", "readlink", "env", "sed", "id", "mkdir"):
        (tools / tool).symlink_to(shutil.which(tool))
    line = "error: there is no program {} on PATH: install {}"
    assert refused(call(["./reproduce"], project, PATH=str(tools))) == line.format("sha256sum", "coreutils")
    (tools / "sha256sum").symlink_to(shutil.which("sha256sum"))
    (project / ".venv" / "made-from").unlink()
    assert refused(call(["./reproduce"], project, PATH=str(tools))) == line.format("flock", "util-linux")
    (tools / "flock").symlink_to(shutil.which("flock"))
    shutil.rmtree(project / ".venv")
    line = refused(call(["./reproduce"], project, PATH=str(tools)))
    assert line.startswith("error: found no Python 3.11, 3.12 or 3.13 among python3, ")
    assert not (project / ".venv").exists()

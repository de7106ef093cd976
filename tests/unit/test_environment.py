"""The lock file, and the check of an environment against it."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


def pins():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    parsed = [Requirement(line.rstrip(" \\")) for line in lines if line and line[0] not in " #"]
    return {requirement.name: requirement for requirement in parsed}


def check(lock, tmp_path):
    (tmp_path / "envs").mkdir()
    shutil.copy(ROOT / "envs/check_lock.py", tmp_path / "envs")
    (tmp_path / "requirements.lock").write_text(lock)
    command = [sys.executable, str(tmp_path / "envs/check_lock.py")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_lock_pins_every_dependency_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = pins()
    for text in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        wanted = Requirement(text)
        [pin] = locked[wanted.name].specifier
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version), text


def test_every_pin_has_a_hash():
    text = (ROOT / "requirements.lock").read_text()
    entries = text.split("\n")
    for number, line in enumerate(entries):
        if line and line[0] not in " #":
            assert "--hash=sha256:" in entries[number + 1], line


def test_the_conda_environment_asks_for_the_same_versions():
    conda = (ROOT / "envs/vicinal.yaml").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        wanted = Requirement(text)
        # Snakemake itself, with its plugins, makes this environment; rich is for the command line.
        if wanted.name.startswith("snakemake") or wanted.name == "rich":
            continue
        name = {"torch": "pytorch"}.get(wanted.name, wanted.name)
        bounds = ",".join(sorted(map(str, wanted.specifier), reverse=True))
        assert f"  - {name} {bounds}\n" in conda, f"{name} {bounds}"


def test_an_environment_that_satisfies_the_lock(tmp_path):
    import numpy

    result = check(
        f'numpy=={numpy.__version__} \\\n    --hash=sha256:0\nnothing==1 ; sys_platform == "win32"\n', tmp_path
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_an_environment_that_does_not(tmp_path):
    result = check("numpy==0.1 \\\n    --hash=sha256:0\nno-such-package==1 \\\n    --hash=sha256:0\n", tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(
        "error: --no-venv: the active environment differs from requirements.lock: numpy is "
    )
    assert "no-such-package is missing" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_reproduce_without_a_python_it_can_use(tmp_path):
    for name in ("reproduce", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "envs", tmp_path / "envs")
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "cat", "sha256sum", "flock", "dirname"):
        (tools / tool).symlink_to(shutil.which(tool))
    result = subprocess.run(
        [str(tmp_path / "reproduce")], env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "error: found no Python 3.11, 3.12 or 3.13 among python3, " in result.stderr
    assert not (tmp_path / ".venv").exists()

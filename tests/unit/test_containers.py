"""The conda environment and the container of jobs hold what the lock file holds, and all that scripts import."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "workflow"
# Where the name of an import is not that of its package.
PACKAGES = {"PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn", "torch": "pytorch"}


@pytest.fixture(scope="module")
def conda():
    """Package → range of versions."""
    dependencies = yaml.safe_load((ROOT / "envs/vicinal.yaml").read_text())["dependencies"]
    parts = (text.partition(" ") for text in dependencies)
    return {name: SpecifierSet(versions) for name, _, versions in parts}


@pytest.fixture(scope="module")
def pins():
    """Package → version."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    parsed = [Requirement(line.rstrip(" \\")) for line in lines if line and line[0] not in " #"]
    return {pin.name: next(iter(pin.specifier)).version for pin in parsed}


def supported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return SpecifierSet(project["requires-python"])


def imported(scripts):
    """Return the packages that scripts import, directly or by modules of the library, and not only at need."""
    found, seen, todo = set(), set(), list(scripts)
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            for name in names:
                if name.partition(".")[0] != "vicinal":
                    found.add(name.partition(".")[0])
                    continue
                module = WORKFLOW / name.replace(".", "/")
                todo += [file for file in (module / "__init__.py", module.with_suffix(".py")) if file.is_file()]
    return found - sys.stdlib_module_names


def test_conda_takes_the_versions_that_are_locked(conda, pins):
    assert conda.pop("python") == supported()
    names = {"pytorch": "torch"}
    wrong = [name for name, versions in conda.items() if not versions.contains(pins[names.get(name, name)])]
    assert wrong == []
    assert len(conda) > 10


def test_conda_has_all_that_the_scripts_import(conda):
    scripts = sorted((WORKFLOW / "scripts").glob("*.py"))
    packages = {PACKAGES.get(name, name) for name in imported(scripts)}
    assert {"pytorch", "pandas", "safetensors"} <= packages
    assert packages - conda.keys() == set()


def test_the_container_installs_the_lock_file_into_a_python_that_is_supported(pins):
    text = (ROOT / "envs/apptainer.def").read_text()
    [python] = re.findall(r"^From: python:(\d+\.\d+)-", text, re.M)
    assert supported().contains(f"{python}.0")
    [(source, target)] = re.findall(r"^%files\n +(\S+) (\S+)$", text, re.M)
    assert (ROOT / source).name == "requirements.lock"
    [environment] = re.findall(r"^ +python -m venv (\S+)$", text, re.M)
    [install] = re.findall(r"^ +(\S+) -m pip install (.*)$", text, re.M)
    assert install == (f"{environment}/bin/python", f"--no-cache-dir --require-hashes -r {target}")
    assert f"export PATH={environment}/bin:$PATH" in text
    [tested] = re.findall(r'^ +(\S+) -c "import (.*?);', text, re.M)
    assert tested[0] == f"{environment}/bin/python"
    assert set(tested[1].split(", ")) <= pins.keys()

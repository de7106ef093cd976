"""The lock file, its installation, and the versions of an environment and of records."""

import importlib.metadata
import os
import runpy
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy
import pytest
from packaging.requirements import Requirement

from vicinal.errors import VicinalError
from vicinal.jobs import lock
from vicinal.jobs.provenance import Stopwatch, package_versions, provenance

ROOT = Path(__file__).resolve().parents[2]


def pins():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    parsed = [Requirement(line.rstrip(" \\")) for line in lines if line and line[0] not in " #"]
    return {requirement.name: requirement for requirement in parsed}


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


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Return a function that checks this environment against a lock file, given as text."""
    monkeypatch.setattr(lock, "LOCK", tmp_path / "requirements.lock")

    def check(text):
        lock.LOCK.write_text(text)
        lock.check_environment()

    return check


def test_an_environment_that_satisfies_the_lock(check):
    here = numpy.__version__
    check(f'numpy=={here} \\\n    --hash=sha256:0\nnothing==1 ; sys_platform == "win32" \\\n    --hash=sha256:0\n')


def test_an_environment_that_does_not(check):
    with pytest.raises(VicinalError) as caught:
        check("numpy==0.1 \\\n    --hash=sha256:0\nno-such-package==1 \\\n    --hash=sha256:0\n")
    words = f"differs from requirements.lock: numpy is {numpy.__version__}, not 0.1; no-such-package is missing"
    assert str(caught.value).startswith(f"--no-venv: the active environment {words}: install it with: pip install ")


def test_an_environment_without_anything(check, monkeypatch):
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    with pytest.raises(VicinalError, match="--no-venv: the active environment holds none of"):
        check("numpy==0.1")


def fake_package(folder, *, metadata):
    module = ModuleType("timm")
    module.__file__, module.__version__ = str(folder / "timm" / "__init__.py"), "7.0"
    if metadata:
        (folder / "timm-8.0.dist-info").mkdir()
        (folder / "timm-8.0.dist-info" / "METADATA").write_text("Name: timm\nVersion: 8.0\n")
    return module


@pytest.mark.parametrize(("metadata", "version"), [(True, "8.0"), (False, "7.0")])
def test_a_record_has_the_version_of_what_is_imported_not_of_what_it_hides(tmp_path, monkeypatch, metadata, version):
    before = package_versions()
    assert before["numpy"] == numpy.__version__
    assert before["timm"] == importlib.metadata.version("timm")
    monkeypatch.setitem(sys.modules, "timm", fake_package(tmp_path, metadata=metadata))
    assert package_versions() == {**before, "timm": version}


def test_pip_keeps_the_settings_of_where_packages_come_from_and_no_others(tmp_path, monkeypatch):
    """With the real pip, which only lists its settings here."""
    install = runpy.run_path(str(ROOT / "envs" / "install.py"))
    calls = []

    def install_nothing(words, environment, log):
        calls.append(({name: value for name, value in environment.items() if name.startswith("PIP_")}, words))
        return 0

    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    (tmp_path / "pip.conf").write_text(
        "[global]\nuser = true\nquiet = 3\nindex-url = https://a\nextra-index-url =\n  https://b\n  https://c\n"
        "constraint = here.txt\n[install]\nindex-url = https://d\nprefix = /p\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_TARGET", "/t")
    monkeypatch.setenv("PIP_CERT", "/c")
    main = install["main"]
    main.__globals__.update(run_pip=install_nothing, LOG=tmp_path / "install.log")
    assert main() == 0
    first, second = (command for _, command in calls)
    assert first[-3:] == ["--require-hashes", "-r", "requirements.lock"]
    assert second[-1] == "-e."
    for settings, _ in calls:
        assert settings.pop("PIP_CONFIG_FILE") == os.devnull
        assert settings.pop("PIP_EXTRA_INDEX_URL").split() == ["https://b", "https://c"]
        kept = {"PIP_INDEX_URL": "https://d", "PIP_CERT": "/c"}
        assert {name: settings.get(name) for name in kept} == kept
        # Those of this machine, if any, are of the kind that is kept.
        assert not settings.keys() & {"PIP_USER", "PIP_QUIET", "PIP_CONSTRAINT", "PIP_PREFIX", "PIP_TARGET"}


def test_a_record_names_the_script_and_not_where_the_project_lies(monkeypatch):
    monkeypatch.setattr("sys.argv", [str(ROOT / "workflow" / "scripts" / "plot.py"), "--output", "/elsewhere/a.pdf"])
    assert provenance(Stopwatch())["command"] == "workflow/scripts/plot.py --output /elsewhere/a.pdf"

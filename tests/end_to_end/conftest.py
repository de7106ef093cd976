"""Copies of the project to run in."""

import json
from types import SimpleNamespace

import pytest
from project import Project, make_project


@pytest.fixture
def fresh_project(tmp_path) -> Project:
    """A copy in which nothing has run yet."""
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def first(once) -> SimpleNamespace:
    """The default experiment, shortened, after its first run, which said ``stdout``; read only: tests change copies."""

    def run(folder):
        project = make_project(folder / "project")
        result = project.reproduce()
        assert result.returncode == 0, result.stdout + result.stderr
        (folder / "said.json").write_text(json.dumps([result.stdout, result.stderr]))

    folder = once("first", run)
    out, err = json.loads((folder / "said.json").read_text())
    return SimpleNamespace(project=Project(folder / "project"), stdout=out, stderr=err)


@pytest.fixture
def finished(first, tmp_path) -> Project:
    """A copy of it."""
    return first.project.copy(tmp_path / "project")

"""Copies of the project to run in."""

import pytest
from project import Project, make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A copy in which nothing has run yet; the tests of a module share it, in their order."""
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def fresh_project(tmp_path) -> Project:
    return make_project(tmp_path)

"""A cluster that is started for these tests, and projects that run on it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, missing
from cluster_runs import HOOKS, SETTINGS, TABLES
from project import Project, make_project


@pytest.fixture(scope="session")
def whole_cluster(tmp_path_factory) -> Iterator[Cluster]:
    if reason := missing():
        pytest.skip(reason)
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    before = os.environ["PATH"]
    try:
        cluster.start()
        os.environ.update(cluster.environment)
        yield cluster
    finally:
        os.environ["PATH"] = before
        os.environ.pop("SLURM_CONF", None)
        cluster.stop()


@pytest.fixture
def fresh_project(tmp_path) -> Project:
    return make_project(tmp_path)


@pytest.fixture
def cluster(whole_cluster) -> Iterator[Cluster]:
    """The cluster, without jobs and with all its nodes."""
    yield whole_cluster
    whole_cluster.cancel_all()
    whole_cluster.start_missing_nodes()


@pytest.fixture(scope="session")
def hooks(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "sitecustomize.py").write_text(HOOKS)
    return folder


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, whole_cluster) -> Project:
    """A project that ran on this machine alone."""
    project = make_project(tmp_path_factory.mktemp("undisturbed"))
    result = project.reproduce("--", TABLES, settings=SETTINGS)
    assert result.returncode == 0, result.stdout + result.stderr
    return project


@pytest.fixture
def started(undisturbed, tmp_path) -> Project:
    """A copy of it in which the teacher is finished, and the students are not."""
    shutil.copytree(undisturbed.folder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".snakemake"))
    results = tmp_path / "results"
    for folder in ("cohorts", "students", "digits", "evaluations"):
        shutil.rmtree(results / folder)
    return Project(tmp_path)

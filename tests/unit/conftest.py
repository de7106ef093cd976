"""What several unit tests share. What it needs is imported late: a machine with a GPU may lack it."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Return the file of a certificate for servers on this machine."""
    from https_server import make_certificate

    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trusted(certificate, monkeypatch):
    """Trust that certificate, and ask no proxy; return its file."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)
    return certificate


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return the results folder of a small experiment, as if its jobs had run, and their plans: only to be copied."""
    from results_tree import make_tree

    results = tmp_path_factory.mktemp("made") / "results"
    return results, make_tree(results)


@pytest.fixture
def tree(made, tmp_path):
    """Return a copy of ``made``."""
    results, plans = made
    return shutil.copytree(results, tmp_path / "results"), plans


@pytest.fixture
def own_project(tmp_path, monkeypatch):
    """Work in a folder with the shipped experiments, in which nothing has run."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    shutil.copy(ROOT / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def finished_project(made, tmp_path, monkeypatch):
    """Work in a project whose config asks for what lies in its results, a copy of ``made``."""
    from results_tree import configure

    shutil.copytree(made[0], tmp_path / "project" / "results")
    monkeypatch.chdir(tmp_path / "project")
    configure()

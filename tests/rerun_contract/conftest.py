"""A finished project to change settings in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from finished import BASE, artefacts_of, dry_runs, finish, write_squares
from project import make_project

from vicinal.files import write_json


@pytest.fixture(scope="session")
def project(once, tmp_path_factory) -> Path:
    """A copy of the project in which BASE is finished, of this process alone; copy it before changing a file."""

    def make(folder):
        make_project(folder)
        write_squares(folder / "data" / "squares")
        write_squares(folder / "data" / "other", shade=5)
        (folder / "data" / "weights").mkdir()
        (folder / "data" / "weights" / "teacher.pt").write_bytes(b"weights")
        shutil.copytree(folder / "data", folder / "moved")
        finish(artefacts_of(BASE, folder), folder / "results")

    folder = tmp_path_factory.mktemp("contract") / "project"
    return shutil.copytree(once("contract", make), folder)


@pytest.fixture(scope="session")
def ask_once(once, project) -> Callable[[str, list[dict]], list[dict]]:
    """Return a function: the answers of ``dry_runs`` for many cases, asked once for all processes of the tests."""

    def ask(name: str, cases: list[dict]) -> list[dict]:
        folder = once(f"answers-{name}", lambda folder: write_json(folder / "all.json", dry_runs(project, cases)))
        return json.loads((folder / "all.json").read_text())

    return ask

"""A finished project to change settings in."""

import shutil
import sys
from pathlib import Path

import pytest
from finished import BASE, ROOT, artefacts_of, finish, write_squares

sys.path.insert(0, str(ROOT / "tests" / "end_to_end"))
from project import make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """A copy of the project in which BASE is finished; read only: copy it before changing a file."""
    folder = make_project(tmp_path_factory.mktemp("contract")).folder
    write_squares(folder / "data" / "squares")
    write_squares(folder / "data" / "other", shade=5)
    (folder / "data" / "weights").mkdir()
    (folder / "data" / "weights" / "teacher.pt").write_bytes(b"weights")
    shutil.copytree(folder / "data", folder / "moved")
    finish(artefacts_of(BASE, folder), folder / "results")
    return folder

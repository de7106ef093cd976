"""Photos of any size: packed, learned, distilled and measured; real ones, where they are."""

import json

import pandas as pd
import pytest
import yaml
from project import ROOT, Project, make_project

PHOTOS = ROOT.parent / "shared" / "data" / "imagenette160"
pytestmark = pytest.mark.long
CONFIG = {
    "name": "photos",
    "data": {"name": PHOTOS.name, "root": str(PHOTOS.parent), "store": "photos", "limit_train": 80, "limit_test": 40},
    "recipe": {"epochs": 1, "batch_size": 20, "crop": 64, "crop_padding": 0, "lr": 0.05},
    "seeds": [0],
    "evaluation": {"pairs": 20},
    "grids": [
        {"teachers": ["resnet18_imagenet"], "students": ["resnet18_imagenet"], "methods": ["ce", "kd_mixup"],
         "temperatures": [1, 2]},
    ],
}  # fmt: skip


@pytest.fixture(scope="session")
def photos(once) -> Project:
    """A project in which a short experiment on photos has run; read only."""
    if not PHOTOS.is_dir():
        pytest.skip(f"{PHOTOS} is not there: real photos are not tested")

    def run(folder):
        project = make_project(folder)
        (folder / "photos.yaml").write_text(yaml.safe_dump(CONFIG))
        result = project.reproduce("photos.yaml", settings=())
        assert result.returncode == 0, result.stdout + result.stderr

    return Project(once("photos", run))


def test_a_teacher_and_its_students_learn_from_photos(photos):
    metrics = pd.read_parquet(photos.results / "photos/metrics.parquet")
    accuracy = metrics[(metrics["metric"] == "accuracy") & (metrics["split"] == "test")]
    assert len(accuracy) == 4  # the teacher, a student on labels and two of the teacher
    assert accuracy["value"].between(0, 1).all()
    assert (photos.results / "photos/report.html").is_file()


def test_the_store_holds_photos_of_several_sizes(photos):
    [meta] = photos.results.glob("data/*/meta.json")
    described = json.loads(meta.read_text())
    assert described["counts"] == {"train": 80, "validation": 40, "test": 40}
    assert len(described["class_names"]) == 10
    # as they came: no JPEG is encoded anew
    assert described["encoding"]["encoded_anew"] == 0


def test_run_again_nothing_is_made_and_all_agrees(photos, tmp_path):
    project = photos.copy(tmp_path / "project")
    again = project.reproduce("photos.yaml", settings=())
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    verified = project.command("verify", "photos.yaml")
    assert verified.returncode == 0, verified.stdout
    assert "all agree" in verified.stdout

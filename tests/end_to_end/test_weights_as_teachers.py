"""A teacher that is trained once and given as a file: distilled from, measured, judged, reported; changed, and gone."""

import copy
import json
import re
import shutil
from html import unescape

import pandas as pd
import pytest
import torch
import yaml
from project import Project
from safetensors.torch import load_file, save_file

from vicinal.analysis.claims.cells import GIVEN_TEACHER
from vicinal.files import sha256
from vicinal.models import build_model
from vicinal.models.registry import architecture

FILE = "data/weights/own.safetensors"
GIVEN = {
    "name": "given",
    "data": {"name": "digits", "limit_train": 60, "limit_test": 120, "validation": 200},
    "recipe": {"epochs": 2, "batch_size": 32, "lr": 0.1, "crop_padding": 0, "flip": False},
    "seeds": [0, 1],
    "evaluation": {"pairs": 100},
    "grids": [
        {"teachers": [{"model": "resnet8", "weights": FILE}], "students": ["resnet8_narrow"],
         "methods": ["ce", "kd_mixup"], "temperatures": [2]},
    ],
}  # fmt: skip


@pytest.fixture(scope="session")
def shared(once, first) -> Project:
    """The finished project after a run of an experiment to which its teacher is given; read only."""

    def make(folder):
        project = first.project.copy(folder)
        [weights] = project.results.glob("teachers/resnet8_s0-*/model/weights.safetensors")
        (folder / FILE).parent.mkdir(parents=True)
        shutil.copy2(weights, folder / FILE)
        write(project, GIVEN)
        result = project.until("judge_claims", "given.yaml", settings=())
        assert result.returncode == 0, result.stdout + result.stderr

    return Project(once("given", make))


@pytest.fixture
def given(shared, tmp_path) -> Project:
    """A copy of it."""
    return shared.copy(tmp_path / "project")


def write(project: Project, config: dict) -> None:
    (project.folder / "given.yaml").write_text(yaml.safe_dump(config))


def teachers(project: Project) -> dict:
    return {path.name: path for path in project.results.glob("teachers/*_given-*")}


def test_it_is_the_teacher_that_was_trained(shared):
    [folder] = teachers(shared).values()
    made = load_file(folder / "model" / "weights.safetensors")
    own = load_file(shared.folder / FILE)
    assert all(torch.equal(made[name], value) for name, value in own.items())
    assert "nothing to train: the weights are given" in (folder / "train.log").read_text()
    spec = json.loads((folder / "model" / "model.json").read_text())["spec"]
    assert spec["given"] == {"sha256": sha256(shared.folder / FILE)}
    assert not {"seed", "loss", "alpha"} & spec.keys()


def test_the_tables_have_it_once_without_a_seed(shared):
    metrics = pd.read_parquet(shared.results / "given" / "metrics.parquet")
    models = metrics.drop_duplicates("model_id")
    [teacher] = models[models["role"] == "teacher"].to_dict("records")
    assert pd.isna(teacher["seed"])
    assert teacher["weights"] == f"file {sha256(shared.folder / FILE)[:8]}"
    students = models[models["role"] == "student"]
    assert sorted(zip(students["method"], students["seed"], strict=True)) == [
        ("ce", 0), ("ce", 1), ("kd_mixup", 0), ("kd_mixup", 1),
    ]  # fmt: skip
    assert set(students.loc[students["method"] == "kd_mixup", "teacher_id"]) == {teacher["model_id"]}
    summary = pd.read_parquet(shared.results / "given" / "summary.parquet")
    assert set(summary.loc[summary["role"] == "teacher", "n"]) == {1}
    assert set(summary.loc[summary["role"] == "student", "n"]) == {2}
    history = pd.read_parquet(shared.results / "given" / "history.parquet")
    assert set(history["role"]) == {"student"}
    assert history["epoch"].dtype == "int64"


def test_claims_and_report_say_what_the_intervals_are_over(shared):
    claims = pd.read_parquet(shared.results / "given" / "claims.parquet")
    c2 = claims[(claims["claim"] == "C2") & (claims["kind"] == "primary")]
    assert list(c2["n"]) == [2, 2, 0]  # without kd there is nothing to compare the imitation weight with
    assert c2["warning"].str.contains(GIVEN_TEACHER, regex=False)[c2["n"] > 0].all()
    assert GIVEN_TEACHER in (shared.results / "given" / "claims.md").read_text()
    page = unescape(shared.page("given"))
    assert GIVEN_TEACHER in page
    assert f"<code>{next(iter(teachers(shared)))}</code>" in page
    assert shared.problems("given.yaml") == []


def test_where_the_file_is_gone_results_stay_of_use_and_the_teacher_cannot_be_made_anew(given):
    path = given.folder / FILE
    for is_there in (True, False):
        if not is_there:
            path.unlink()
        again = given.until("judge_claims", "given.yaml", settings=())
        assert re.search("^total +0$", again.stderr, re.MULTILINE)
    [folder] = teachers(given).values()
    shutil.rmtree(folder)
    refused = given.reproduce("given.yaml", settings=())
    assert refused.returncode == 1
    [line] = [line for line in refused.stderr.splitlines() if "not there any more" in line]
    assert line.endswith(f"grids.0.teachers.0.weights: {FILE}: not there any more: put it back, or name another file")


def test_a_file_with_a_normalisation_of_its_own_is_asked_in_it_everywhere(given):
    # Half the weights of the first layer, and images of twice the size: the same teacher.
    state = load_file(given.folder / FILE)
    save_file({**state, "stem.0.weight": state["stem.0.weight"] / 2}, given.folder / "half.safetensors")
    [meta] = given.results.glob("data/digits_s0-*/meta.json")
    own = {name: json.loads(meta.read_text())[name] for name in ("mean", "std")}
    own["std"] = [value / 2 for value in own["std"]]
    config = {**copy.deepcopy(GIVEN), "name": "half", "seeds": [0]}
    config["grids"][0]["teachers"] = [{"model": "resnet8", "weights": "half.safetensors", "normalisation": own}]
    config["grids"][0]["methods"] = ["kd_mixup"]
    before = {path.name for path in given.results.glob("evaluations/*/*")}
    write(given, config)
    result = given.until("evaluate", "given.yaml", settings=())
    assert result.returncode == 0, result.stderr
    made = {path.name: path for path in given.results.glob("evaluations/*/*/") if path.name not in before}
    assert len(made) == 2
    for id_, path in made.items():
        slug = id_.rpartition("-")[0]
        [other] = [found for found in given.results.glob(f"evaluations/*/{slug}-*/") if found.name != id_]
        for table in ("measures.parquet", "predictions.parquet"):
            found, expected = (pd.read_parquet(folder / table) for folder in (path, other))
            pd.testing.assert_frame_equal(found, expected, rtol=1e-3, atol=1e-4)


def test_published_weights_are_taken_as_they_are(fresh_project):
    folder = fresh_project.folder
    path = folder / "data" / "weights" / "net.pth"
    path.parent.mkdir(parents=True)
    torch.manual_seed(2)
    torch.save(build_model(architecture("resnet8"), 10, 1).state_dict(), path)
    entry = f'Weights("https://localhost/net.pth", {sha256(path)[:8]!r}, {path.stat().st_size}, False, "by a test")'
    module = folder / "workflow" / "vicinal" / "models" / "pretrained.py"
    module.write_text(f'{module.read_text()}\nWEIGHTS["resnet8"] = {entry}\n')
    config = copy.deepcopy(GIVEN)
    config["grids"][0]["teachers"] = [{"model": "resnet8", "weights": "published"}]
    config["grids"][0]["methods"], config["seeds"] = ["kd_mixup"], [0]
    write(fresh_project, config)

    refused = fresh_project.reproduce("given.yaml", settings=())
    assert refused.returncode == 1
    assert "published ones of resnet8 know the 1,000 classes of ImageNet, digits has 10" in refused.stderr
    module.write_text(f"{module.read_text()}\nCLASSES = 10\n")
    result = fresh_project.until("distill", "given.yaml", settings=())
    assert result.returncode == 0, result.stderr
    [made] = fresh_project.results.glob("teachers/resnet8_published-*/model/weights.safetensors")
    published = torch.load(path, weights_only=True)
    assert all(torch.equal(value, published[name]) for name, value in load_file(made).items())
    assert len(list(fresh_project.results.glob("students/*_from_resnet8_published_*/weights.safetensors"))) == 1

"""Corrupted test images through the whole pipeline: absent, then there, then nothing to do."""

import dataclasses
import json
import sys

import numpy as np
import pandas as pd
import pytest
from project import ROOT

sys.path.insert(0, str(ROOT / "tests" / "unit"))
from corruption_archive import FILE, NOTHING, arrays_of, make_images, write_archive, write_parquet

from vicinal.analysis.figures.corruptions import MISSING
from vicinal.data.corruptions.catalogue import NAMES

CONFIG = """
name: tiny
data: {name: cifar10, root: data, validation: 20, limit_test: 40}
recipe: {epochs: 1, batch_size: 20, lr: 0.05, crop_padding: 0, flip: false}
seeds: [0]
evaluation: {pairs: 40, corruptions: true}
grids:
  - {teachers: [resnet8], students: [resnet8_narrow], methods: [ce, kd_mixup], temperatures: [2]}
"""


@pytest.fixture
def prepared(fresh_project, tmp_path):
    """Return a project with a data set whose archive lies elsewhere, and a library that knows the archive's sums."""
    test = make_images(60, 1)
    order = np.random.default_rng(2).permutation(60)
    write_parquet(fresh_project.folder / "data" / "cifar10", make_images(100, 0), (test[0][order], test[1][order]))
    (fresh_project.folder / "tiny.yaml").write_text(CONFIG)
    archive = write_archive(tmp_path / FILE, arrays_of(*test))
    library = tmp_path / "library"
    library.mkdir()
    values = ", ".join(map(repr, dataclasses.astuple(archive)))
    (library / "sitecustomize.py").write_text(
        f"from vicinal.data.corruptions import catalogue as c\nc.ARCHIVES['cifar10'] = c.CorruptionArchive({values})\n"
    )
    return fresh_project, tmp_path / FILE, library


def run(project, library, *arguments):
    targets = ["results/tiny/corruptions.parquet", "results/tiny/figures/corruptions.png"]
    result = project.reproduce("tiny.yaml", "--", *targets, *arguments, settings=(), library=library)
    assert result.returncode == 0, result.stderr
    return result


def tables(project):
    folder = project.results / "tiny"
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("corruptions", "metrics")}


def said(project):
    """Return what the record of the tables says of corrupted images."""
    return json.loads((project.results / "tiny" / "provenance.json").read_text())["corruptions"]


def is_empty(project):
    """Tell whether the figure is nothing but a sentence."""
    record = json.loads((project.results / "tiny" / "figures" / "corruptions.json").read_text())
    return record["caption"] == MISSING


def test_corrupted_images_absent_then_there(prepared):
    project, archive, library = prepared
    run(project, library)
    found = tables(project)
    assert len(found["corruptions"]) == 0
    asked = said(project)
    assert not asked["available"]
    assert asked["reason"].startswith("data/CIFAR-10-C.tar: not there, and the download of https://127.0.0.1:9/")
    assert is_empty(project)
    trained = project.students()
    again = run(project, library, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr

    archive.rename(project.folder / "data" / FILE)
    run(project, library)
    assert project.students() == trained
    found = tables(project)
    table = found["corruptions"].astype({"model_id": object, "corruption": object, "metric": object})
    models = set(found["metrics"]["model_id"])
    assert len(models) == len(set(table["model_id"])) > 2
    assert len(table) == len(models) * len(NAMES) * 5 * 3
    assert set(table["count"]) == {40}
    clean = found["metrics"][found["metrics"]["split"] == "test"].astype({"model_id": object, "metric": object})
    clean = clean.set_index(["model_id", "metric"])["value"]
    untouched = table[table["corruption"] == NOTHING]
    for row in untouched.itertuples():
        assert row.value == pytest.approx(clean[row.model_id, row.metric], abs=1e-6)
    noisy = table[(table["corruption"] == "gaussian_noise") & (table["severity"] == 5)]
    assert not np.allclose(noisy["value"], untouched[untouched["severity"] == 5]["value"])
    assert said(project)["available"]
    assert not is_empty(project)
    again = run(project, library, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr
    # as workflow/docs/scale.md counts them
    for student in project.results.glob("students/*"):
        assert len(list(student.iterdir())) == 3
        assert len(list(project.results.glob(f"evaluations/*/{student.name}/*"))) == 4
        assert len(list(project.results.glob(f"robustness/*/{student.name}/*"))) == 1
    for stage in ("cohorts", "evaluations", "robustness"):
        for unit in project.results.glob(f"{stage}/*"):
            assert len([path for path in unit.iterdir() if path.is_file()]) == 4
            assert (project.results / "plan" / stage / f"{unit.name}.json").is_file()
    record = json.loads(next(project.results.glob("data/*.corruptions.json")).read_text())
    assert sorted(record["rows"]) != record["rows"]

"""Out-of-distribution detection through the whole pipeline, with data whose answer is known."""

import shutil
import sys

import numpy as np
import pandas as pd
from project import ROOT

sys.path.insert(0, str(ROOT / "tests" / "unit"))
from corruption_archive import make_images, write_parquet

CONFIG = """
name: tiny
data: {name: own, root: data, validation: 20}
recipe: {epochs: 1, batch_size: 20, lr: 0.05, crop_padding: 0, flip: false}
seeds: [0]
evaluation: {pairs: 40, ood: [same, darker]}
grids:
  - {teachers: [resnet8], students: [resnet8_narrow], methods: [ce, kd_mixup], temperatures: [2]}
"""


def test_images_of_other_data_are_told_apart_by_confidence(fresh_project):
    data = fresh_project.folder / "data"
    train, test = make_images(100, 0), make_images(60, 1)
    write_parquet(data / "own", train, test)
    write_parquet(data / "same", make_images(100, 2), test)
    write_parquet(data / "darker", train, (test[0] // 8, test[1]))
    (fresh_project.folder / "tiny.yaml").write_text(CONFIG)
    metrics = "results/tiny/metrics.parquet"
    result = fresh_project.reproduce("tiny.yaml", "--", metrics, settings=())
    assert result.returncode == 0, result.stderr
    table = pd.read_parquet(fresh_project.folder / metrics)
    found = table[table["metric"].str.startswith("ood_")].pivot(index="model_id", columns="metric", values="value")
    assert len(found) == 3  # the teacher, and both students
    # The same images are told apart by chance alone; the others by something else.
    assert (found["ood_auroc_same"] == 0.5).all()
    assert found["ood_fpr95_same"].between(0.95, 1).all()
    assert not np.isclose(found["ood_auroc_darker"], 0.5).any()
    again = fresh_project.reproduce("tiny.yaml", "--", metrics, "--dry-run", settings=())
    assert "Nothing to be done" in again.stdout + again.stderr
    checked = fresh_project.command("verify", "tiny.yaml")
    problems = [line for line in checked.stdout.splitlines() if line.startswith("results/")]
    assert problems and all(": missing; " in line for line in problems), checked.stdout  # the rest was not asked for
    record = next((fresh_project.folder / "results/evaluations").glob("*/*/evaluation.json"))
    record.write_text(record.read_text().replace('"darker": "', '"darker": "0'))
    checked = fresh_project.command("verify", "tiny.yaml")
    assert f"{record.name}: its ood_sha256 is not that of what lies here now" in checked.stdout

    # Images of another size are refused in one line.
    shutil.rmtree(data / "same")
    write_parquet(data / "same", (train[0][:, :8, :8], train[1]), (test[0][:, :8, :8], test[1]))
    refused = fresh_project.reproduce("tiny.yaml", "--", metrics, settings=())
    assert refused.returncode != 0
    text = refused.stdout + refused.stderr
    assert "evaluation.ood: the images of same have 8 pixels a side and 3 channels, those of the data 12 pixels" in text

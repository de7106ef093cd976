"""CIFAR for real, from Parquet, through the whole pipeline: a few steps, then every metric."""

import json

import pandas as pd
import pytest
import yaml
from project import ROOT

CIFAR100 = ROOT.parent / "shared" / "data" / "cifar100"


@pytest.mark.long
@pytest.mark.skipif(not CIFAR100.is_dir(), reason=f"CIFAR-100 as Parquet is not at {CIFAR100.relative_to(ROOT.parent)}")
def test_cifar100_from_parquet_to_figures(fresh_project):
    settings = [
        "name=cifar100", f"data.root={CIFAR100.parent}", "seeds=[0]", "epochs=2", "limit_train=200", "limit_test=200",
        "pairs=100",
        "teachers=[resnet8x4]", "students=[resnet8]", "methods=[ce_mixup, kd_mixup]", "temperatures=[1, std]",
        "evaluation.corruptions=false",
    ]  # fmt: skip
    blocks = yaml.safe_load((ROOT / "experiments" / "cifar100.yaml").read_text())["grids"]
    settings += [f"grids.{block}=null" for block in blocks if block != "main"]
    result = fresh_project.reproduce("cifar100", settings=settings)
    assert result.returncode == 0, result.stderr
    results = fresh_project.results
    [meta] = [json.loads(path.read_text()) for path in results.glob("data/*/data.json")]
    # Of the 200 training images; published ones are of all 50,000.
    assert meta["mean"] == pytest.approx([0.5071, 0.4865, 0.4409], abs=0.05)
    assert meta["std"] == pytest.approx([0.2673, 0.2564, 0.2762], abs=0.05)
    assert meta["counts"] == {"train": 200, "validation": 200, "test": 200}
    metrics = pd.read_parquet(results / "cifar100/metrics.parquet")
    models = metrics.drop_duplicates("model_id")
    assert sorted(models["method"][models["role"] == "student"]) == ["ce_mixup"] + ["kd_mixup"] * 2
    history = pd.read_parquet(results / "cifar100/history.parquet")
    losses = history.pivot_table(index="model_id", columns="epoch", values="loss", observed=True)
    assert (losses[2] < losses[1]).mean() > 0.5


@pytest.mark.long
@pytest.mark.skipif(
    not CIFAR100.is_dir(), reason=f"CIFAR as Parquet is not at {CIFAR100.parent.relative_to(ROOT.parent)}"
)
def test_the_study_for_cpus_runs_on_a_few_images(fresh_project):
    settings = [
        "name=cifar10-cpu", f"data.root={CIFAR100.parent}", "seeds=[0,1]", "epochs=1", "limit_train=100",
        "limit_test=200", "pairs=100",
    ]  # fmt: skip
    result = fresh_project.reproduce("cifar10-cpu", settings=settings)
    assert result.returncode == 0, result.stderr
    metrics = pd.read_parquet(fresh_project.results / "cifar10-cpu/metrics.parquet")
    assert metrics.drop_duplicates("model_id").groupby("seed").size().to_dict() == {0: 14, 1: 14}
    apart = metrics[metrics["metric"] == "ood_auroc_cifar100"]
    assert len(apart) == 28
    assert apart["value"].between(0, 1).all()
    # Each seed has training images of its own.
    subsets = [pd.read_parquet(path) for path in fresh_project.results.glob("data/cifar10_s*/splits.parquet")]
    first, second = (set(table.loc[table["split"] == "train", "index"]) for table in subsets)
    assert len(first) == len(second) == 100
    assert first != second
    # Two seeds are too few, or the same where all models of such short training give one answer; nothing else is wrong.
    claims = pd.read_parquet(fresh_project.results / "cifar10-cpu/claims.parquet")
    reasons = claims[claims["kind"] == "verdict"].set_index("claim")["reason"]
    assert reasons.str.contains("2 seeds").all(), reasons.to_dict()

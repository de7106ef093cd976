"""./reproduce diff: what differs between two results."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.stats
from planted_claims import planted

from vicinal.analysis.claims import evaluate_claims
from vicinal.commands import command_of
from vicinal.errors import VicinalError


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An experiment, and a run of it in which KD + mixup is worse and one seed is missing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    metrics = planted("C3-CE")["metrics"].astype({"model_id": object}).assign(recipe_epochs=60)
    of_mixup = metrics["method"] == "kd_mixup"
    noise = np.random.default_rng(0).normal(0, 0.01, len(metrics))
    other = metrics.assign(
        value=metrics["value"] - np.where(of_mixup, 0.3 + noise, 0.0),
        model_id=metrics["model_id"].where(~of_mixup, "other_" + metrics["model_id"].astype(str)),
        recipe_epochs=np.where(metrics["role"] == "student", 1, 60),
    )
    for name, table in (("digits", metrics), ("digits+epochs1", other[other["seed"] != 4])):
        (tmp_path / "results" / name).mkdir(parents=True)
        table.to_parquet(tmp_path / "results" / name / "metrics.parquet")
        evaluate_claims({"metrics": table}).to_parquet(tmp_path / "results" / name / "claims.parquet")
    return {"digits": metrics, "digits+epochs1": other}


def run(capsys, *arguments):
    command, parser = command_of("diff")
    assert command.main(parser.parse_args(arguments)) == 0
    return capsys.readouterr().out


def test_settings_models_metrics_and_verdicts(results, capsys):
    found = json.loads(run(capsys, "digits", "results/digits+epochs1", "--json"))
    settings = {(row["setting"], row["role"]): (row["first"], row["second"]) for row in found["settings"]}
    assert settings["recipe_epochs", "student"] == ("60", "1")
    assert settings["seed", "teacher"] == ("0, 1, 2, 3, 4", "0, 1, 2, 3")
    assert len(settings) == 3
    assert found["models"]["only_second"] == sorted(found["models"]["only_second"])
    assert all(id_.startswith("other_") for id_ in found["models"]["only_second"])
    assert found["models"]["both"] + len(found["models"]["only_first"]) == results["digits"]["model_id"].nunique()
    verdicts = {row["claim"].partition(":")[0]: row for row in found["verdicts"]}
    assert verdicts["C3-CE"]["first"] == "reproduced"
    assert verdicts["C3-CE"]["second"] == "not reproduced"
    assert verdicts["C3-CE"]["second_effect"].startswith("accuracy changes by −")


def test_metrics_are_paired_by_seed(results, capsys):
    found = json.loads(run(capsys, "digits", "digits+epochs1", "--json"))
    [row] = found["metrics"]
    first, second = (
        table[(table["method"] == "kd_mixup") & (table["seed"] != 4)].set_index("seed")["value"].sort_index()
        for table in results.values()
    )
    interval = scipy.stats.ttest_rel(second, first).confidence_interval(0.95)
    assert (row["metric"], row["unit"], row["n"]) == ("accuracy", "%", 4)
    assert row["model"].startswith("KD + mixup, resnet32x4 → resnet8x4, T = 2")
    assert row["difference"] == pytest.approx(100 * (second - first).mean())
    assert (row["low"], row["high"]) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert found["equal"] == 3  # the teacher, CE and KD


def test_text_and_page_say_the_same(results, tmp_path, capsys):
    text = run(capsys, "digits", "digits+epochs1")
    [row] = json.loads(run(capsys, "digits", "digits+epochs1", "--json"))["metrics"]
    shown = f"{row['difference']:+.3g}".replace("-", "−")
    assert shown in text
    assert "recipe_epochs" in text
    assert "not reproduced: accuracy changes by" in text
    assert "page.html" in run(capsys, "digits", "digits+epochs1", "--html", "page.html")
    page = (tmp_path / "page.html").read_text()
    parser = HTMLParser()
    seen = []
    parser.handle_data = seen.append
    parser.feed(page)
    words = " ".join(" ".join(seen).split())
    assert shown in words
    assert "digits+epochs1" in words
    assert "src=" not in page  # it loads no other file


def test_a_result_does_not_differ_from_itself(results, capsys):
    text = run(capsys, "digits", "digits")
    assert "settings: the same" in text
    assert "metrics: none of those that both have differs" in text


def test_what_is_not_there_is_named(results, tmp_path, capsys):
    with pytest.raises(VicinalError, match=r"digit: no experiment with results in results.*digits"):
        run(capsys, "digits", "digit")
    (tmp_path / "results/digits/claims.parquet").unlink()
    with pytest.raises(VicinalError, match=r"results/digits: .*claims\.parquet"):
        run(capsys, "digits", "digits+epochs1")

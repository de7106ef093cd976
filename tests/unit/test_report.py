"""The report from made-up tables: what it says, what is missing, hostile names, equal bytes."""

import hashlib
import json
import math
import re

import pandas as pd
import pytest
from report_tables import WORDS, Page, claims_table, png, record, write_experiment

from scripts import run_script
from vicinal.analysis.claims import CLAIMS
from vicinal.analysis.report import context, read_config, read_inputs, render
from vicinal.analysis.report.context import came_out
from vicinal.analysis.report.figures import BUDGET, Figure, embed, must_shrink
from vicinal.analysis.report.page import minus
from vicinal.errors import VicinalError
from vicinal.jobs import fingerprint

HOSTILE = "<script>alert('x')</script>\"&"


@pytest.fixture
def folder(tmp_path):
    return write_experiment(tmp_path / "results" / "cifar100")


def page_of(folder):
    return render(context(read_inputs(folder)))


def test_the_page_says_what_the_tables_say(folder):
    html = page_of(folder)
    page = Page(html)
    for i, (name, claim) in enumerate(CLAIMS.items()):
        assert name in page.ids
        assert claim.sentence in page.text
        assert WORDS[i % 3] in page.text
    lines = {line.strip() for line in page.text.splitlines()}
    assert {"✓ 3 reproduced", "✗ 3 not reproduced", "? 3 inconclusive"} <= lines
    assert "interval [−0.5, 1]" in page.text
    assert page.text.count("[−0.5, 1]") >= 18 + 9  # the primary and secondary tables, the reasons
    assert len(page.ids) == len(set(page.ids))


def test_title_and_head_say_what_came_out(folder):
    html = page_of(folder)
    assert "<title>cifar100: 3 of 9 reproduced on cifar100</title>" in html
    assert "<h1>3 of 9 reproduced on cifar100</h1>" in html


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["reproduced", "inconclusive"], "1 of 2 reproduced"),
        (["not judged", "not reproduced"], "0 of 2 reproduced"),
        (["no verdict", "no verdict"], "no verdict"),
        (["not judged", "not judged"], "nothing distilled"),
    ],
)
def test_what_came_out_in_a_few_words(verdicts, said):
    assert came_out([{"verdict": verdict} for verdict in verdicts]) == said


def test_every_figure_is_there_once_with_caption_and_alt_text(folder):
    page = Page(page_of(folder))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == len(list((folder / "figures").glob("*.png")))
    assert {image["alt"] for image in images} >= {"Figure: Caption of temperature.", "Figure: Caption of new."}
    assert {(image["width"], image["height"]) for image in images} == {("200", "100")}
    assert page.text.count("Caption of temperature. And more.") == 1
    assert "Figure temperature is shown at C3-CE." in page.text
    assert "Figure confusion: figures/confusion.png is missing." in page.text


def test_a_figure_without_data_is_a_sentence_and_no_picture(folder):
    about = {"caption": "No student was distilled.", "drawn": False, "provenance": record()}
    (folder / "figures" / "training.json").write_text(json.dumps(about))
    page = Page(page_of(folder))
    assert "Figure training: No student was distilled." in page.text and "distilled.." not in page.text
    assert "figure-training" not in page.ids and "figure-new" in page.ids


def test_intervals_of_one_estimand_share_their_axis(folder):
    numbers = ["estimate", "low", "high", "threshold"]
    table = claims_table()
    row = table[(table["claim"] == "C5") & (table["kind"] == "primary")].iloc[0]
    rows = [("0.01 − |x(c 0.5)|", -0.005, 0.005), ("0.01 − |x(c 2)|", -0.03, 0.03), ("other", -9.0, 1.0)]
    rows = [row.to_dict() | {"estimand": name, "low": low, "high": high, "estimate": 0.0} for name, low, high in rows]
    rows.append(rows[0] | {"low": math.nan})
    pd.concat([table[table["claim"] != "C5"], pd.DataFrame(rows)]).to_parquet(folder / "claims.parquet")
    [section] = [own for own in context(read_inputs(folder))["sections"] if own["id"] == "C5"]
    narrow, wide, other, none = (test["plot"] for test in section["primary"])
    assert none is None
    assert narrow["threshold"] == wide["threshold"] == pytest.approx(50, abs=0.1)
    lengths = [plot["high"] - plot["low"] for plot in (narrow, wide, other)]
    assert lengths[1] == pytest.approx(6 * lengths[0], abs=0.5) and lengths[1] == pytest.approx(84) == lengths[2]
    for test in section["primary"][:2]:  # a number lies where the shared axis, from −0.03 to 0.03, has it
        for name in numbers:
            assert test["plot"][name] == pytest.approx(8 + 84 * (test[name] + 0.03) / 0.06, abs=0.06)


def test_links_lead_somewhere_and_nothing_is_loaded(folder):
    page = Page(page_of(folder))
    for tag, attributes in page.tags:
        assert attributes.get("src", "data:").startswith("data:"), tag
        target = attributes.get("href", "")
        assert tag != "link"
        assert target[1:] in page.ids if target.startswith("#") else target in ("", "https://arxiv.org/abs/2606.12171")


def test_published_numbers_stand_beside_ours(folder):
    page = Page(page_of(folder))
    assert "70.66" in page.text  # Tian et al. 2020
    assert "71.00" in page.text
    assert "+0.34" in page.text
    assert "ours trained on 45,000 of 50,000 training images" in page.text
    assert "resnet56 → resnet20" in page.text
    assert "2 of 72 published numbers have a counterpart" in page.text
    assert not re.search(r"in cifar100\b", page.text)  # the page is of one experiment
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("claims.parquet", "claims.parquet is missing: run ./reproduce to make it"),
        ("metrics.parquet", "metrics.parquet is missing: run ./reproduce to make it"),
        ("figures/training.png", "Figure training: figures/training.png is missing"),
        ("figures/training.json", "No caption: figures/training.json is missing."),
        ("provenance.json", "Published numbers"),
        ("claims.json", "Published numbers"),
    ],
)
def test_what_is_missing_is_said(folder, missing, said):
    before = Page(page_of(folder)).text
    (folder / missing).unlink()
    after = Page(page_of(folder)).text
    assert said in after
    assert after != before


@pytest.mark.parametrize("record", ["provenance.json", "claims.json", "figures/training.json"])
def test_a_record_that_is_no_object_is_named(folder, record):
    (folder / record).write_text("[1]")
    with pytest.raises(VicinalError, match=rf"/{record}: expected a JSON object, {{…}}, found \[1\]$"):
        page_of(folder)


def test_an_empty_folder_gives_a_page(tmp_path):
    page = Page(page_of(tmp_path))
    assert set(CLAIMS) <= set(page.ids)
    assert page.text.count("claims.parquet is missing") == 18  # scorecard and section
    assert "versions and devices are not known" in page.text


def test_a_claim_without_rows_has_no_verdict(folder):
    table = claims_table()
    table[table["claim"] != "C5"].to_parquet(folder / "claims.parquet")
    assert "claims.parquet has no verdict on C5" in Page(page_of(folder)).text


@pytest.mark.parametrize("notes", [None, [], 7, ["test images that equal a training image: 8 of 90", HOSTILE]])
def test_notes_on_the_data_stand_on_top(folder, notes):
    (folder / "provenance.json").write_text(json.dumps({"spec": {"name": "own"}, "data_notes": notes}))
    page = page_of(folder)
    text = Page(page).text
    assert ("Notes on the data" in text) == ("8 of 90" in text) == (notes is not None and notes not in ([], 7))
    assert HOSTILE not in page


def test_equal_inputs_give_equal_bytes(folder):
    assert page_of(folder) == page_of(folder)


def test_large_figures_are_shrunk_to_half():
    large = Figure("large", png(1200, 1000), "")
    assert len(large.png) > BUDGET
    assert must_shrink([large])
    assert not must_shrink([Figure("small", png(), ""), Figure("none", None, "")])
    full, small = embed(large, False), embed(large, True)
    assert len(small["url"]) < len(full["url"]) / 4
    assert (small["width"], small["height"]) == (full["width"], full["height"]) == (600, 500)


def test_a_broken_picture_is_named(folder):
    (folder / "figures" / "training.png").write_bytes(b"no picture")
    with pytest.raises(VicinalError, match=r"figures/training\.png: not a readable PNG"):
        page_of(folder)


def test_minus_signs_of_numbers_only():
    assert minus("[-0.5, -.1] of kd-2, 2026-01-02, a--3") == "[−0.5, −.1] of kd-2, 2026-01-02, a--3"


def test_config_of_one_or_several_experiments(tmp_path):
    path = tmp_path / "config.yaml"
    assert read_config(path, "a") is None
    path.write_text("{name: a, seeds: [0]}")
    assert read_config(path, "a").startswith("name: a\n")
    assert read_config(path, "b") is None
    path.write_text("{name: paper, experiments: [{name: a}, {name: b, seeds: [1]}]}")
    assert read_config(path, "b") == "name: b\nseeds:\n- 1\n"


def planned(folder, code=None):
    """Run the script with a plan."""
    results = folder.parent
    code = code or fingerprint.stage_fingerprint("reports")
    plan = {"stage": "reports", "id": "cifar100", "key": "k", "spec": {}, "code": code}
    (results / "plan.json").write_text(json.dumps(plan))
    paths = {
        "--plan": results / "plan.json",
        "--results": results,
        "--tables": folder,
        "--output": folder / "report.html",
    }
    return run_script("report.py", *(part for pair in paths.items() for part in pair))


def test_script_with_a_plan_adds_the_records_of_the_models(folder):
    place = folder.parent / "evaluations" / "e" / "m"
    place.mkdir(parents=True)
    records = {"training": record(wall_seconds=3725), "provenance": record()}
    (place / "evaluation.json").write_text(json.dumps(records))
    (folder.parent / "plan").mkdir()
    (folder.parent / "plan" / "config.yaml").write_text("{name: cifar100, seeds: [7]}")
    assert planned(folder).returncode == 0
    text = Page((folder / "report.html").read_text(encoding="utf-8")).text
    assert "62 min" in text
    assert f"git checkout {'a' * 40}\n./reproduce cifar100.yaml" in text
    assert "seeds:\n- 7" in text
    assert (folder / "report.html.key").read_text().startswith("k\n")
    made = json.loads((folder / "report.json").read_text())
    assert made["sha256"] == {"report.html": hashlib.sha256((folder / "report.html").read_bytes()).hexdigest()}
    tables, pictures = ["claims.parquet", "metrics.parquet"], sorted((folder / "figures").glob("*.png"))
    assert sorted(made["made_from"]) == sorted([*tables, *(f"figures/{path.name}" for path in pictures)])
    for name, sum_ in made["made_from"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sum_
    assert made["code"] == fingerprint.stage_fingerprint("reports")


def test_script_stops_where_a_record_is_missing_or_the_code_changed(folder):
    done = planned(folder)
    assert done.returncode == 1
    assert "evaluation.json: no such file" in done.stderr
    done = planned(folder, code="0" * 16)
    assert done.returncode == 1
    assert "the code changed after this run was planned" in done.stderr
    assert not (folder / "report.html").exists()

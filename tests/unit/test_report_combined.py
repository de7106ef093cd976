"""The report of several experiments: side by side, sentences on agreement, links, hostile names, the script."""

import hashlib
import json
import re
import shutil
from urllib.parse import unquote

import pandas as pd
import pytest
from report_tables import WORDS, Page, claims_table, metrics_table, record, write_experiment
from shipped_metrics import shipped_metrics

from scripts import run_script
from vicinal.analysis.claims import CLAIMS, evaluate_claims
from vicinal.analysis.report import combined_context, read_inputs, render
from vicinal.analysis.report.combined import agreement
from vicinal.analysis.report.context import OF_CLAIM
from vicinal.jobs import fingerprint

HOSTILE = "<script>alert('x')</script>\"&"
YES, NO, OPEN = WORDS
NONE = "no verdict"


@pytest.fixture
def folders(tmp_path):
    """Two experiments: cifar100 with every verdict in turn, cifar10 in which all is reproduced."""
    results = tmp_path / "results"
    return [write_experiment(results / "cifar100"), write_experiment(results / "cifar10", "cifar10", words=(YES,))]


def page_of(folders, name="paper", **options):
    return render(combined_context([read_inputs(folder) for folder in folders], name, **options), "combined.html.j2")


def spaced(html):
    """Return the text of a page with a space between cells."""
    return " ".join(Page(html.replace("</td>", " </td>").replace("</th>", " </th>")).text.split())


def scores(html):
    """Return the text of every cell of the scorecard, by claim."""
    table = html[html.index('<table class="matrix">') : html.index("</table>")]
    rows = [" ".join(Page(f"<tr>{row.partition('</tr>')[0]}</tr>").text.split()) for row in table.split("<tr>")[2:]]
    return {row.split()[0]: row for row in rows}


@pytest.mark.parametrize(
    ("verdicts", "word", "detail"),
    [
        ((YES, YES), "Agree", ": reproduced in both"),
        ((NO, NO, NO), "Agree", ": not reproduced in all 3"),
        ((NO, YES), "Disagree", ": reproduced in b, not reproduced in a"),
        ((YES, NO, OPEN, YES), "Disagree", ": reproduced in a and d, not reproduced in b, inconclusive in c"),
        ((OPEN, YES), "Open", ": reproduced in b, inconclusive in a"),
        ((NO, OPEN, NONE), "Open", ": not reproduced in a, inconclusive in b, no verdict in c"),
        ((OPEN, OPEN), "Undecided", ": inconclusive in both"),
        ((NONE, OPEN), "Undecided", ": inconclusive in b, no verdict in a"),
        (("unheard of", YES, YES), "Open", ": reproduced in b and c, unheard of in a"),
        ((YES,), "One experiment", ": reproduced"),
        (("not judged", "not judged"), "Undecided", ": not judged in both"),
        ((OPEN, "not testable here", YES), "Open", ": reproduced in c, inconclusive in a, not testable here in b"),
        ((YES, YES, YES, NO), "Disagree", ": reproduced in a, b and c, not reproduced in d"),
    ],
)
def test_agreement_is_said_in_words(verdicts, word, detail):
    assert agreement(dict(zip("abcd", verdicts, strict=False))) == {"word": word, "detail": detail}


def test_experiments_that_were_left_out_are_named_with_the_reason(folders):
    html = page_of(folders, skipped={"cifar10-long": f"data.root: {HOSTILE}", "photos": "weights: gone"})
    text = " ".join(Page(html).text.split())
    assert "Left out of this run: cifar10-long, photos; why" in text
    assert f"cifar10-long: data.root: {HOSTILE}" in text
    assert "photos: weights: gone" in text
    assert HOSTILE not in html
    assert 'href="#left-out"' in html
    assert 'id="left-out"' in html
    assert "Left out" not in page_of(folders)


def test_the_scorecard_has_a_row_a_claim_and_a_column_an_experiment(folders):
    html = page_of(folders)
    rows = scores(html)
    assert list(rows) == list(CLAIMS)
    for i, row in enumerate(rows.values()):
        verdict = WORDS[i % 3]
        symbol = "✓✗?"[i % 3]
        assert f"cifar100 {symbol} {verdict} 0.25 [−0.5, 1], 5 seeds" in row
        assert "cifar10 ✓ reproduced 0.25 [−0.5, 1], 5 seeds a → b, T = 2: difference; claimed: > 0" in row
        assert ("Agree: ", "Disagree: ", "Open: ")[i % 3] in row
    assert "Of 9 verdicts the experiments agree on 3, disagree on 3 and leave 3 open" in Page(html).text


def test_a_warning_is_flagged_in_the_scorecard_and_said_below(folders):
    table = claims_table()
    table.loc[table["kind"] == "verdict", "warning"] = "ECE is not lower"
    table.to_parquet(folders[0] / "claims.parquet")
    html = page_of(folders)
    assert "with a warning" in scores(html)["C4-CE"]
    assert Page(html).text.count("ECE is not lower") == len(CLAIMS)


def test_the_page_stands_alone(folders):
    page = Page(page_of(folders))
    for claim in CLAIMS.values():
        assert page.text.count(claim.sentence) == 1
    assert page.text.count("a → b, T = 2: interval [−0.5, 1]") == 2 * len(CLAIMS)  # the reasons
    assert sum(attributes.get("class") == "tests" for _, attributes in page.tags) == 2 * len(CLAIMS)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 2 * (len({name for names in OF_CLAIM.values() for name in names}) - 1)  # without confusion
    assert page.text.count("Caption of temperature. And more.") == 2
    assert page.text.count("Figure temperature is shown at C3-CE.") == 4
    assert "70.66" in page.text  # Tian et al. 2020
    assert page.text.count("Some CPU, 1 thread") >= 2 * 3  # tables, claims and figures of each experiment
    assert "One set of versions, one device and one revision made all of these results." in page.text
    assert len(page.ids) == len(set(page.ids))


def test_published_numbers_stand_in_one_table(folders):
    text = spaced(page_of(folders))
    assert text.count("published numbers have a counterpart") == 1
    assert "resnet56 → resnet20 in cifar100 kd, T = 4 accuracy, % 70.66 71.00 ± 1.00 (3)" in text
    none = page_of(folders[1:])  # cifar10, of which there are none at 32 pixels
    assert "No published number has a counterpart in these experiments" in Page(none).text


def test_an_experiment_without_distillation_stands_beside_the_published_numbers_only(folders):
    metrics = shipped_metrics("cifar100-transfer-ce")
    alone = write_experiment(folders[0].parent / "alone", "alone")
    metrics.to_parquet(alone / "metrics.parquet")
    evaluate_claims({"metrics": metrics}).to_parquet(alone / "claims.parquet")
    html = page_of([*folders, alone])
    assert scores(html) == scores(page_of(folders))
    page, text = Page(html), spaced(html)
    assert "Only compared with the published numbers, since nothing is distilled there: alone." in text
    assert "resnet50 ours: resnet50_imagenet_mlp in alone ce accuracy, % 81.70" in text
    assert "– 9 not judged" in text
    assert len(page.ids) == len(set(page.ids))
    assert "not judged" in scores(page_of([alone]))["C1"]


def test_models_and_seeds_are_counted(folders):
    metrics_table(seeds=5, data="cifar10").to_parquet(folders[1] / "metrics.parquet")
    html = page_of(folders)
    table = html[html.index('aria-label="Experiments"') :].partition("</table>")[0]
    cells = [re.sub("<[^>]*>", "", cell) for cell in re.findall("<t[hd][ >].*?</t[hd]>", table)]
    assert cells[7:13] == ["cifar100", "cifar100", "9", "3", "6", "3"]
    assert cells[14:20] == ["cifar10", "cifar10", "15", "5", "10", "5"]


def test_links_lead_to_the_experiments_own_reports(folders):
    page = Page(page_of(folders))
    targets = [attributes["href"] for _, attributes in page.tags if "href" in attributes]
    own = [target for target in targets if target.startswith("..")]
    assert set(own) == {
        f"../{name}/report.html{part}" for name in ("cifar100", "cifar10") for part in ("", *(f"#{c}" for c in CLAIMS))
    }
    for target in set(targets) - set(own):
        assert target[1:] in page.ids if target.startswith("#") else target == "https://arxiv.org/abs/2606.12171"
    for tag, attributes in page.tags:
        assert tag != "link"
        assert attributes.get("src", "data:").startswith("data:")
    elsewhere = Page(page_of(folders, links={"cifar100": "a b/report.html", "cifar10": "c/report.html"}))
    assert "a%20b/report.html#C3-CE" in [attributes.get("href") for _, attributes in elsewhere.tags]


def test_an_experiment_without_claims_or_metrics_says_so(folders):
    (folders[0] / "claims.parquet").unlink()
    (folders[1] / "metrics.parquet").unlink()
    (folders[1] / "provenance.json").write_text(json.dumps({"spec": {"name": "cifar10"}}))
    html = page_of(folders)
    assert "Open: reproduced in cifar10, no verdict in cifar100" in scores(html)["C1"]
    text = Page(html).text
    assert text.count("claims.parquet is missing: run ./reproduce to make it") == 2 * len(CLAIMS)
    assert text.count("cifar10: metrics.parquet is missing: run ./reproduce to make it") == 1


def test_experiments_of_different_code_are_flagged(folders, tmp_path):
    other = write_experiment(tmp_path / "other", "other", git="b" * 40)
    text = Page(page_of([*folders, other])).text
    assert f"revisions of the code: {'a' * 40}, {'b' * 40}" in text
    lines = [line.strip() for line in text.splitlines()]
    at = lines.index(f"git checkout {'a' * 40}")
    assert lines[at : at + 5] == [
        f"git checkout {'a' * 40}", "./reproduce cifar100", "./reproduce cifar10",
        f"git checkout {'b' * 40}", "./reproduce other",
    ]  # fmt: skip


def test_title_and_head_say_what_came_out(folders):
    html = page_of(folders)
    assert "<title>paper: 3 of 9 reproduced in cifar100, 9 of 9 reproduced in cifar10</title>" in html
    assert "<h1>3 of 9 reproduced in cifar100, 9 of 9 reproduced in cifar10</h1>" in html


def test_a_claim_stands_side_by_side_with_its_figures(folders):
    html = page_of(folders)
    section = html[html.index('<section id="C3-CE"') : html.index('<section id="C3-KD"')]
    each = section[section.index('<div class="each">') : section.index("<h3>Primary tests in cifar100</h3>")]
    articles = each.split("<article>")[1:]
    assert [("cifar100</a>" in one, "cifar10</a>" in one) for one in articles] == [(True, False), (False, True)]
    assert [f'id="figure-{at}-temperature"' in one for at, one in enumerate(articles, start=1)] == [True, True]


def test_one_experiment_alone(folders):
    html = page_of(folders[:1])
    assert "One experiment: there is nothing to compare it with." in Page(html).text
    assert "One experiment: not reproduced" in scores(html)["C2"]


def test_hostile_names_are_text(folders):
    clean = Page(page_of(folders))
    claims_table(title=HOSTILE, cell=HOSTILE).to_parquet(folders[0] / "claims.parquet")
    metrics_table(model=HOSTILE).to_parquet(folders[0] / "metrics.parquet")
    own = {"spec": {"name": HOSTILE}, "provenance": record(cpu=HOSTILE, git=HOSTILE, packages={HOSTILE: HOSTILE})}
    (folders[0] / "provenance.json").write_text(json.dumps(own))
    page = Page(page_of(folders, name=HOSTILE))
    assert page.count("script") == clean.count("script") == 1
    assert page.text.count(HOSTILE) > 50
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    links = {attributes["href"] for _, attributes in page.tags if attributes.get("href", "").startswith("..")}
    assert f"../{HOSTILE}/report.html" in {unquote(link) for link in links}


@pytest.fixture
def evaluated(folders):
    """The two experiments, and beside them the record of the model that both name."""
    place = folders[0].parent / "evaluations" / "e" / "m"
    place.mkdir(parents=True)
    (place / "evaluation.json").write_text(json.dumps({"training": record(wall_seconds=3725), "provenance": record()}))
    return folders


def planned(folders, name="paper", **other):
    """Run the script with a plan."""
    results = folders[0].parent
    code = fingerprint.stage_fingerprint("collections")
    plan = {"stage": "collections", "id": name, "key": "k", "spec": {"experiments": ["x"]}, "code": code} | other
    (results / "plan.json").write_text(json.dumps(plan))
    arguments = ["--plan", results / "plan.json", "--results", results, "--output", results / name / "report.html"]
    return run_script("combine.py", *arguments, "--tables", *folders)


def refused(says, folders, **other):
    done = planned(folders, **other)
    assert done.returncode == 1
    assert says in done.stderr


def test_script_writes_page_record_and_key(evaluated):
    folders = evaluated
    done = planned(folders)
    assert done.returncode == 0
    assert "paper: cifar100, cifar10 in " in done.stdout
    place = folders[0].parent / "paper"
    page = (place / "report.html").read_text(encoding="utf-8")
    assert scores(page) == scores(page_of(folders))
    assert "62 min" in page  # the training of the model
    assert (place / "report.html.key").read_text().startswith("k\n")
    made = json.loads((place / "report.json").read_text())
    assert made["sha256"] == {"report.html": hashlib.sha256((place / "report.html").read_bytes()).hexdigest()}
    figures = {name for names in OF_CLAIM.values() for name in names} - {"confusion"}
    assert made["made_from"] == {
        f"{folder.name}/{table}": hashlib.sha256((folder / table).read_bytes()).hexdigest()
        for folder in folders
        for table in ("claims.parquet", "metrics.parquet", *(f"figures/{name}.png" for name in figures))
    }
    assert made["code"] == fingerprint.stage_fingerprint("collections")
    assert made["provenance"]["packages"]["pandas"] == pd.__version__


def test_script_names_what_is_wrong(evaluated):
    folders = evaluated
    refused("none: no such folder", [folders[0], folders[0].parent / "none"])
    copy = shutil.copytree(folders[0], folders[0].parent / "copy")
    refused("copy: a second experiment named cifar100", [*folders, copy])
    refused("a plan of the stage reports, expected collections", folders, stage="reports")
    refused("the code changed after this run was planned", folders, code="0" * 16)
    (folders[0].parent / "evaluations" / "e" / "m" / "evaluation.json").unlink()
    refused("evaluation.json: no such file", folders)
    assert not (folders[0].parent / "paper").exists()

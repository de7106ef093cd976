"""The table of stages says what the rules say, and the names of folders are those of the code that fills them."""

import re
from pathlib import Path

import pytest

from vicinal.analysis.figures import FIGURES
from vicinal.results import FOLDERS, SHARED_FOLDERS, STAGES, is_id, model_path

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rules():
    text = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    return {match[1]: match[2] for match in re.finditer(r"^rule (\w+):\n((?:    .*\n|\n)+)", text, re.M)}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_as_its_rule_says(rules, name):
    stage, id_ = STAGES[name], "x"
    rule = re.sub(r"\{+\w+\}+", id_, rules[stage.rule].replace("{figure}", FIGURES[0]))
    assert f"results/plan/{name}/{id_}.json" in rule
    assert re.search(r"^    output:\n(?:        .*\n)*?        .*" + f'"results/{stage.output_of(id_)}"', rule, re.M)
    assert f'    log:\n        "results/{stage.log_of(id_)}"' in rule
    assert f"workflow/scripts/{stage.script} " in rule
    if "    benchmark:" in rule:
        assert f'    benchmark:\n        "results/{stage.benchmark_of(id_)}"' in rule


def test_every_rule_with_a_plan_is_a_stage(rules):
    assert {name for name, text in rules.items() if "results/plan/" in text} == {s.rule for s in STAGES.values()}


def test_folders_hold_the_outputs():
    made = {stage.output_of("x").partition("/")[0] for stage in STAGES.values()} - {"x", ""}
    assert {*FOLDERS, "weights"} == made | {model_path("student", "x").partition("/")[0]}
    assert made < SHARED_FOLDERS


def test_ids():
    assert is_id("resnet8_t4-0123abcd")
    assert not any(map(is_id, ("resnet8", "-0123abcd", "a-0123ABCD", "../a-0123abcd", "a/b-0123abcd", "a-0123abcd\n")))


def test_every_figure_has_a_caption_in_snakemakes_report():
    captions = {path.stem: path.read_text() for path in (ROOT / "workflow/report/captions/figures").iterdir()}
    assert captions == {name: f"{{{{ snakemake.params.captions.{name} }}}}\n" for name in FIGURES}

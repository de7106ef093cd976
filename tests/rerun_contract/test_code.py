"""Changing code reruns the stages that use it and what follows; comments, docstrings and formatting run nothing."""

import shutil
from collections import Counter

import pytest
from dependencies import changed
from finished import BASE, ROOT, dry_runs

STATEMENT = "\n_ADDED = 1\n"
# The jobs of the unchanged config by rule.
ALL = {
    "prepare_data": 1,
    "train_teacher": 5,
    "distill": 7,
    "evaluate": 5,
    "aggregate": 1,
    "judge_claims": 1,
    "plot_figures": 1,
    "make_report": 1,
}
TRAININGS = 5 + 22


def rules(*names):
    return {name: ALL[name] for name in names}


ANALYSIS = rules("aggregate", "judge_claims", "plot_figures", "make_report")
# file in workflow/ → the jobs by rule, and the number of trainings, after a statement is added to it
EDITS = {
    "vicinal/training/loop.py": (ALL | {"prepare_data": 0}, TRAININGS),
    "vicinal/training/batch_plan.py": (ALL | {"prepare_data": 0}, TRAININGS),
    "vicinal/models/cifar_resnet.py": (ALL | {"prepare_data": 0}, TRAININGS),
    "vicinal/models/vgg.py": ({}, 0),
    "scripts/distill.py": (ALL | {"prepare_data": 0, "train_teacher": 0}, 22),
    "scripts/evaluate.py": (rules("evaluate") | ANALYSIS, 0),
    "vicinal/evaluation/metrics/calibration.py": (rules("evaluate") | ANALYSIS, 0),
    "scripts/aggregate.py": (ANALYSIS, 0),
    "vicinal/analysis/claims/c3.py": (rules("judge_claims", "make_report"), 0),
    "vicinal/analysis/figures/capacity.py": (rules("plot_figures", "make_report"), 0),
    "vicinal/analysis/figures/style.py": (rules("plot_figures", "make_report"), 0),
    "vicinal/analysis/report/page.py": (rules("make_report"), 0),
    "vicinal/cli.py": ({}, 0),
    "vicinal/planning/plans.py": ({}, 0),
    "vicinal/files.py": ({}, 0),
    # The store is built anew; if it holds the same, no model is trained: they are kept by its checksum.
    "scripts/prepare_data.py": (ALL, 0),
}


COMMENTS, TEMPLATE = "comments", "report/report.css"


def source(name: str) -> str:
    return (ROOT / "workflow" / name).read_text(encoding="utf-8")


def commented(name: str) -> str:
    """Return a module with comments, blank lines and another docstring."""
    lines = source(name).splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("def ")), len(lines))
    lines[start:start] = ["# A comment.", "", "", ""]
    return "\n".join(lines).replace('"""', '"""Of course: ', 1) + "\n\n"


@pytest.fixture(scope="module")
def answers(ask_once) -> dict[str, dict]:
    """The answers after each edit."""
    modules = [str(path.relative_to(ROOT / "workflow")) for path in sorted((ROOT / "workflow").rglob("*.py"))]
    edits = {name: {name: source(name) + STATEMENT} for name in EDITS}
    edits[COMMENTS] = {name: commented(name) for name in modules}
    edits[TEMPLATE] = {TEMPLATE: source(TEMPLATE) + "/* wider */\n"}
    cases = [
        {"config": BASE, "edit": {f"workflow/{name}": text for name, text in texts.items()}} for texts in edits.values()
    ]
    found = dict(zip(edits, ask_once("code", cases), strict=True))
    assert all(answer["planned"] == answer["snakemake"] for answer in found.values())
    return found


@pytest.fixture
def edited(project, tmp_path):
    """Return a function that edits files of a copy of the project, which run then, and returns the answers there."""
    folder = shutil.copytree(project, tmp_path / "project")

    def answer(edits: dict[str, str], *configs: dict) -> list[dict]:
        for name, text in edits.items():
            (folder / "workflow" / name).write_text(text, encoding="utf-8")
        found = dry_runs(folder, [{"config": config} for config in configs])
        assert all(answer["planned"] == answer["snakemake"] for answer in found)
        return found

    return answer


def count(answer: dict) -> dict[str, int]:
    return dict(Counter(rule for rule, _ in answer["snakemake"]))


@pytest.mark.parametrize("name", EDITS)
def test_a_statement_reruns_the_stages_that_use_it(answers, name):
    jobs, trainings = EDITS[name]
    answer = answers[name]
    assert count(answer) == {rule: number for rule, number in jobs.items() if number}
    assert len(answer["trained"]) == trainings
    if jobs:
        assert any(reason.startswith("code of ") for reason in answer["reasons"])


def test_comments_docstrings_and_formatting_run_nothing(answers):
    assert answers[COMMENTS] == {"snakemake": [], "planned": [], "trained": [], "reasons": []}


def test_a_template_of_the_report_makes_the_report_anew(answers):
    assert answers[TEMPLATE]["snakemake"] == [["make_report", "squares"]]
    assert answers[TEMPLATE]["reasons"] == ["template of the report"]


def test_a_changed_default_is_a_changed_setting(edited):
    schema, default = "vicinal/config/schema.py", "weight_decay: NotNegative = Field(5e-4"
    text = source(schema)
    assert default in text
    # Where the setting is written out its default does not matter.
    written = changed(BASE, "recipe.weight_decay", 5e-4)
    answer, same = edited({schema: text.replace(default, default.replace("5e-4", "1e-4"))}, BASE, written)
    assert len(answer["trained"]) == TRAININGS
    assert "recipe.weight_decay: 0.0005 → 0.0001" in answer["reasons"]
    assert same["snakemake"] == []


def test_a_new_field_at_its_neutral_value_only_adds_a_column_to_the_tables(edited):
    schema, spec = "vicinal/config/schema.py", "vicinal/spec.py"
    field = '    label_smoothing: NotNegative = Field(0.0, description="label smoothing")\n'
    place = '    flip: bool = Field(True, description="random horizontal flip")\n'
    known = '"nesterov": False,'
    assert place in source(schema)
    assert known in source(spec)
    edits = {
        schema: source(schema).replace(place, place + field),
        spec: source(spec).replace(known, f'"label_smoothing": 0, {known}'),
    }
    neutral, other = edited(edits, BASE, changed(BASE, "recipe.label_smoothing", 0.1))
    assert count(neutral) == ANALYSIS
    assert len(other["trained"]) == TRAININGS

"""Changing code reruns the stages that use it and what follows; comments, docstrings and formatting run nothing."""

import shutil
from pathlib import Path

import pytest
from dependencies import changed
from finished import BASE, dry_runs

from vicinal.figures import FIGURES

STATEMENT = "\n_ADDED = 1\n"
# The jobs of the unchanged config by rule.
ALL = {
    "prepare_data": 1,
    "train_teacher": 5,
    "distill": 13,
    "evaluate": 18,
    "aggregate": 1,
    "judge_claims": 1,
    "plot_figure": len(FIGURES),
    "make_report": 1,
}
TRAININGS = 5 + 22


def rules(*names):
    return {name: ALL[name] for name in names}


ANALYSIS = rules("aggregate", "judge_claims", "plot_figure", "make_report")
# file in workflow/ → the jobs by rule, and the number of trainings, after a statement is added to it
EDITS = {
    "vicinal/engine.py": (ALL | {"prepare_data": 0}, TRAININGS),
    "vicinal/batches.py": (ALL | {"prepare_data": 0}, TRAININGS),
    "vicinal/models/cifar_resnet.py": (ALL | {"prepare_data": 0}, TRAININGS),
    "vicinal/models/vgg.py": ({}, 0),
    "scripts/distill.py": (ALL | {"prepare_data": 0, "train_teacher": 0, "evaluate": 13}, 22),
    "scripts/evaluate.py": (rules("evaluate") | ANALYSIS, 0),
    "vicinal/metrics/calibration.py": (rules("evaluate") | ANALYSIS, 0),
    "scripts/aggregate.py": (ANALYSIS, 0),
    "vicinal/claims/c3.py": (rules("judge_claims", "make_report"), 0),
    "vicinal/figures/capacity.py": ({"plot_figure": 1, "make_report": 1}, 0),
    "vicinal/figures/style.py": (rules("plot_figure", "make_report"), 0),
    "vicinal/report/page.py": (rules("make_report"), 0),
    "vicinal/cli.py": ({}, 0),
    "vicinal/planning.py": ({}, 0),
    "vicinal/files.py": ({}, 0),
    # The store is built anew; if it holds the same, no model is trained: they are kept by its checksum.
    "scripts/prepare_data.py": (ALL, 0),
}


@pytest.fixture
def edited(project, tmp_path):
    """Return a function that edits files of a copy of the project and returns the answer there."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder, symlinks=True)

    def answer(edits: dict[str, str], config: dict = BASE) -> dict:
        for name, text in edits.items():
            (folder / "workflow" / name).write_text(text)
        [found] = dry_runs(folder, [{"config": config}])
        assert found["planned"] == found["snakemake"]
        return found

    answer.workflow = folder / "workflow"
    return answer


def count(answer: dict) -> dict[str, int]:
    found: dict[str, int] = {}
    for rule, _ in answer["snakemake"]:
        found[rule] = found.get(rule, 0) + 1
    return found


@pytest.mark.parametrize("name", EDITS)
def test_a_statement_reruns_the_stages_that_use_it(edited, name):
    jobs, trainings = EDITS[name]
    answer = edited({name: (edited.workflow / name).read_text() + STATEMENT})
    assert count(answer) == {rule: number for rule, number in jobs.items() if number}
    assert len(answer["trained"]) == trainings
    if jobs:
        assert any(reason.startswith("code of ") for reason in answer["reasons"])


def test_comments_docstrings_and_formatting_run_nothing(edited):
    edits = {}
    for path in sorted(Path(edited.workflow).rglob("*.py")):
        lines = path.read_text().splitlines()
        start = next((i for i, line in enumerate(lines) if line.startswith("def ")), len(lines))
        lines[start:start] = ["# A comment.", "", "", ""]
        edits[str(path.relative_to(edited.workflow))] = "\n".join(lines).replace('"""', '"""Of course: ', 1) + "\n\n"
    assert edited(edits) == {"snakemake": [], "planned": [], "trained": [], "reasons": []}


def test_a_template_of_the_report_makes_the_report_anew(edited):
    style = "report/report.css"
    answer = edited({style: (edited.workflow / style).read_text() + "/* wider */\n"})
    assert answer["snakemake"] == [["make_report", "squares"]]
    assert answer["reasons"] == ["template of the report"]


def test_a_changed_default_is_a_changed_setting(edited):
    schema = "vicinal/config/schema.py"
    text = (edited.workflow / schema).read_text()
    assert "weight_decay: NotNegative = Field(5e-4" in text
    edits = {schema: text.replace("weight_decay: NotNegative = Field(5e-4", "weight_decay: NotNegative = Field(1e-4")}
    answer = edited(edits)
    assert len(answer["trained"]) == TRAININGS
    assert "recipe.weight_decay: 0.0005 → 0.0001" in answer["reasons"]
    # Where the setting is written out its default does not matter.
    assert edited({}, changed(BASE, "recipe.weight_decay", 5e-4))["snakemake"] == []


def test_a_new_field_at_its_neutral_value_only_adds_a_column_to_the_tables(edited):
    schema, spec = "vicinal/config/schema.py", "vicinal/spec.py"
    field = '    label_smoothing: NotNegative = Field(0.0, description="label smoothing")\n'
    text = (edited.workflow / schema).read_text()
    place = '    flip: bool = Field(True, description="random horizontal flip")\n'
    assert place in text
    neutral = (edited.workflow / spec).read_text()
    edits = {
        schema: text.replace(place, place + field),
        spec: neutral.replace('    "nesterov": False,', '    "label_smoothing": 0,\n    "nesterov": False,'),
    }
    assert count(edited(edits)) == ANALYSIS
    assert len(edited({}, changed(BASE, "recipe.label_smoothing", 0.1))["trained"]) == TRAININGS

"""--retrain: which models are chosen, what is said, and that nothing but a mark changes."""

import json
import shutil

import pytest

from vicinal.audit.acceptance import accept_code
from vicinal.errors import VicinalError
from vicinal.jobs.plan import recorded_parts
from vicinal.planning.changes import find_changes
from vicinal.planning.files import write_plans
from vicinal.running import retrain
from vicinal.running.retrain import find_models


def contents(results):
    return {path: path.read_bytes() for path in results.rglob("*") if path.is_file() and "plan" not in path.parts}


def ids(results, plans, *patterns):
    return sorted(
        record.id.rpartition("-")[0] for _, records in find_models(plans, list(patterns), results) for record in records
    )


def test_models_are_found_by_their_ids_or_that_of_their_cohort(tree):
    results, plans = tree
    everything = ids(results, plans, "*")
    assert len(everything) == 4
    assert ids(results, plans, "resnet8_s0-*") == ["resnet8_s0"]
    assert ids(results, plans, "*_t2_*") == [id_ for id_ in everything if "_t2_" in id_]
    [cohort] = [plan.id for plan in plans if plan.stage == "cohorts" and len(plan.content["students"]) == 2]
    assert len(ids(results, plans, cohort)) == 2
    assert ids(results, plans, "*_t2_*", "resnet8_s0*") == [id_ for id_ in everything if "_t2_" in id_ or "8_s0" in id_]
    shutil.rmtree(next(results.glob("students/*_t2_*")))
    assert ids(results, plans, "*_t2_*") == []


def test_what_is_marked_is_trained_and_nothing_else(tree, capsys):
    results, plans = tree
    before = contents(results)
    retrain.retrain(plans, ["*_t2_*"], results)
    changed = {path for path, content in contents(results).items() if before.get(path) != content}
    [record] = results.glob("students/*_t2_*/model.json")
    [cohort] = [plan for plan in plans if record.parent.name in plan.content.get("students", {})]
    assert changed == {record, results / f"{cohort.output}.key"}
    assert contents(results).keys() == before.keys()
    said = capsys.readouterr().out
    assert said.startswith(
        f"to be trained anew: 0 teachers, 1 student\n  {record.parent.name}\neach keeps its files until"
    )
    change = find_changes(plans, results)[cohort.ref]
    assert (change.reasons, change.train) == (["--retrain"], [record.parent.name])
    assert write_plans(plans, results) == {"cohorts": [cohort.id]}
    assert recorded_parts(results / cohort.output)["students"].keys() == cohort.content["students"].keys()


def test_old_models_can_be_kept_after_all(tree):
    results, plans = tree
    retrain.retrain(plans, ["*"], results)
    assert {stage: len(stale) for stage, stale in write_plans(plans, results).items()} == {"teachers": 1, "cohorts": 2}
    list(accept_code(plans, results))
    assert write_plans(plans, results) == {}
    for path in results.glob("students/*/model.json"):
        assert json.loads(path.read_text())["accepted"][0]["from"] == "retrain"


@pytest.mark.parametrize("patterns", [["resnet9*"], ["resnet8"], ["../*"]])
def test_no_such_model(tree, patterns):
    results, plans = tree
    before = contents(results)
    with pytest.raises(VicinalError, match=r"^--retrain .*: no finished model of this run has such a name"):
        retrain.retrain(plans, patterns, results)
    assert contents(results) == before


@pytest.mark.parametrize(("answer", "goes_on"), [("y", True), ("Yes ", True), ("", False), ("no", False)])
def test_on_a_terminal_it_asks_first(tree, monkeypatch, answer, goes_on):
    results, plans = tree
    before = contents(results)
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    if goes_on:
        retrain.retrain(plans, ["*"], results)
    else:
        with pytest.raises(VicinalError, match="nothing is changed"):
            retrain.retrain(plans, ["*"], results)
    assert (contents(results) != before) is goes_on

"""Results of older code that are accepted under the present one, and measurements that lack too much for it."""

import json
import re

import pandas as pd
import pytest
from results_tree import DIGITS_C, edit, made_up_tables, make_tree

from vicinal.audit.acceptance import accept_code
from vicinal.data.corruptions.catalogue import ARCHIVES
from vicinal.evaluation.files import MEASURES, table_files
from vicinal.files import sha256, write_json, write_table
from vicinal.jobs.plan import measured_models, record_key
from vicinal.planning.files import write_plans

OLD = "0" * 16
ON = "evaluation.corruptions=true"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished tree whose measurements are of older code, and its plans."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHIVES, "digits", DIGITS_C)
        results = tmp_path_factory.mktemp("made") / "results"
        plans = make_tree(results, ON)
    for plan in plans:
        if plan.stage in ("evaluations", "robustness"):
            output = results / plan.output
            for id_ in measured_models(plan.content):
                edit(output.parent / id_ / "evaluation.json", code=OLD)
            models = {id_: sha256(output.parent / id_ / "evaluation.json") for id_ in measured_models(plan.content)}
            write_json(output, {"models": models})
            older = {id_: {**unit, "code": OLD} for id_, unit in plan.content["units"].items()}
            record_key(output, {**plan.content, "key": "older", "units": older})
    return results, plans


def codes(results, stage):
    return {path.parent.name: json.loads(path.read_text())["code"] for path in results.glob(f"{stage}/*/*/*.json")}


def test_whole_measurements_are_accepted(tree):
    results, plans = tree
    lines = list(accept_code(plans, results))
    kept = [re.fullmatch(rf"accepted under the present code: (.+): (\d+), code {OLD} → \w{{16}}", x) for x in lines]
    for what in ("measured models", "models measured on corrupted images"):
        assert sum(int(found[2]) for found in kept if found[1] == what) == 4
    assert OLD not in {*codes(results, "evaluations").values(), *codes(results, "robustness").values()}
    assert write_plans(plans, results) == {}


def without_spread(folder):
    tables = made_up_tables(is_teacher=True)
    del tables["spread"]
    for name, table in table_files(tables).items():
        write_table(folder / name, table)


def as_files_of_their_own(folder):
    (folder / MEASURES).unlink()
    for name in ("metrics", "vicinal", "confusion"):
        pd.DataFrame({"value": [0.5]}).to_parquet(folder / f"{name}.parquet")


@pytest.mark.parametrize(
    ("model", "spoil", "lacking"),
    [
        ("resnet8_s0-*", without_spread, "spread in measures.parquet"),
        ("resnet8_s0-*", lambda folder: (folder / "similarity.parquet").unlink(), "similarity.parquet"),
        ("*from*_t2_*", as_files_of_their_own, "measures.parquet"),
        ("*from*_t2_*", lambda folder: (folder / MEASURES).write_text("x"), "a readable measures.parquet"),
        ("*from*_t2_*", lambda folder: pd.DataFrame({"value": [1]}).to_parquet(folder / MEASURES),
         "metrics in measures.parquet, vicinal in measures.parquet, confusion in measures.parquet"),
    ],
)  # fmt: skip
def test_a_measurement_that_lacks_a_table_is_measured_anew(tree, model, spoil, lacking):
    results, plans = tree
    [folder] = results.glob(f"evaluations/*/{model}")
    spoil(folder)
    line = list(accept_code(plans, results))[-1]
    assert line == f"not accepted, but made again: measured models: 1, made by older code without {lacking}"
    kept = codes(results, "evaluations")
    assert kept.pop(folder.name) == OLD
    assert OLD not in kept.values()
    assert write_plans(plans, results) == {"evaluations": [folder.parent.name]}


def test_metrics_on_corrupted_images_in_a_table_are_measured_anew(tree):
    results, plans = tree
    for path in results.glob("robustness/*/*/evaluation.json"):
        record = json.loads(path.read_text())
        del record["corruptions"]
        write_json(path, record)
    line = list(accept_code(plans, results))[-1]
    what = "models measured on corrupted images: 4"
    assert line == f"not accepted, but made again: {what}, made by older code without metrics in evaluation.json"
    assert set(codes(results, "robustness").values()) == {OLD}
    assert write_plans(plans, results).keys() == {"robustness"}


def test_models_without_a_history_are_trained_anew(tree):
    results, plans = tree
    for path in results.glob("students/*/model.json"):
        record = json.loads(path.read_text())
        del record["sha256"]["history.parquet"]
        write_json(path, {**record, "code": OLD})
    line = list(accept_code(plans, results))[-1]
    assert line == "not accepted, but made again: students: 3, made by older code without history.parquet"
    assert {json.loads(path.read_text())["code"] for path in results.glob("students/*/model.json")} == {OLD}


def test_nothing_that_is_wanted_as_it_is_changes(tree):
    results, plans = tree
    list(accept_code(plans, results))
    assert list(accept_code(plans, results)) == ["accepted nothing: no result here differs from its plan by code only"]

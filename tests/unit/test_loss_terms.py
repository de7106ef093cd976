"""One more term of the loss: a field, and everything that tells runs apart by it. Here it is ``extra_weight``."""

import math

import numpy as np
import pandas as pd
import pytest
from configs import SHIPPED
from figure_tables import frame, grid, model
from made_up_experiment import study
from planted_claims import planted, rows, simulated
from pydantic import Field, ValidationError
from report_tables import metrics_table

from vicinal.analysis.claims import evaluate_claims
from vicinal.analysis.claims.settings import in_words, is_primary, read_setting
from vicinal.analysis.figures.runs import main_students, models_of
from vicinal.analysis.published import compare, read_published
from vicinal.analysis.runs import runs_context
from vicinal.analysis.schema import tidy
from vicinal.analysis.tables import corruption_table, model_table
from vicinal.config import Experiment, Loss, read_config, validate
from vicinal.config.schema import NotNegative
from vicinal.errors import VicinalError
from vicinal.planning.grid import expand
from vicinal.spec import more_weights, normalise

CONTENT = {"source": "torchvision", "files": {"archive.tar.gz": "0" * 32}}


class WithExtra(Loss):
    """As after the line of a new term."""

    extra_weight: NotNegative = Field(0.0, description="weight of a new term")


def with_field(experiments: list[Experiment], **weights) -> list[Experiment]:
    """Return experiments as the new field would make them; ``weights`` are those of the experiment's loss."""

    def widen(loss):
        return loss and WithExtra(**loss.model_dump())

    return [
        experiment.model_copy(
            update={
                "loss": WithExtra(**{**experiment.loss.model_dump(), **weights}),
                "grids": {
                    name: grid.model_copy(update={"loss": widen(grid.loss)}) for name, grid in experiment.grids.items()
                },
            }
        )
        for experiment in experiments
    ]


def artefacts_of(experiments):
    return expand([(experiment, CONTENT) for experiment in experiments])


# Config, specs, ids


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_new_term_changes_no_spec_and_no_id_of_what_there_is(path, monkeypatch):
    experiments = validate(read_config(path), path.name, folder=path.parent)
    before = artefacts_of(experiments)
    for module in ("grid", "columns"):
        monkeypatch.setattr(f"vicinal.planning.{module}.Loss", WithExtra)
    after = artefacts_of(with_field(experiments))
    assert list(after.evaluations) == list(before.evaluations)
    assert list(after.cohorts) == list(before.cohorts)
    for name in ("teachers", "students"):
        old, new = getattr(before, name), getattr(after, name)
        assert list(new) == list(old)
        for id_, artefact in new.items():
            assert artefact.spec == old[id_].spec
            assert artefact.columns == {**old[id_].columns, "extra_weight": 0.0}


def test_the_term_is_in_spec_id_and_columns(config, monkeypatch):
    for module in ("grid", "columns"):
        monkeypatch.setattr(f"vicinal.planning.{module}.Loss", WithExtra)
    experiments = validate(config, "test")
    before = artefacts_of(experiments).students
    found = artefacts_of(with_field(experiments, kd_weight=0.5, ce_weight=0.25, extra_weight=2.0)).students
    distilled = {id_: student for id_, student in found.items() if student.columns["teacher"]}
    assert distilled.keys() == found.keys() - before.keys()
    for id_, student in distilled.items():
        assert student.own["loss"] == {"kd_weight": 0.5, "ce_weight": 0.25, "extra_weight": 2}
        assert "_ce0.25_extra2_kd0.5_s" in id_
        assert {name: student.columns[name] for name in student.own["loss"]} == student.own["loss"]
    alone = [student for id_, student in found.items() if id_ not in distilled]
    assert {student.columns["extra_weight"] for student in alone} == {0.0}


def test_columns_keep_their_order(config):
    student = next(iter(artefacts_of(validate(config, "test")).students.values()))
    columns = list(student.columns)
    fields = list(Loss.model_fields)
    assert fields[:2] == ["kd_weight", "ce_weight"]
    assert columns[-len(fields) - 2 :] == ["temperature", "logit_scale", *fields]
    assert more_weights(columns) == fields[2:]


@pytest.mark.parametrize(("weight", "kept"), [(0, {}), (0.0, {}), (0.5, {"extra_weight": 0.5})])
def test_a_weight_of_0_is_left_out_of_a_spec_whatever_its_name(weight, kept):
    assert normalise({"loss": {"extra_weight": weight}, "weight": 0, "weight_decay": 0.0}) == {
        "loss": kept, "weight": 0, "weight_decay": 0,
    }  # fmt: skip


def test_something_must_be_distilled():
    assert WithExtra(kd_weight=0, extra_weight=1).extra_weight == 1
    with pytest.raises(ValidationError, match=r"kd_weight is 0 \(also .*extra_weight\): nothing is distilled"):
        WithExtra(kd_weight=0, ce_weight=1)
    with pytest.raises(ValidationError, match=r"kd_weight is 0.*: nothing is distilled"):
        Loss(kd_weight=0, ce_weight=1)


# Claims: the runs with another term must not be taken for those of the paper's loss


def beside(tables: dict, **weights) -> dict:
    """Return tables with each distilled student once more, of other weights and with values far off."""
    joined = {}
    for name, table in tables.items():
        table = table.astype({c: object for c in table if isinstance(table[c].dtype, pd.CategoricalDtype)})
        if "teacher" not in table:
            joined[name] = table
            continue
        table = table.assign(extra_weight=0.0)
        other = table[table["teacher"].notna()].assign(**weights)
        other["model_id"] = other["model_id"] + "_other"
        if "value" in other:
            other["value"] = -5.0 - other["value"]
        joined[name] = pd.concat([table, other], ignore_index=True)
    return joined


@pytest.mark.parametrize("weights", [{"extra_weight": 1.0}, {"kd_weight": 0.0, "extra_weight": 1.0}])
@pytest.mark.parametrize("claim", ["C2", "C3-CE", "C3-KD", "C4-CE", "C5", "C6", "C7"])
def test_claims_decide_by_the_papers_loss_alone(claim, weights):
    tables = planted(claim)
    before, after = rows(tables, claim), rows(beside(tables, **weights), claim)
    decided = ["verdict", "primary"]
    pd.testing.assert_frame_equal(
        after[after["kind"].isin(decided)].reset_index(drop=True),
        before[before["kind"].isin(decided)].reset_index(drop=True),
    )
    named = after["cell"].str.contains("extra_weight 1")
    assert set(after.loc[named, "kind"]) <= {"secondary"}


def test_secondary_rows_name_the_weights():
    words = in_words(setting(kd_weight=0.0, extra_weight=0.5), brief=True)
    assert words == ["T = 2", "kd_weight 0", "ce_weight 0", "extra_weight 0.5"]
    assert "extra_weight" not in " ".join(in_words(setting(kd_weight=0.9), brief=True))


def setting(**weights):
    return read_setting({**simulated.student(), **weights})


@pytest.mark.parametrize("absent", [0.0, 0, None, math.nan, pd.NA])
def test_a_run_without_the_term_is_the_same_run_in_a_table_that_has_the_column(absent):
    assert setting(extra_weight=absent) == setting()
    assert is_primary(setting(extra_weight=absent))
    assert not is_primary(setting(extra_weight=0.1))


# Tables, figures, report


@pytest.mark.parametrize("weights", [{"extra_weight": 1.0}, {"kd_weight": 0.0, "extra_weight": 1.0}])
@pytest.mark.parametrize("name", ["metrics", "vicinal", "reliability", "history"])
def test_figures_draw_the_papers_loss_alone(name, weights):
    tables = study()
    wanted = main_students(models_of(tables[name]))["model_id"]
    found = main_students(models_of(tidy(name, beside(tables, **weights)[name])))["model_id"]
    assert list(found) == list(wanted)


def test_figures_take_the_most_frequent_weights_where_the_papers_are_missing():
    models = grid(weights=((0.0, 0.0),), temperatures=("1",), seeds=1)
    for row in models:
        row["extra_weight"] = 1.0 if row["teacher"] else math.nan  # nan: of tables that were joined
    rare = grid(weights=((0.5, 0.0),), temperatures=("1",), seeds=1, methods=("kd",))
    table = frame(models + [{**row, "extra_weight": 0.5} for row in rare]).astype({"extra_weight": "float64"})
    chosen = main_students(models_of(table))
    assert set(chosen.loc[chosen["teacher"].notna(), "extra_weight"]) == {1.0}
    assert set(chosen["method"]) == {"ce", "ce_mixup", "kd", "kd_mixup"}


def test_all_tables_have_the_column():
    row = {**model("student", "small", "kd", 0), "extra_weight": 1.0}
    models = model_table({"m": {key: value for key, value in row.items() if key != "model_id"}})
    assert corruption_table(models, {})["extra_weight"].dtype == np.float64


def test_a_column_of_weights_is_checked():
    table = study()["metrics"].assign(extra_weight="much")
    with pytest.raises(VicinalError, match="table metrics: column extra_weight"):
        tidy("metrics", table)


def test_the_report_has_a_column_of_the_term_where_it_differs():
    table = metrics_table()
    assert "extra_weight" not in runs_context(table.assign(extra_weight=0.0))["settings"]
    mixup = table["method"].astype(object).eq("kd_mixup")
    context = runs_context(table.assign(extra_weight=mixup.astype(float)))
    assert list(context["settings"].items())[-1] == ("extra_weight", "EXTRA weight")
    assert {run["settings"][-1] for run in context["runs"]} == {"0", "1"}


def test_published_numbers_say_that_our_loss_is_another():
    table = metrics_table()
    (row,) = compare(table.assign(extra_weight=0.5), read_published()).query("method == 'kd'").to_dict("records")
    assert "our loss: 1 KD + 0.5 EXTRA" in row["differs"]
    (row,) = compare(table.assign(extra_weight=0.0), read_published()).query("method == 'kd'").to_dict("records")
    assert not any(text.startswith("our loss:") for text in row["differs"])


def test_one_id_with_two_weights_is_refused():
    table = study()["history"]
    last = table["epoch"] == table["epoch"].max()
    with pytest.raises(VicinalError, match="table history: two runs have the id"):
        tidy("history", table.assign(extra_weight=last.astype(float)))
    table = study()["metrics"]
    with pytest.raises(VicinalError, match="table metrics: two runs have the id"):
        evaluate_claims({"metrics": table.assign(extra_weight=(table["split"] == "test").astype(float))})

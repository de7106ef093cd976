"""Claims about teachers and students whose weights were pretrained with mixup: warned of, and judged as before."""

import numpy as np
import pandas as pd
import pytest
from planted_claims import planted, rows

from vicinal.analysis.claims import REPRODUCED

C1_WARNING = "teacher resnet32x4 was pretrained with mixup: mixed inputs are not new to it, as the claim supposes"
C2_WARNING = "teacher resnet32x4 was pretrained with mixup: it was itself made linear between inputs"


def flagged(frame, column, chosen, dtype="bool"):
    return frame.assign(**{column: chosen.to_numpy(dtype=bool)}).astype({column: dtype})


def assert_same_but_for_warnings(found, expected):
    pd.testing.assert_frame_equal(found.drop(columns="warning"), expected.drop(columns="warning"))


@pytest.mark.parametrize("dtype", ["bool", "boolean", object, "category", "string", "float64"])
def test_c1_warns_of_the_teacher_on_its_rows_and_on_the_verdict(dtype):
    tables = planted("C1")
    frame = tables["confusion"]
    with_flag = {"confusion": flagged(frame, "pretraining_mixup", frame["model"] == "resnet32x4", dtype)}
    found = rows(with_flag, "C1")
    assert_same_but_for_warnings(found, rows(tables, "C1"))
    assert found["verdict"].iloc[0] == REPRODUCED
    assert found["warning"].iloc[0] == C1_WARNING
    primary = found[found["kind"] == "primary"].set_index("cell")["warning"].to_dict()
    assert primary == {"resnet32x4, T = 2": C1_WARNING, "resnet56, T = 2": ""}


def test_c2_warns_of_the_teacher_on_all_rows_of_its_students_and_on_the_verdict():
    tables = planted("C2")
    frame = tables["vicinal"]
    found = rows({"vicinal": flagged(frame, "pretraining_mixup", frame["role"] == "teacher")}, "C2")
    assert_same_but_for_warnings(found, rows(tables, "C2"))
    assert found["verdict"].iloc[0] == REPRODUCED
    assert len(found) > 2
    assert set(found["warning"]) == {C2_WARNING}


@pytest.mark.parametrize(("claim", "warning"), [("C1", C1_WARNING), ("C2", C2_WARNING)])
def test_the_flag_on_students_is_that_of_their_teacher(claim, warning):
    students = planted("C2")["vicinal"].query("role == 'student'")
    tables = {
        "metrics": flagged(students, "teacher_pretraining_mixup", students["role"] == "student"),
        **planted("C1"),
        **planted("C2"),
    }
    found = rows(tables, claim)
    assert warning in found["warning"].iloc[0].split("; ")
    without = {name: table.drop(columns="teacher_pretraining_mixup", errors="ignore") for name, table in tables.items()}
    assert "pretrained" not in "".join(rows(without, claim)["warning"])


def test_a_student_that_was_pretrained_with_mixup_is_named_too():
    frame = planted("C2")["vicinal"]
    found = rows({"vicinal": flagged(frame, "pretraining_mixup", frame["role"] == "student")}, "C2")
    assert set(found["warning"]) == {
        "student resnet8x4 was pretrained with mixup: its linearity need not come from distillation"
    }


@pytest.mark.parametrize("claim", ["C1", "C2"])
@pytest.mark.parametrize("flag", [False, None, np.nan, "absent"])
def test_without_the_flag_there_is_no_warning(claim, flag):
    tables = planted(claim)
    if flag != "absent":
        columns = {"pretraining_mixup": flag, "teacher_pretraining_mixup": flag}
        tables = {name: table.assign(**columns) for name, table in tables.items()}
    found = rows(tables, claim)
    assert set(found["warning"]) == {""}
    pd.testing.assert_frame_equal(found, rows(planted(claim), claim))


def test_other_claims_are_not_concerned():
    frame = planted("C3-CE")["metrics"]
    flags = {"pretraining_mixup": True, "teacher_pretraining_mixup": True}
    pd.testing.assert_frame_equal(rows({"metrics": frame.assign(**flags)}, "C3-CE"), rows({"metrics": frame}, "C3-CE"))

"""The tables for a paper: what is bold, what is escaped, and rows that LaTeX can set."""

import re

import numpy as np
import pandas as pd
import pytest
from made_up_experiment import study
from report_tables import claims_table as made_up_claims
from report_tables import metrics_table

from vicinal.analysis.paper import claims_table, latex, summary_tables
from vicinal.analysis.schema import tidy


def rows_of(tex):
    """Return the cells of each row, after a check that LaTeX could set them."""
    lines = tex.splitlines()
    assert lines[0].startswith("% ")
    body = "\n".join(lines[1:])
    assert body.count("{") - body.count(r"\{") == body.count("}") - body.count(r"\}")
    assert body.replace(r"\$", "").count("$") % 2 == 0
    assert not re.search(r"(?<!\\)[%#]|(?<!\\)_", body) and not re.search("[→−±×√αλρ]", body)
    columns = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[1])[1]
    rows = [line.removesuffix(r" \\").split(" & ") for line in lines if line.endswith(r"\\")]
    assert {len(row) for row in rows} == {len(columns)}
    rules = ["toprule", "midrule", "bottomrule"]
    assert [rule for rule in rules if "\\" + rule not in body] == [] and lines[-1] == r"\end{tabular}"
    return rows


@pytest.fixture
def metrics():
    """Two architectures of students; by mean accuracy kd is the best of ``small``, and by ECE kd_mixup."""
    table = metrics_table("small").astype({"model_id": object, "model": object})
    better = table["method"].eq("kd") & table["metric"].eq("accuracy")
    table["value"] += 0.1 * better - 0.02 * (table["method"].eq("kd_mixup") & table["metric"].eq("ece"))
    other = table[table["role"].eq("student")].assign(model="wide_100%")
    other["model_id"] += "_w"
    return pd.concat([table, other], ignore_index=True)


def test_the_best_student_of_an_architecture_is_bold_in_both(metrics):
    tex, markdown = summary_tables(metrics, "a_b")
    heads, *rows = rows_of(tex)
    assert heads == ["Setting", "Seeds", r"Accuracy, \%", r"ECE, \%"]
    bold = {row[0]: [cell.startswith(r"\textbf{") for cell in row[2:]] for row in rows}
    for model in ("small", r"wide\_100\%"):
        assert bold[rf"resnet56 $\to$ {model}, KD, T = 4"] == [True, False]
        assert bold[rf"resnet56 $\to$ {model}, KD + mixup, T = 16"] == [False, True]
    assert bold["resnet56, teacher"] == [False, False]
    [kd] = [row for row in rows if row[0] == r"resnet56 $\to$ small, KD, T = 4"]
    assert kd[1:] == ["3", r"\textbf{81.00 $\pm$ 1.00}", r"6.00 $\pm$ 1.00"]
    assert r"a\_b" in tex.splitlines()[0]
    assert tex.count(r"\midrule") == 3  # below the heads, teachers, students of the first architecture
    assert "| resnet56 → small, KD, T = 4 | 3 | **81.00 ± 1.00** | 6.00 ± 1.00 |" in markdown.splitlines()
    assert len(markdown.splitlines()) == 2 + len(rows)


def test_what_is_printed_alike_is_bold_alike_and_one_alone_is_not(metrics):
    alike = metrics.assign(value=np.where(metrics["metric"].eq("accuracy"), 0.5, metrics["value"]))
    rows = rows_of(summary_tables(alike, "x")[0])[1:]
    students = [row[2].startswith(r"\textbf{") for row in rows if "teacher" not in row[0]]
    assert students == [True] * 4
    alone = metrics[metrics["method"].eq("ce") | (metrics["method"].eq("kd") & metrics["model"].eq("small"))]
    assert "textbf" not in summary_tables(alone, "x")[0]


def test_one_seed_has_no_sd_and_a_hole_is_empty():
    tex, markdown = summary_tables(metrics_table(seeds=1), "x")
    assert "pm" not in tex and "±" not in markdown
    tex, markdown = summary_tables(tidy("metrics", study()["metrics"]), "x")
    teacher = [row for row in rows_of(tex) if row[0] == "resnet14, teacher"]
    assert len(teacher) == 1 and "nan" not in tex + markdown


def test_the_verdicts_as_latex():
    table = made_up_claims(title="100 % of _all_ {T} & more").assign(unit="points")
    heads, *rows = rows_of(claims_table(table, "digits"))
    assert heads[0] == "Claim" and len(rows) == 9
    title = r"100 \% of \_all\_ \{T\} \& more"
    assert rows[0][:3] == ["C1", title, "reproduced"]
    assert rows[0][-4:] == ["0.25 [$-$0.5, 1]", "0", "points", "5"]


def test_every_special_letter_is_escaped():
    assert latex("a_b & 5 % → x^2 ~ \\") == (
        r"a\_b \& 5 \% $\to$ x\textasciicircum{}2 \textasciitilde{} \textbackslash{}"
    )

"""Experiments that lack what the claims compare: each verdict says which runs it needs."""

import json

import pandas as pd
import pytest
from project import SHORT

from vicinal.analysis.claims import CLAIMS
from vicinal.evaluation.files import MEASURES, read_measures, table_files
from vicinal.files import write_table

NO_MIXUP = "KD + mixup resnet8 → resnet8_narrow with α = 1 at T = 2"
ONE_STUDENT = ("methods=[kd_mixup]", "temperatures=[2]")


@pytest.mark.parametrize(
    ("settings", "verdict", "needed"),
    [
        (
            ("methods=[ce, ce_mixup]",),
            "not judged",
            dict.fromkeys(CLAIMS, "the claims are about distillation, and there is none here"),
        ),
        (
            ("methods=[ce, kd]",),
            "inconclusive",
            {
                "C1": "1 seed, at least 3 are needed",
                "C5": "KD + mixup at α = 1, T = 2 with logit scales 0.5, 0.75, 1, 1.5, 2",
                "C6": "KD + mixup resnet8 → resnet8_narrow with α = 1 and at least 3 numeric temperatures",
                **dict.fromkeys(("C2", "C3-CE", "C3-KD", "C4-CE", "C4-KD", "C7"), NO_MIXUP),
            },
        ),
        (
            ONE_STUDENT,
            "inconclusive",
            {
                "C1": "1 seed, at least 3 are needed",
                "C2": "needs: imitation_weight of KD resnet8 → resnet8_narrow (T = 2)",
                "C3-CE": "needs: accuracy of CE resnet8_narrow",
                "C3-KD": "needs: accuracy of KD resnet8 → resnet8_narrow (T = 2)",
                "C4-CE": "needs: oe of CE resnet8_narrow",
                "C4-KD": "needs: oe of KD resnet8 → resnet8_narrow (T = 2)",
                "C5": "logit scales 0.5, 0.75, 1, 1.5, 2",
                "C6": "distilled at fewer than two numeric temperatures",
                "C7": "at least 2 teachers of one family for the same student",
            },
        ),
    ],
    ids=["no teacher", "no mixup", "one student and one seed"],
)
def test_every_verdict_says_what_is_needed(finished, settings, verdict, needed):
    """What the settings ask for is there already, except the one student."""
    result = finished.until("judge_claims", settings=(*SHORT, *settings))
    assert result.returncode == 0, result.stderr
    verdicts = pd.read_parquet(finished.results / "digits" / "claims.parquet").query("kind == 'verdict'")
    assert list(verdicts["claim"]) == sorted(needed)
    for row in verdicts.itertuples():
        assert row.verdict == ("not testable here" if "fewer than two" in needed[row.claim] else verdict)
        assert needed[row.claim] in row.reason
    page = finished.page("digits")
    assert all(f'id="{claim}"' in page for claim in needed)


def test_a_metric_that_is_no_number_is_named_and_gives_no_verdict(finished):
    """All the way to the figures and the report, of a single student."""
    settings = (*SHORT, *ONE_STUDENT)
    assert finished.until("aggregate", settings=settings).returncode == 0
    spec = json.loads((finished.results / "digits" / "provenance.json").read_text())["spec"]
    [(student, columns)] = [item for item in spec["models"].items() if item[1]["role"] == "student"]
    folder = finished.results / "evaluations" / columns["evaluation"] / student
    tables = read_measures(folder, is_teacher=False)
    metrics = tables["metrics"]
    tables["metrics"] = metrics.assign(value=metrics["value"].mask(metrics["metric"] == "ece"))
    assert tables["metrics"]["value"].isna().any()
    write_table(folder / MEASURES, table_files(tables)[MEASURES])
    (finished.results / "digits" / "metrics.parquet.key").unlink()
    result = finished.reproduce(settings=settings)
    assert result.returncode == 0, result.stderr
    log = (finished.results / "logs/aggregate/digits.log").read_text()
    assert f"warning: table metrics: ece of {student} is nan" in log
    verdicts = pd.read_parquet(finished.results / "digits" / "claims.parquet").query("kind == 'verdict'")
    assert set(verdicts["verdict"]) == {"inconclusive", "not testable here"}
    assert (finished.results / "digits" / "report.html").stat().st_size > 100_000

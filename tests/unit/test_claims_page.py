"""The page of the claims, and the script that writes it."""

import json

import pandas as pd
import pytest
from planted_claims import NAMES, planted

from scripts import run_script
from vicinal.analysis.claims import NOT_REPRODUCED, evaluate_claims
from vicinal.analysis.claims.report import SCORECARD, markdown, scorecard
from vicinal.errors import VicinalError
from vicinal.jobs import fingerprint
from vicinal.jobs.plan import recorded_key
from vicinal.running.verdicts import KEYS, read_verdicts
from vicinal.words import number, p_value


def test_page_has_the_scorecard_and_every_row():
    found = evaluate_claims(planted("C6"))
    page = markdown(found)
    score, *sections = page.split("\n## ")
    assert [section.partition(":")[0] for section in sections] == NAMES
    assert "| C6: Temperature trades accuracy against calibration | **reproduced** | " in score
    lines = [line for line in page.splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in lines}
    assert widths == {6, 9, 10}  # scorecard; tests; primary tests, with corrected intervals
    assert "nan" not in page
    heads = 2 * (1 + sum(1 for section in sections for kind in ("### Pre", "### Pri", "### S") if kind in section))
    assert len(lines) == len(found) + heads


def test_a_sentence_is_in_natural_units_and_its_numbers_stand_in_the_table():
    tables = planted("C4-CE")
    metrics = tables["metrics"]
    found = evaluate_claims({**tables, "metrics": metrics.assign(value=metrics["value"].where(
        ~((metrics["method"] == "kd_mixup") & (metrics["metric"] == "oe")), metrics["value"] * 5))})  # fmt: skip
    found = found[found["claim"] == "C4-CE"]
    row, primary = (found[found["kind"] == kind].iloc[0] for kind in ("verdict", "primary"))
    ratio = f"{number(primary['estimate'])}-fold [{number(primary['low'])}, {number(primary['high'])}]"
    effect = f"the overconfidence of CE is {ratio} that of KD + mixup"
    assert row["verdict"] == NOT_REPRODUCED
    assert row["reason"] == (
        f"{primary['cell']}: {effect}; the claim needs more than 3.16-fold "
        "(√10, half an order of magnitude on the log scale)"
    )
    assert 1 < primary["low"] < primary["high"] < primary["threshold"]
    [line] = scorecard(found)
    assert line == {
        "claim": f"C4-CE: {row['title']}", "verdict": NOT_REPRODUCED, "effect": effect,
        "needed": "> 3.16-fold", "seeds": "5",
    }  # fmt: skip
    assert f"| {number(primary['estimate'])} | [{number(primary['low'])}" in markdown(found)


def test_a_claim_without_a_test_has_no_effect_and_an_older_table_is_refused():
    lines = {line.pop("claim"): line for line in scorecard(evaluate_claims({}))}
    assert all(list(line.values()) == ["inconclusive", "–", "–", "–"] for line in lines.values())
    with pytest.raises(VicinalError, match="older version"):
        scorecard(evaluate_claims({}).drop(columns="finding"))


@pytest.mark.parametrize(("p", "shown"), [(0.0123, "0.012"), (1.0, "1"), (3.15e-5, "< 0.0001"), (float("nan"), "")])
def test_a_p_value_is_shown_without_an_exponent(p, shown):
    assert p_value(p) == shown


def judged(tmp_path, tables):
    """Run the script with a plan on these tables; return what it said, and its output."""
    code = fingerprint.stage_fingerprint("claims")
    plan = {"stage": "claims", "id": "made_up", "key": "k", "spec": {}, "code": code}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    for name, table in tables.items():
        table.to_parquet(tmp_path / f"{name}.parquet", index=False)
    output = tmp_path / "claims.parquet"
    plan = ["--plan", tmp_path / "plan.json"]
    return run_script("claims.py", *plan, "--tables", tmp_path, "--output", output), output


def test_script_writes_table_page_record_and_key(tmp_path):
    tables = planted("C4-CE")
    done, output = judged(tmp_path, tables)
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(pd.read_parquet(output), evaluate_claims(tables), check_dtype=False)
    assert output.with_suffix(".md").read_text().startswith("# Claims\n")
    record = json.loads(output.with_suffix(".json").read_text())
    assert record["verdicts"] == scorecard(pd.read_parquet(output))
    assert read_verdicts(tmp_path) == record["verdicts"]
    assert tuple(SCORECARD) == KEYS
    assert record["provenance"]["packages"]["pandas"] == pd.__version__
    assert recorded_key(output) == "k"
    assert "C4-CE reproduced: " in done.stdout + done.stderr


def test_script_without_metrics_or_with_a_broken_table_says_so(tmp_path):
    assert "metrics.parquet: no such file" in judged(tmp_path, {})[0].stderr
    (tmp_path / "vicinal.parquet").write_text("no Parquet")
    done, output = judged(tmp_path, planted("C3-CE"))
    assert done.returncode == 1
    assert "vicinal.parquet: not a readable Parquet file" in done.stderr
    assert not output.exists()

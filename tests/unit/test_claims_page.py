"""The page of the claims, and the script that writes it."""

import json
import sys

import pandas as pd
import pytest
from planted_claims import NAMES, ROOT, load, planted

from vicinal.analysis.claims import evaluate_claims
from vicinal.analysis.claims.report import markdown
from vicinal.errors import VicinalError
from vicinal.jobs import fingerprint
from vicinal.jobs.plan import recorded_key


def test_page_has_the_scorecard_and_every_row():
    found = evaluate_claims(planted("C6"))
    page = markdown(found)
    score, *sections = page.split("\n## ")
    assert [section.partition(":")[0] for section in sections] == NAMES
    assert "| C6 | Temperature trades accuracy against calibration | **reproduced** | 5 |" in score
    lines = [line for line in page.splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in lines}
    assert widths == {7, 9}
    assert "nan" not in page
    heads = 2 * (1 + sum(1 for section in sections for kind in ("### Pre", "### Pri", "### S") if kind in section))
    assert len(lines) == len(found) + heads


def run_script(monkeypatch, tmp_path, tables, key="k"):
    plan = {"stage": "claims", "id": "made_up", "key": key, "spec": {}, "code": fingerprint.stage_fingerprint("claims")}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    for name, table in tables.items():
        table.to_parquet(tmp_path / f"{name}.parquet", index=False)
    output = tmp_path / "claims.parquet"
    argv = ["claims.py", "--plan", tmp_path / "plan.json", "--tables", tmp_path, "--output", output]
    monkeypatch.setattr(sys, "argv", list(map(str, argv)))
    load(ROOT / "workflow" / "scripts" / "claims.py").main()
    return output


def test_script_writes_table_page_record_and_key(monkeypatch, tmp_path, capsys):
    tables = planted("C4-CE")
    output = run_script(monkeypatch, tmp_path, tables)
    pd.testing.assert_frame_equal(pd.read_parquet(output), evaluate_claims(tables), check_dtype=False)
    assert output.with_suffix(".md").read_text().startswith("# Claims\n")
    record = json.loads(output.with_suffix(".json").read_text())
    assert record["verdicts"]["C4-CE"] == "reproduced"
    assert record["provenance"]["packages"]["pandas"] == pd.__version__
    assert recorded_key(output) == "k"
    assert "C4-CE reproduced: " in capsys.readouterr().out


def test_script_without_metrics_or_with_a_broken_table_says_so(monkeypatch, tmp_path):
    with pytest.raises(VicinalError, match=r"metrics\.parquet: no such file"):
        run_script(monkeypatch, tmp_path, {})
    (tmp_path / "vicinal.parquet").write_text("no Parquet")
    with pytest.raises(VicinalError, match=r"vicinal\.parquet: not a readable Parquet file"):
        run_script(monkeypatch, tmp_path, planted("C3-CE"))
    assert not (tmp_path / "claims.parquet").exists()

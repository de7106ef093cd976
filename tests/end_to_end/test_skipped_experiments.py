"""A collection of which one experiment has no data: refused, then run without it."""

import json

import yaml


def test_what_is_missing_is_said_and_left_out_where_asked_for(finished):
    here = yaml.safe_load((finished.results / "plan" / "config.yaml").read_text())
    away = {**here, "name": "away", "data": {"name": "flowers"}}
    (finished.folder / "both.yaml").write_text(yaml.safe_dump({"name": "both", "experiments": [here, away]}))
    logs = set(finished.results.rglob("*.log"))
    refused = finished.reproduce("both.yaml", settings=())
    assert refused.returncode == 1
    assert refused.stderr.startswith('error: away: data.name: "flowers" is no known data set')
    assert set(finished.results.rglob("*.log")) == logs

    result = finished.reproduce("both.yaml", "--skip-missing", settings=())
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'left out: away: data.name: "flowers"' in result.stdout
    page = (finished.results / "both" / "report.html").read_text()
    assert "Left out of this run: away" in page
    assert "<li>away: data.name: &#34;flowers&#34; is no known data set" in page
    assert list(json.loads((finished.results / "both" / "report.json").read_text())["spec"]["skipped"]) == ["away"]
    again = finished.reproduce("both.yaml", "--skip-missing", settings=())
    assert "nothing to do" in again.stdout
    verified = finished.command("verify", "results/plan/config.yaml")
    assert verified.returncode == 0, verified.stdout + verified.stderr

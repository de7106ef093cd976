"""A collection of which one experiment has no data: refused, then run without it."""

import json

import yaml

GRID = {"teachers": ["resnet8"], "students": ["resnet8_narrow"], "methods": ["kd"]}
SHORT = {"recipe": {"epochs": 1, "batch_size": 32, "crop_padding": 0}, "seeds": [0], "evaluation": {"pairs": 60}}


def test_what_is_missing_is_said_and_left_out_where_asked_for(project):
    data = {"here": {"name": "digits", "limit_train": 60, "limit_test": 100}, "away": {"name": "flowers"}}
    experiments = [{"name": name, "data": own, **SHORT, "grids": [GRID]} for name, own in data.items()]
    (project.folder / "both.yaml").write_text(yaml.safe_dump({"name": "both", "experiments": experiments}))
    refused = project.reproduce("both.yaml", settings=())
    assert refused.returncode == 1
    assert refused.stderr.startswith('error: away: data.name: "flowers" is no known data set')
    assert not (project.results / "logs").exists()

    result = project.reproduce("both.yaml", "--skip-missing", settings=())
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'left out: away: data.name: "flowers"' in result.stdout
    page = (project.results / "both" / "report.html").read_text()
    assert "Left out of this run: away" in page
    assert "<li>away: data.name: &#34;flowers&#34; is no known data set" in page
    assert list(json.loads((project.results / "both" / "report.json").read_text())["spec"]["skipped"]) == ["away"]
    again = project.reproduce("both.yaml", "--skip-missing", settings=())
    assert "nothing to do" in again.stdout
    verified = project.command("verify", "results/plan/config.yaml")
    assert verified.returncode == 0, verified.stdout + verified.stderr

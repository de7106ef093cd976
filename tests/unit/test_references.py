"""What configs and tables refer to, and what of it cannot be read: then nothing is removed."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from results_tree import configure
from test_garbage import OTHER, RESULTS, found, kinds, listing, run

from vicinal.audit.garbage import unknown_experiments
from vicinal.audit.references import find_references
from vicinal.commands import gc
from vicinal.errors import VicinalError
from vicinal.files import write_json

pytestmark = pytest.mark.usefixtures("finished_project")


@pytest.mark.parametrize("place", ["experiments/other.yaml", "results/plan/config.yaml", "elsewhere/mine.yaml"])
def test_any_config_keeps_its_results(place):
    configure(OTHER)
    configure(path=place)
    assert found(*([Path(place)] if "elsewhere" in place else [])) == {}


def test_tables_keep_the_models_that_they_were_made_from():
    rows = {}
    for path in RESULTS.glob("evaluations/*/*/evaluation.json"):
        evaluation, id_ = path.parts[-3:-1]
        role = "student" if (RESULTS / "students" / id_).is_dir() else "teacher"
        rows[id_] = {"evaluation": evaluation, "role": role}
    [meta] = RESULTS.glob("data/*/meta.json")
    spec = {"models": rows, "data": json.loads(meta.read_text())["spec"]}
    write_json(RESULTS / "old/provenance.json", {"spec": spec})
    configure(OTHER.replace("resnet8_narrow", "resnet14"))
    assert found() == {}
    kept = unknown_experiments(RESULTS, find_references(RESULTS, gc.configs([])))
    assert [str(item.path) for item in kept] == ["results/old"]
    shutil.rmtree(RESULTS / "old")
    assert kinds() == {"students", "evaluations", "cohorts", "plan files"}


@pytest.mark.parametrize(
    ("path", "content", "says"),
    [
        ("experiments/bad.yaml", "name: [", "experiments/bad.yaml, line 1: not valid YAML"),
        ("experiments/bad.yaml", "name: a", "experiments/bad.yaml: grids: required"),
        ("results/old/provenance.json", "{}", "results/old/provenance.json: not the record"),
    ],
)
def test_what_cannot_be_read_stops_the_removal(capsys, path, content, says):
    configure(OTHER)
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(content)
    before = listing()
    with pytest.raises(VicinalError) as error:
        run(delete=True)
    assert says in str(error.value)
    assert str(error.value).endswith("nothing removed: it is not known what these refer to; put them right first")
    assert listing() == before
    assert run() == 0
    assert f"it is not known what this refers to: {says}" in capsys.readouterr().out


def test_data_that_cannot_be_found_are_no_reason_to_remove_their_results():
    config = yaml.safe_load(Path("config.yaml").read_text())
    config |= {"name": "own", "data": {"name": "photos", "root": "gone", "source": "parquet"}}
    Path("experiments").mkdir()
    Path("experiments/own.yaml").write_text(yaml.safe_dump(config))
    # Never prepared here: there can be no results of it.
    assert run(delete=True) == 0
    (RESULTS / "data/photos-12345678").mkdir()
    with pytest.raises(VicinalError, match=r"experiments/own\.yaml: own: gone/photos"):
        run(delete=True)

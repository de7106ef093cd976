"""Measurements on corrupted images among the other results: verified, copied, kept or removed, planned."""

import shutil
import sys
from pathlib import Path

import pytest
from results_tree import DIGITS_C, GRID, artefacts, configure, edit, make_tree

from scripts import SCRIPTS, load_module
from vicinal.audit.garbage import find_garbage
from vicinal.audit.references import find_references
from vicinal.audit.verify.artefacts import verify
from vicinal.commands import gc
from vicinal.config import Execution
from vicinal.data.corruptions.catalogue import ARCHIVES
from vicinal.errors import VicinalError
from vicinal.planning.changes import find_changes
from vicinal.planning.files import write_plans
from vicinal.planning.plans import build_plans
from vicinal.running.estimate.display import totals
from vicinal.running.estimate.overview import corruption_notes, make_overview
from vicinal.running.estimate.recorded import Recorded
from vicinal.running.estimate.shape import Shape
from vicinal.running.estimate.work import robustness_work

ON = "evaluation.corruptions=true"
RESULTS = Path("results")


@pytest.fixture(autouse=True)
def archive(monkeypatch):
    """As if corrupted digits were published."""
    monkeypatch.setitem(ARCHIVES, "digits", DIGITS_C)
    return DIGITS_C


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in which everything is there up to the measurements."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    make_tree(RESULTS, ON)
    configure(GRID, ON)
    return tmp_path / "project"


def check(results):
    made = ("data", "corruptions", "teachers", "cohorts", "evaluations", "robustness")
    return verify([plan for plan in build_plans(artefacts(ON)) if plan.stage in made], results).problems


def measured():
    return sorted(path.parent.name for path in RESULTS.glob("robustness/*/*/evaluation.json"))


def test_every_model_is_measured_once(project):
    wanted = artefacts(ON)
    assert measured() == sorted([*wanted.teachers, *wanted.students])
    [study] = wanted.studies.values()
    assert study.corrupted.keys() == study.models.keys()
    assert check(RESULTS) == []


def test_ids_of_what_is_measured_do_not_change_with_it():
    on, off = artefacts(ON), artefacts()
    assert on.evaluations.keys() == off.evaluations.keys()
    assert {plan.key for plan in build_plans(off) if plan.stage == "evaluations"} == {
        plan.key for plan in build_plans(on) if plan.stage == "evaluations"
    }
    assert "corrupted" not in next(plan for plan in build_plans(off) if plan.stage == "experiments").content["spec"]


def test_without_published_images_nothing_is_planned_and_the_tables_know(monkeypatch):
    monkeypatch.delitem(ARCHIVES, "digits")
    plans = list(build_plans(artefacts(ON)))
    assert not {"corruptions", "robustness"} & {plan.stage for plan in plans}
    assert next(plan for plan in plans if plan.stage == "experiments").content["spec"]["corrupted"] == {}


def test_a_changed_metric_is_one_problem(project):
    path = sorted(RESULTS.glob("robustness/*/*/evaluation.json"))[0]
    edit(path, corruptions={"fog": {"accuracy": [1.0] * 5}})
    [problem] = check(RESULTS)
    assert problem.path == path.parents[1] / "manifest.json"
    assert problem.fault == f"its checksum of {path.parent.name} is not that of what lies here now"


def test_a_record_of_other_data_is_one_problem(project):
    [path] = RESULTS.glob("data/*.corruptions.json")
    edit(path, data_sha256="0")
    [problem] = check(RESULTS)
    assert problem.path == path
    assert "its data_sha256 is not" in problem.fault


def test_copied_with_its_times_there_is_nothing_to_do(project, tmp_path, monkeypatch):
    shutil.copytree(project / "results", tmp_path / "here" / "results")
    monkeypatch.chdir(tmp_path / "here")
    plans = [plan for plan in build_plans(artefacts(ON)) if plan.stage in ("corruptions", "robustness")]
    assert write_plans(plans, RESULTS) == {}
    path = next(RESULTS.glob("robustness/*/*/evaluation.json"))
    path.write_bytes(b"damaged")
    assert path in {problem.path for problem in check(RESULTS)}


def garbage():
    found = find_garbage(RESULTS, find_references(RESULTS, gc.configs([])))
    return sorted(str(item.path.relative_to(RESULTS)) for item in found)


def test_what_no_experiment_asks_for_any_more_can_be_removed(project):
    assert garbage() == []
    ids = sorted(path.name for path in RESULTS.glob("robustness/*"))
    wanted = [f"robustness/{id_}" for id_ in ids] + [f"plan/robustness/{id_}.json" for id_ in ids]
    configure()
    assert garbage() == sorted(wanted)


def overview(monkeypatch):
    monkeypatch.setattr("vicinal.running.estimate.overview.read_recorded", lambda results: Recorded())
    wanted = artefacts(ON)
    plans = list(build_plans(wanted))
    changes = find_changes(plans, RESULTS)
    return make_overview("digits", wanted, plans, changes, Execution(device="cpu"), 2, RESULTS) | {"left_out": []}


def test_the_plan_says_what_to_expect(project, archive, monkeypatch):
    assert corruption_notes(artefacts(ON), RESULTS) == ["corrupted images of digits: left out: none was made up"]
    [path] = RESULTS.glob("data/*.corruptions.json")
    path.unlink()
    found = overview(monkeypatch)
    [note] = found["notes"]
    assert "data/digits-C.tar (0.0 GB) is to be downloaded" in note
    assert f"note:   {note}" in totals(found)
    assert found["disk"]["parts"]["downloads"] == archive.size
    assert any(job["stage"] == "robustness" for job in found["jobs"])
    assert corruption_notes(artefacts(), RESULTS) == []


def test_the_work_is_that_of_all_sets_of_images():
    shape = Shape(100, 32, 32, 3, 45_000, 5_000, 10_000, 60_000)
    teacher = artefacts().teachers
    spec = next(iter(teacher.values())).spec
    work = robustness_work(spec, 3, shape)
    [passes] = work.passes
    assert (passes.model, work.image) == (spec["model"], shape.image)
    assert (passes.images, passes.batches) == (3 * 19 * 5 * 10_000, 3 * 19 * 5 * 40)  # batches of 256


@pytest.fixture
def script():
    return load_module(SCRIPTS / "evaluate_corruptions.py")


def test_an_archive_that_is_gone_is_named_with_the_way_out(script, tmp_path):
    record = tmp_path / "digits-1.corruptions.json"
    for content in (None, b"another"):
        if content:
            (tmp_path / "digits-C.tar").write_bytes(content)
        with pytest.raises(VicinalError, match=r"digits-C\.tar: not there any more, or of another size") as told:
            script.find_archive(tmp_path, {"name": "digits"}, record)
        assert str(record) in str(told.value)


def test_a_record_of_other_data_is_not_measured_on(project, script, monkeypatch):
    plan = next(plan for plan in build_plans(artefacts(ON)) if plan.stage == "robustness")
    record = next(RESULTS.glob("data/*.corruptions.json"))
    edit(record, data_sha256="0")
    words = {
        "--plan": RESULTS / plan.path, "--data": next(RESULTS.glob("data/*/data.json")), "--corruptions": record,
        "--results": RESULTS, "--manifest": "out/manifest.json",
    }  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["x", *(str(part) for pair in words.items() for part in pair)])
    with pytest.raises(VicinalError, match="of other data than"):
        script.main()
    assert not Path("out").exists()

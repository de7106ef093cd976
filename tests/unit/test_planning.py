"""Plan files: what makes an artefact stale, and what does not."""

import json
import os
import time
from pathlib import Path

import pytest
from configs import default
from results_tree import finish

from vicinal.config import read_config
from vicinal.data.catalogue import resolve_source
from vicinal.errors import VicinalError
from vicinal.jobs.plan import check_code, read_plan, record_key, recorded_key, recorded_parts
from vicinal.planning.files import LONG_AGO, keep_plans, write_plans
from vicinal.planning.grid import expand
from vicinal.planning.plans import build_plans, plan_experiments

ROOT = Path(__file__).resolve().parents[2]
# What follows the evaluations of one experiment.
ANALYSIS = {"experiments": 1, "claims": 1, "figures": 1, "reports": 1}


def plans(*overrides):
    settings = ["name=digits", "seeds=[0]", "teachers=[resnet8,resnet14]", *overrides]
    return list(build_plans(expand([(default(*settings), resolve_source("digits", "data"))])))


@pytest.fixture
def finished(tmp_path):
    wanted = plans()
    write_plans(wanted, tmp_path)
    for plan in wanted:
        finish(tmp_path, plan)
    return tmp_path


def stages(stale):
    return {stage: len(ids) for stage, ids in stale.items()}


def test_at_first_everything_is_stale(tmp_path):
    wanted = plans()
    stale = write_plans(wanted, tmp_path)
    # Cohorts: students without a teacher, and from each teacher.
    assert stages(stale) == {
        "data": 1, "teachers": 2, "cohorts": 3, "evaluations": 2, **ANALYSIS,
    }  # fmt: skip
    assert all((tmp_path / plan.path).is_file() for plan in wanted)


def test_finished_is_fresh_and_older_than_its_output(finished):
    assert write_plans(plans(), finished) == {}
    for plan in plans():
        assert (finished / plan.path).stat().st_mtime == LONG_AGO
    before = {plan.path: (finished / plan.path).read_bytes() for plan in plans()}
    assert write_plans(plans(), finished) == {}
    assert before == {plan.path: (finished / plan.path).read_bytes() for plan in plans()}


def test_a_new_temperature_makes_its_cohorts_and_what_follows_stale(finished):
    stale = write_plans(plans("temperatures=[1,2,4,8]"), finished)
    assert stages(stale) == {"cohorts": 2, "evaluations": 2, **ANALYSIS}
    assert all("_from_" in id_ for id_ in stale["cohorts"])


def test_after_the_clock_was_set_back_outputs_are_older_than_the_plans_of_what_is_new(finished):
    ahead = time.time() + 86_400
    for path in finished.rglob("*"):
        os.utime(path, (ahead, ahead))
    before = time.time()
    stale = write_plans(plans("temperatures=[1,2,4,8]"), finished)
    assert stages(stale) == {"cohorts": 2, "evaluations": 2, **ANALYSIS}
    for plan in plans("temperatures=[1,2,4,8]"):
        made, wanted = (finished / plan.output).stat().st_mtime, (finished / plan.path).stat().st_mtime
        assert made < before
        assert wanted > made if plan.id in stale.get(plan.stage, ()) else wanted == LONG_AGO
    # One time for all: none is newer than what is made from it.
    assert len({(finished / plan.output).stat().st_mtime for plan in plans()}) == 1


def test_changed_and_changed_back_without_a_run_is_fresh(finished):
    write_plans(plans("temperatures=[1,2,4,8]"), finished)
    assert write_plans(plans(), finished) == {}


@pytest.mark.parametrize(
    "same",
    [
        "temperatures=[4.0, 2, 1.0]",
        "recipe.lr=1e-1",
        "execution.threads=2",
        "execution.device=cpu",
        "data.root=elsewhere",
        "methods=[kd_mixup, kd, ce_mixup, ce]",
    ],
)
def test_what_computes_the_same_is_fresh(finished, same):
    assert write_plans(plans(same), finished) == {}


def test_the_key_is_transitive(finished):
    stale = write_plans(plans("data.split_seed=1"), finished)
    # Every id below holds the data spec: all of it is new.
    assert stages(stale)["cohorts"] == 3
    stale = write_plans(plans("pairs=500"), finished)
    assert stages(stale) == {"evaluations": 2, **ANALYSIS}


def test_a_failed_cohort_is_not_forgotten(finished):
    cohort = next(plan for plan in plans() if plan.stage == "cohorts")
    (finished / cohort.output).unlink()
    assert write_plans(plans(), finished) == {"cohorts": [cohort.id]}
    plan_file = finished / cohort.path
    assert plan_file.stat().st_mtime > LONG_AGO
    assert "nonce" in json.loads(plan_file.read_text())


def test_a_students_directory_deleted_by_hand_makes_its_cohort_stale(finished):
    cohort = next(plan for plan in plans() if plan.stage == "cohorts" and "_from_" in plan.id)
    (finished / cohort.directories[0]).rmdir()
    assert write_plans(plans(), finished) == {"cohorts": [cohort.id]}


def test_an_output_of_another_plan_is_stale(finished):
    figure = next(plan for plan in plans() if plan.stage == "figures")
    (finished / f"{figure.output}.key").write_text("another\n")
    assert write_plans(plans(), finished) == {"figures": [figure.id]}
    first = (finished / figure.path).read_text()
    write_plans(plans(), finished)
    # A new nonce each time: Snakemake ignores a newer file whose content it has seen.
    assert (finished / figure.path).read_text() != first


def test_plans_are_not_written_while_another_run_holds_the_lock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").write_text("")
    config = read_config(ROOT / "config.yaml")
    artefacts, _ = plan_experiments(config, "config.yaml", ROOT / "experiments")
    keep_plans(artefacts)
    assert not (tmp_path / "results/plan/cohorts").exists()
    (tmp_path / ".snakemake/locks/0.input.lock").unlink()
    keep_plans(artefacts)
    assert (tmp_path / "results/plan/cohorts").is_dir()


def test_a_corrupt_plan_file_is_written_anew(finished):
    plan = plans()[0]
    (finished / plan.path).write_text("{")
    write_plans(plans(), finished)
    assert read_plan(finished / plan.path, plan.stage)["key"] == plan.key


def test_reading_refuses_what_is_no_plan(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(VicinalError, match="no such file"):
        read_plan(path, "cohorts")
    path.write_text("{}")
    with pytest.raises(VicinalError, match="not a plan file"):
        read_plan(path, "cohorts")
    path.write_text(json.dumps({"stage": "teachers", "id": "a", "key": "b"}))
    with pytest.raises(VicinalError, match="a plan of the stage teachers, expected cohorts"):
        read_plan(path, "cohorts")


def test_a_job_stops_when_the_code_changed_after_planning():
    with pytest.raises(VicinalError, match="the code changed after this run was planned"):
        check_code({"id": "cohort-1"}, "abc", "def")
    check_code({"id": "cohort-1"}, "abc", "abc")


def test_recorded_key(tmp_path):
    output = tmp_path / "out.parquet"
    assert recorded_key(output) is None
    output.write_text("")
    assert recorded_key(output) is None
    record_key(output, {"key": "k", "code": "c", "spec": {"not": "a part"}, "nonce": 1})
    assert recorded_key(output) == "k"
    assert recorded_parts(output) == {"code": "c"}
    output.unlink()
    assert recorded_key(output) is None
    assert recorded_parts(output) == {"code": "c"}


@pytest.mark.parametrize("second", ["", "\n", "\n[1]", "\n{", "\nwords"])
def test_parts_that_cannot_be_read_are_not_known(tmp_path, second):
    (tmp_path / "out.key").write_text(f"k{second}")
    assert recorded_parts(tmp_path / "out") == {}

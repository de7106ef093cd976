"""The status of a results folder: counts, time left, failures, and how they are shown."""

import io
import json
import os
import re
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import results_tree
from configs import default
from planted_claims import planted
from rich.console import Console

from vicinal.analysis.claims import evaluate_claims
from vicinal.analysis.claims.report import scorecard
from vicinal.commands import status as command
from vicinal.errors import VicinalError
from vicinal.files import write_json
from vicinal.jobs.heartbeat import Heartbeat
from vicinal.planning.changes import find_changes
from vicinal.planning.files import write_plans
from vicinal.planning.plans import build_plans, resolve
from vicinal.results import STAGES
from vicinal.running.runner import head_lock
from vicinal.running.status import Head, Monitor, Status, find_head

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def plans(results):
    experiment = default("name=digits", "seeds=[0,1]", "data.subset=fixed")
    # As a run does: the hashes of data files are remembered.
    artefacts, _ = resolve([experiment], "config.yaml", results)
    return list(build_plans(artefacts))


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def finish(results, plan, seconds=None):
    """Do as the job would."""
    results_tree.finish(results, plan)
    if seconds is not None:
        benchmark = results / STAGES[plan.stage].benchmark_of(plan.id)
        benchmark.parent.mkdir(parents=True, exist_ok=True)
        benchmark.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")


def of_stage(plans, stage):
    return [plan for plan in plans if plan.stage == stage]


def write_log(results, plan, text, age=0.0):
    path = results / STAGES[plan.stage].log_of(plan.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)


def shown(status, width=80):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(command.render(status, width))
    return console.file.getvalue()


def test_before_during_and_after(results, plans):
    write_plans(plans, results)
    status = Monitor("digits", "config.yaml", plans, results).look()
    assert (status.done, status.wanted, status.over) == (0, len(plans), False)
    assert status.stages["cohorts"] == {"done": 0, "wanted": 4}
    assert (status.running, status.finished, status.failed, status.seconds_left) == ([], [], [], None)

    finish(results, plans[0], 3.5)
    teacher = of_stage(plans, "teachers")[0]
    with Heartbeat(results, "teachers", teacher.id):
        status = Monitor("digits", "config.yaml", plans, results).look()
    assert (status.done, status.stages["data"]) == (1, {"done": 1, "wanted": 1})
    assert [(beat["stage"], beat["id"]) for beat in status.running] == [teacher.ref]
    assert [(job["stage"], job["id"], job["seconds"]) for job in status.finished] == [(*plans[0].ref, 3.5)]

    for plan in plans:
        finish(results, plan)
    assert find_changes(plans, results) == {}
    status = Monitor("digits", "config.yaml", plans, results).look()
    assert (status.done, status.over) == (len(plans), True)
    assert f"all {len(plans)} jobs done" in shown(status)
    assert json.loads(json.dumps(asdict(status)))["done"] == len(plans)


def test_changes_are_looked_for_now_and_then_only(results, plans, monkeypatch):
    write_plans(plans, results)
    monitor = Monitor("digits", "config.yaml", plans, results)
    assert monitor.look().done == 0
    finish(results, plans[0])
    assert monitor.look().done == 0
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    assert monitor.look().done == 1


def test_time_left_is_work_over_rate(results, plans):
    write_plans(plans, results)
    teachers, cohorts = of_stage(plans, "teachers"), of_stage(plans, "cohorts")
    finish(results, plans[0], 20.0)
    finish(results, teachers[0], 180.0)
    with head_lock(results), Heartbeat(results, "teachers", teachers[1].id) as heartbeat:
        heartbeat.update(seconds_left=60.0)
        heartbeat._write()
        # Running for 100 s: 200 s of work are done, that is two jobs at a time.
        os.utime(results / ".lock", (time.time() - 100,) * 2)
        status = Monitor("digits", "config.yaml", plans, results).look()
        assert status.head.running
        assert status.at_least  # no cohort was ever trained here
        assert status.seconds_left == pytest.approx(60 / 2, rel=0.02)
        assert "at least 2" in shown(status) or "at least 30 s" in shown(status)  # the clock goes on

        for plan in cohorts[:2]:
            finish(results, plan, 50.0)
        status = Monitor("digits", "config.yaml", plans, results).look()
        left = sum(plan.ref in find_changes(plans, results) for plan in cohorts)
        done = 20 + 180 + 50 * (4 - left)
        assert status.seconds_left == pytest.approx((60 + 50 * left) / (done / 100), rel=0.02)


def test_a_failed_job_is_shown_with_the_end_of_its_log(results, plans):
    write_plans(plans, results)
    first, second, third, fourth = of_stage(plans, "cohorts")[:4]
    write_log(results, first, "\n".join([f"line {k}" for k in range(20)] + ["error: [bold]the[/bold] loss is NaN"]))
    write_log(results, second, "Traceback (most recent call last):\n  File x\nKeyError: 'a'\n", age=7200)
    write_log(results, third, "7/30 epochs\n")  # no failure
    with pytest.raises(VicinalError), Heartbeat(results, "cohorts", fourth.id):
        raise VicinalError("disk full")
    status = Monitor("digits", "config.yaml", plans, results).look()
    failed = {failure["id"]: failure for failure in status.failed}
    assert failed.keys() == {first.id, second.id, fourth.id}
    assert failed[first.id]["error"] == "[bold]the[/bold] loss is NaN"
    assert failed[first.id]["lines"] == [*(f"line {k}" for k in range(16, 20)), "error: [bold]the[/bold] loss is NaN"]
    assert failed[second.id]["error"] == "KeyError: 'a'"
    assert failed[second.id]["age"] == pytest.approx(7200, abs=60)
    assert failed[fourth.id]["error"] == "disk full"
    text = shown(status, 300)
    assert "failed: 3" in text
    log = re.escape(str(results / STAGES[first.stage].log_of(first.id)))
    assert re.search(rf"distill {first.id} \(\d+ s ago\)\n  {log}:\n  line 16\n", text)
    assert "\n  error: [bold]the[/bold] loss is NaN\n" in text
    assert re.search(rf"distill {fourth.id}: disk full \(\d+ s ago\)\n", text)
    assert "2 h ago" in text

    # Made after all, or at work again: no failure any more.
    for plan in [plans[0], *of_stage(plans, "teachers"), first, fourth]:
        finish(results, plan)
    with Heartbeat(results, "cohorts", second.id):
        status = Monitor("digits", "config.yaml", plans, results).look()
    assert status.failed == []
    assert [beat["id"] for beat in status.running] == [second.id]


def test_silent_and_killed_jobs(results, plans):
    write_plans(plans, results)
    silent, killed, other = of_stage(plans, "cohorts")[:3]
    with Heartbeat(results, "cohorts", silent.id) as heartbeat:
        content = json.loads(heartbeat.path.read_text())
    beats = {
        silent.id: {**content, "host": "node7"},
        killed.id: {**content, "id": killed.id, "pid": 2**22 + 1},
        "of_another_experiment": {**content, "id": "of_another_experiment", "host": "node7"},
    }
    for id_, beat in beats.items():
        path = results / "heartbeats" / f"cohorts-{id_}.json"
        path.write_text(json.dumps(beat))
        os.utime(path, (time.time() - 190,) * 2)
    write_log(results, killed, "3/30 epochs\n")
    status = Monitor("digits", "config.yaml", plans, results).look()
    assert [(beat["id"], beat["silent"]) for beat in status.running] == [(silent.id, True)]
    [failure] = status.failed
    assert failure["id"] == killed.id
    assert "killed" in failure["error"]
    assert failure["lines"] == ["3/30 epochs"]
    text = shown(status, 120)
    assert "no sign of life for 3 min" in text
    assert other.id not in text
    assert "of_another_experiment" not in text


def test_the_head_is_seen_and_not_disturbed(results):
    assert find_head(results) == Head(False)
    with head_lock(results) as descriptor:
        os.pwrite(descriptor, b"process 12 since noon\n", 0)
        assert find_head(results) == Head(True, "process 12 since noon")
    assert find_head(results) == Head(False)
    with head_lock(results):
        pass
    (results / ".lock").write_text("process 13 since dawn\n")
    assert find_head(results) == Head(False, "process 13 since dawn")
    assert "the last one was killed (process 13" in shown(Status("x", "config.yaml", find_head(results), wanted=3))


def test_a_job_that_died_before_its_script_on_a_cluster_is_told_by_slurms_log(results, plans):
    write_plans(plans, results)
    plan, other = of_stage(plans, "cohorts")[:2]
    folder = results / "logs/slurm/rule_distill"
    died = "PermissionError: '/h'\nsrun: error: n1: task 0: Exited with exit code 1\n"
    for job, text in ((plan, died), (other, "Building DAG of jobs...\n")):
        (folder / job.id).mkdir(parents=True)
        (folder / job.id / "31.log").write_text(text)
    write_log(results, plan, "", age=-5)  # as Snakemake makes it
    [failure] = Monitor("digits", "config.yaml", plans, results).look().failed
    assert (failure["id"], failure["error"]) == (plan.id, "PermissionError: '/h'")
    assert failure["log"] == str(folder / plan.id / "31.log")
    write_log(results, plan, "error: by the script\n", age=-5)
    [failure] = Monitor("digits", "config.yaml", plans, results).look().failed
    assert failure["error"] == "by the script"


def test_verdicts_are_shown_once_the_claims_are_judged(results, plans):
    write_plans(plans, results)
    [claims] = of_stage(plans, "claims")
    for plan in plans:
        finish(results, plan)
    assert Monitor("digits", "config.yaml", plans, results).look().verdicts == {}  # ``finish`` wrote no record
    write_json(results / "digits" / "claims.json", {"verdicts": scorecard(evaluate_claims(planted("C3-CE")))})
    status = Monitor("digits", "config.yaml", plans, results).look()
    line = next(line for line in status.verdicts["digits"] if line["claim"].startswith("C3-CE: "))
    assert (line["verdict"], line["needed"], line["seeds"]) == ("reproduced", "> 0", "5")
    text = " ".join(shown(status, 200).split())
    assert f"{line['claim']} reproduced {line['effect']} > 0 5" in text
    assert max(map(len, shown(status, 80).splitlines())) <= 80
    (results / claims.output).with_suffix(".parquet.key").unlink()
    assert Monitor("digits", "config.yaml", plans, results).look().verdicts == {}

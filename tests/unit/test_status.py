"""The status of a results folder: counts, time left, failures, and how they are shown."""

import argparse
import io
import json
import os
import re
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from planted_claims import planted
from rich.console import Console

from vicinal.analysis.claims import evaluate_claims
from vicinal.analysis.claims.report import scorecard
from vicinal.commands import status as command
from vicinal.config import read_config, validate
from vicinal.errors import VicinalError
from vicinal.files import write_json
from vicinal.jobs.heartbeat import Heartbeat
from vicinal.jobs.plan import read_plan, record_key
from vicinal.planning.changes import find_changes
from vicinal.planning.files import write_plans
from vicinal.planning.plans import build_plans, resolve
from vicinal.results import STAGES
from vicinal.running.runner import head_lock
from vicinal.running.status import Head, Monitor, Status, find_head

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def plans(results):
    settings = ["name=digits", "seeds=[0,1]", "data.subset=fixed"]
    [experiment] = validate(read_config(ROOT / "config.yaml"), "config.yaml", settings)
    # As a run does: the hashes of data files are remembered.
    artefacts, _ = resolve([experiment], "config.yaml", results)
    return list(build_plans(artefacts))


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def finish(results, plan, seconds=None):
    """Do as the job would."""
    output = results / plan.output
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("made")
    record_key(output, read_plan(results / plan.path, plan.stage))
    for directory in plan.directories:
        (results / directory).mkdir(parents=True, exist_ok=True)
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


@pytest.mark.parametrize("width", [60, 80, 160])
def test_it_fits_the_terminal(width):
    models = {f"s{k}": {"loss": 0.5 + k, "accuracy": 0.7 + k / 10} for k in range(3)}
    beat = {
        "stage": "cohorts", "id": "resnet8x4_from_resnet32x4_mix0.4_a0.5_s0-1f3c9a2e", "host": "gpu-node-117",
        "pid": 123456, "slurm_job_id": "998877", "device": "cuda", "done": 12.345, "total": 240, "unit": "epochs",
        "seconds_left": 8000.0, "images_per_second": 41234.5, "models": models, "age": 1.2, "silent": False,
    }  # fmt: skip
    status = Status("cifar100", "experiments/cifar100.yaml", Head(True, "process 1 since now"), wanted=379, done=17)
    status.stages = {stage: {"done": 1, "wanted": 144} for stage in STAGES}
    status.running = [beat] * 40
    status.seconds_left = 400_000.0
    text = shown(status, width)
    assert max(map(len, text.splitlines())) <= width
    assert "17 of 379 jobs done, about 111 h left" in text.replace("\n", " ")
    assert "and 24 more" in text
    if width >= 80:
        for word in ("12.3/240 epochs", "0.500–2.500", "70.0–90.0%", "41,234", "2.2 h", "alive 1 s ago"):
            assert word in text, word
        assert "998877" in text


STUDENTS = {"s0": "KD + mixup T=2", "s1": "KD + mixup T=2 c=0.5"}


def training(**more):
    """Return the heartbeat of a cohort of two students."""
    curves = {"s0": {"loss": 0.5, "accuracy": 0.7}, "s1": {"loss": 1.5, "accuracy": None}}
    return {
        "stage": "cohorts", "id": "c_s0-1f3c9a2e", "host": "here", "pid": 1, "done": 1, "total": 2, "unit": "epochs",
        "seconds_left": 8.0, "models": curves, "labels": STUDENTS, "age": 1.2, "silent": False, **more,
    }  # fmt: skip


def test_the_students_of_a_job_are_told_apart():
    status = Status("digits", "config.yaml", running=[training()], wanted=3)
    lines = [line.split("  ") for line in shown(status, 100).splitlines()]
    rows = [[word.strip() for word in line if word] for line in lines]
    assert ["KD + mixup T=2", "0.500", "70.0%"] in rows
    assert ["KD + mixup T=2 c=0.5", "1.500"] in rows
    # With many students, and for one model alone, the range must do.
    for beats in ([training()] * 13, [training(labels={})], [training(models={"s0": {"loss": 1.0, "accuracy": None}})]):
        status.running = beats
        assert "KD" not in shown(status, 100)


def test_the_page_is_the_view_and_refreshes_itself(tmp_path):
    page = tmp_path / "status.html"
    status = Status("<digits>", "config.yaml", running=[training(id="<b>&")], wanted=3, done=1)
    command.write_page(status, page)
    text = page.read_text()
    assert f'<meta http-equiv="refresh" content="{command.PAGE_SECONDS}">' in text
    assert "<title>&lt;digits&gt;: 1 of 3 jobs done</title>" in text
    for words in ("&lt;b&gt;&amp;", "KD + mixup T=2 c=0.5", "1/2 epochs", "no run is working here"):
        assert words in text
    assert "<b>" not in text
    assert "src=" not in text and "href=" not in text


def run(capsys, *arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.main(parser.parse_args(arguments)) == 0
    return capsys.readouterr().out


def test_live_it_ends_when_all_is_done_or_at_ctrl_c(results, plans, monkeypatch, capsys):
    write_plans(plans, results)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    console = Console(force_terminal=True, width=80, height=50)
    command.follow(Monitor("digits", "config.yaml", plans, results), console, parser.parse_args([]))
    assert naps == [1, 1, 1]
    assert f"0 of {len(plans)} jobs done" in capsys.readouterr().out
    for plan in plans:
        finish(results, plan)
    command.follow(Monitor("digits", "config.yaml", plans, results), console, parser.parse_args([]))
    assert len(naps) == 3
    assert f"all {len(plans)} jobs done" in capsys.readouterr().out


def test_a_page_is_written_again_and_again_without_a_terminal(results, plans, monkeypatch, capsys):
    write_plans(plans, results)
    (results / "plan" / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    page, seen = results.parent / "status.html", []

    def sleep(seconds):
        seen.append((seconds, page.read_text()))
        page.unlink()
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", sleep)
    run(capsys, "--html", str(page))
    assert [seconds for seconds, _ in seen] == [command.PAGE_SECONDS] * 2
    assert all("jobs done" in text for _, text in seen)
    assert "digits" in run(capsys, "--once", "--html", str(page))
    assert len(seen) == 2
    assert "jobs done" in page.read_text()


def test_the_command_where_nothing_ran(results, capsys):
    assert run(capsys) == "nothing has run here yet: ./reproduce\n"
    assert json.loads(run(capsys, "--json")) == asdict(Status())
    with pytest.raises(VicinalError, match="nowhere"):
        run(capsys, "nowhere.yaml")
    assert not results.exists()


def test_the_command_shows_the_last_run_and_writes_nothing(results, plans, capsys):
    write_plans(plans, results)
    snapshot = results / "plan" / "config.yaml"
    text = (
        (ROOT / "config.yaml")
        .read_text()
        .replace("seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "seeds: [0, 1]")
        .replace("limit_train: 40", "limit_train: 40, subset: fixed")
    )
    snapshot.write_text(text)
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    status = json.loads(run(capsys, "--json"))
    assert (status["name"], status["source"], status["wanted"]) == ("digits", "results/plan/config.yaml", len(plans))
    assert status.keys() == asdict(Status()).keys()
    out = run(capsys, "--once")
    assert out.startswith("digits (config of the last run)\nno run is working here\n")
    assert f"0 of {len(plans)} jobs done" in out
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before
    (results.parent / "mine.yaml").write_text(text)
    assert "digits (mine.yaml)" in run(capsys, "mine.yaml")


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

"""What may happen to jobs on a cluster: each time the tables must equal those of a run that nothing disturbed."""

import json
import os
import signal
import subprocess
import time

import pytest
from cluster import wait_for
from cluster_runs import assert_same_tables, distill_job, distill_jobs, finish, hold_training, shown, start

pytestmark = pytest.mark.long


def records(project):
    return [json.loads(path.read_text()) for path in project.results.glob("students/*/model.json")]


def assert_it_went_on(cluster, project, undisturbed):
    """The last job went on from a checkpoint, and nothing tells from the results that anything happened."""
    assert distill_jobs(cluster, project)[-1]["JobState"] == "COMPLETED"
    [resumed] = {json.dumps(record["provenance"]["resumed"]) for record in records(project)}
    assert json.loads(resumed)[-1]["epoch"] > 0
    assert not list(project.results.glob("checkpoints/*/*"))
    assert_same_tables(project, undisturbed)


def test_a_job_that_is_requeued(cluster, started, undisturbed, hooks):
    process = start(started, hooks)
    hold_training(started)
    cluster.run("scontrol", "requeue", distill_job(cluster))
    finish(process)
    [job] = distill_jobs(cluster, started)
    assert job["Restarts"] == "1"
    assert_it_went_on(cluster, started, undisturbed)


def test_a_job_that_is_preempted(cluster, started, undisturbed, hooks):
    process = start(started, hooks)
    hold_training(started)
    cluster.run("sbatch", "-p", "high", "-N", "2", "--gres=gpu:2", "-o", "/dev/null", "--wrap", "sleep 1")
    finish(process)
    [job] = distill_jobs(cluster, started)
    assert job["Restarts"] == "1"
    assert_it_went_on(cluster, started, undisturbed)


def test_a_node_that_dies(cluster, started, undisturbed, hooks):
    process = start(started, hooks)
    hold_training(started)
    node = cluster.node_of(distill_job(cluster))
    cluster.kill_node(node)
    finish(process)
    [job] = distill_jobs(cluster, started)
    assert job["Restarts"] == "1"
    assert job["BatchHost"] != node
    assert_it_went_on(cluster, started, undisturbed)


def test_a_job_that_reaches_its_time_limit(cluster, started, undisturbed, hooks):
    process = start(started, hooks, "cluster.max_minutes=1")
    held = hold_training(started)
    # With half a minute to go, less than that for its training and what Slurm and Snakemake need to begin:
    time.sleep(16)
    os.kill(held, signal.SIGCONT)
    wait_for(lambda: len(distill_jobs(cluster, started)) == 2, "the next attempt")
    # which does not stop by itself.
    hold_training(started, after=held)
    output = finish(process)
    jobs = distill_jobs(cluster, started)
    assert [job["TimeLimit"] for job in jobs] == ["00:01:00"] * 3
    assert [job["JobState"] for job in jobs] == ["FAILED", "TIMEOUT", "COMPLETED"]
    assert "before its deadline" in output
    assert_it_went_on(cluster, started, undisturbed)


def test_a_job_that_needs_more_memory(cluster, started, undisturbed, hooks):
    output = finish(start(started, hooks, "cluster.mem_mb=350"))
    jobs = distill_jobs(cluster, started)
    memory = [job["MinMemoryNode"] for job in jobs]
    assert memory[:2] == ["350M", "700M"]
    assert jobs[0]["JobState"] != "COMPLETED" == jobs[-1]["JobState"]
    assert "Trying to restart job" in output
    assert_same_tables(started, undisturbed)


def test_a_head_that_is_killed_and_started_again_while_its_job_runs(cluster, started, undisturbed, hooks):
    killed = start(started, hooks, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    held = hold_training(started)
    first = distill_job(cluster)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    again = start(started, hooks)
    second = wait_for(lambda: distill_job(cluster, "PENDING"), "a second job for the same students")
    assert shown(cluster, second)["Dependency"].startswith(f"afterany:{first}")
    os.kill(held, signal.SIGCONT)
    output = finish(again)
    assert "removing the lock of a Snakemake that was killed" in output
    assert f"jobs of an earlier run that new ones for the same results wait for: {first}\n" in output
    jobs = distill_jobs(cluster, started)
    assert [(job["JobId"], job["JobState"]) for job in jobs] == [(first, "COMPLETED"), (second, "COMPLETED")]
    [log] = started.results.glob("cohorts/*/distill.log")
    assert "0 students to train, 2 finished before" in log.read_text()
    assert {tuple(record["provenance"]["resumed"]) for record in records(started)} == {()}
    assert_same_tables(started, undisturbed)


def test_a_run_that_is_stopped_ends_its_jobs(cluster, started, undisturbed, hooks):
    # A shell without job control has what it puts in the background ignore Ctrl-C.
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    stopped = start(started, hooks, start_new_session=True, **listening)
    hold_training(started)
    os.killpg(stopped.pid, signal.SIGINT)  # as Ctrl-C does
    stopped.communicate(timeout=60)
    assert stopped.returncode != 0
    wait_for(lambda: not cluster.jobs(), "the end of all jobs")
    finish(start(started, hooks))
    assert_it_went_on(cluster, started, undisturbed)

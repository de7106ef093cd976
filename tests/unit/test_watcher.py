"""What is known of a run from Snakemake's events and from the logs of its jobs."""

from pathlib import Path

import pytest

from vicinal.running.log_reader import SHOWN_WARNINGS, TARGET, Job, Run, tail
from vicinal.training.checkpoint import find_checkpoint

FINISHED = {"event": "job_finished", "job_id": 7}


def started(log, id_=7, rule="distill", **wildcards):
    wildcards = wildcards or {"cohort": "c-1"}
    return {"event": "job_info", "jobid": id_, "rule_name": rule, "wildcards": wildcards, "log": [str(log)]}


def failed(message=None, id_=7):
    return {"event": "job_error", "jobid": id_, "rule_msg": message}


def take(*events):
    """Return what is known after these events, and the jobs that finished."""
    run = Run()
    finished = [job for job in map(run.take, events) if job]
    return run, finished


def test_jobs_are_followed_from_start_to_end():
    stats = {"prepare_data": 1, "distill": 2, TARGET: 1, "total": 4}
    run, finished = take(
        {"event": "run_info", "stats": stats}, started("a.log", 4, "prepare_data", data="d-1"), started("b.log")
    )
    assert (run.done, run.total, finished) == (0, 3, [])
    assert [job.label for job in run.running.values()] == ["prepare_data  d-1", "distill       c-1"]
    assert run.take(FINISHED) == Job("distill", "c-1", Path("b.log"))
    assert (run.done, list(run.running)) == (1, [4])


def test_the_rule_all_is_no_job():
    run, finished = take(
        {"event": "job_info", "jobid": 0, "rule_name": TARGET, "wildcards": {}, "log": []},
        {"event": "job_finished", "job_id": 0},
    )
    assert (run.running, run.done, finished) == ({}, 0, [])


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("step 1\nerror: data.root: wrong\nerror: and more\n", ["data.root: wrong", "and more"]),
        ("Traceback\n  File x\nKeyError: 3\n", ["KeyError: 3"]),
        ("", ["failed, and left no message"]),
        (None, ["failed, and left no message"]),
    ],
)
def test_a_failed_job_is_told_in_the_words_of_its_log(tmp_path, log, says):
    path = tmp_path / "prepare.log"
    if log is not None:
        path.write_text(log)
    run, _ = take(started(path, 4, "prepare_data", data="d-1"), started("b.log"), failed(id_=4))
    assert run.failures() == [f"prepare_data: {words} (log: {path})" for words in says]
    assert list(run.running) == [7]


def test_a_failure_told_twice_is_one_failure_and_warns_once(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("warning: x\nerror: y\n")
    run, _ = take(started(log), failed(), failed())
    assert run.news == [f"warning: distill  c-1: x (log: {log})"]
    assert run.failures() == [f"distill: y (log: {log})"]


def test_snakemakes_own_errors():
    run, _ = take({"event": "error", "msg": "WorkflowError in file Snakefile:\n  config.yaml: epoch: unknown key\n"})
    assert run.failures() == []
    assert run.errors == ["WorkflowError in file Snakefile:", "config.yaml: epoch: unknown key"]


def test_the_last_line_of_a_running_job(tmp_path):
    job = Job("distill", "c-1", tmp_path / "x.log")
    assert job.last_line() == ""
    job.log.write_text("first\nepoch 2\n\n")
    assert job.last_line() == "epoch 2"


def test_the_end_of_a_long_log(tmp_path):
    path = tmp_path / "log"
    assert tail(path) == []
    path.write_text("first\n\nsecond\n")
    assert tail(path) == ["first", "second"]
    path.write_text("".join(f"line {k:05}\n" for k in range(20_000)))
    lines = tail(path, 1000)
    assert lines[-1] == "line 19999"
    assert len(lines) == 90  # whole lines of 11 bytes only
    assert all(len(line) == 10 for line in lines)


ADVICE = "For further error details see the cluster/cloud log and the log files of the involved rule(s)."
REFUSED = "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition: gpux'."


@pytest.mark.parametrize(
    ("message", "log", "says"),
    [
        (
            "SLURM-job '31' failed: TIMEOUT." + ADVICE,
            "epoch 3 of 9\n",
            "SLURM-job '31' failed: TIMEOUT. (epoch 3 of 9)",
        ),
        ("SLURM-job 31: FAILED.", "epoch 3\nerror: data.root: wrong\n", "data.root: wrong"),
        (
            f"{REFUSED}\n    sbatch call:\n        sbatch -t 5\n" + ADVICE,
            "",
            f"{REFUSED} (failed, and left no message)",
        ),
        ("no account x. Accounts:\na, b" + ADVICE, "", "no account x. Accounts: a, b (failed, and left no message)"),
    ],
)
def test_a_job_that_failed_on_a_cluster_is_told_in_its_own_words_or_the_executors(tmp_path, message, log, says):
    path = tmp_path / "distill.log"
    path.write_text(log)
    run, _ = take(started(path), failed(message))
    assert run.failures() == [f"distill: {says} (log: {path})"]


def test_a_job_that_is_tried_again_is_no_failure(tmp_path):
    path = tmp_path / "distill.log"
    path.write_text("epoch 3 of 9\n")
    run, _ = take(started(path), failed("node failure"))
    assert (run.news, run.running) == ([], {})
    run.take(started(path))
    assert run.news == [f"distill  c-1: node failure (epoch 3 of 9) (log: {path}); trying again"]
    assert run.take(FINISHED) == Job("distill", "c-1", path)
    assert (run.failed, run.done) == ({}, 1)


BEGAN = "SNAKEMAKE\n=====\nBuilding DAG of jobs...\n"


@pytest.mark.parametrize(
    ("slurm_log", "cause"),
    [
        ("/var/slurm_script: line 4: /a/two: No such file or directory\n", "line 4: /a/two: No such file or directory"),
        (f"{BEGAN}Traceback:\nPermissionError: '/h'\nsrun: error: n1: task 0: Exited with exit code 1\n", "'/h'"),
        ("slurmstepd: error: Detected 1 oom-kill event\n", "Detected 1 oom-kill event"),
        (BEGAN, "Building DAG of jobs..."),
    ],
)
@pytest.mark.parametrize("former", [None, "", "epoch 3 of 9\nerror: of the attempt before\n"])
def test_a_job_that_died_before_its_script_is_told_in_the_words_of_slurms_log(tmp_path, slurm_log, cause, former):
    log, slurms = tmp_path / "distill.log", tmp_path / "31.log"
    if former:
        log.write_text(former)
    slurms.write_text(slurm_log)
    run, _ = take(started(log))
    if former is None:
        log.touch()  # as Snakemake does then
    run.take({**failed("SLURM-job '31' failed."), "log": [str(log), str(slurms)]})
    [line] = run.failures()
    assert line.startswith("distill: SLURM-job '31' failed. (")
    assert line.endswith(f"{cause}) (log: {slurms})")


def test_a_job_whose_script_began_is_told_in_its_own_words(tmp_path):
    log, slurms = tmp_path / "distill.log", tmp_path / "31.log"
    run, _ = take(started(log))
    log.write_text("epoch 3 of 9\n")
    slurms.write_text("slurmstepd: error: JOB 31 CANCELLED DUE TO TIME LIMIT\n")
    run.take({**failed("SLURM-job '31' failed: TIMEOUT."), "log": [str(log), str(slurms)]})
    assert run.failures() == [f"distill: SLURM-job '31' failed: TIMEOUT. (epoch 3 of 9) (log: {log})"]


def test_what_the_slurm_executor_waits_for_is_news():
    run, _ = take({"event": "slurm", "msg": "Slurm takes no job now (a limit): waiting"})
    assert run.news == ["Slurm takes no job now (a limit): waiting"]


def warnings_of(log, end=FINISHED):
    """Return the news of a job that wrote this log and ended."""
    return take(started(log), end)[0].news


def test_a_damaged_checkpoint_is_told_in_one_line_when_the_job_ends(tmp_path, capsys):
    folder, log = tmp_path / "checkpoints", tmp_path / "distill.log"
    folder.mkdir()
    for name in ("host-1-2-ab.0.safetensors", "host-1-2-ab.1.safetensors"):
        (folder / name).write_bytes(b"\xff" * 100)
    assert find_checkpoint(folder, []) is None
    log.write_text(f"c-1: 2 students to train\n{capsys.readouterr().err}1/30 epochs\n")
    [line] = warnings_of(log)
    assert line.startswith(f"warning: distill  c-1: {folder}/host-1-2-ab.0.safetensors: a damaged checkpoint, left ")
    assert f"; {folder}: no checkpoint is whole; starting from the beginning (log: {log})" in line
    assert warnings_of(log, failed()) == [line]
    assert warnings_of(log, {"event": "job_finished", "job_id": 8}) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1/30 epochs\n", []),
        ("no warning: x\nwarnings\nc.0: going on without this\n", []),
        ("warning: a.csv: no such file\nwarning: a.csv: no such file\n", ["a.csv: no such file"]),
        ("warning: early\n" + "1/30 epochs\n" * 10_000, ["early"]),
        (
            "warning: c.0: no space left on device: going on without this checkpoint\n" * 9,
            ["c.0: no space left on device: going "],
        ),
        ("".join(f"warning: {k}\n" for k in range(SHOWN_WARNINGS + 2)), ["0; 1; 2; and 2 more (log: "]),
    ],
)
def test_what_a_job_warns_of_is_told_once(tmp_path, text, says):
    log = tmp_path / "distill.log"
    log.write_text(text)
    found = warnings_of(log)
    assert len(found) == len(says)
    for line, words in zip(found, says, strict=True):
        assert line.startswith(f"warning: distill  c-1: {words}")
        assert line.endswith(f" (log: {log})")

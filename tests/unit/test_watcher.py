"""What the head reads out of Snakemake's output."""

import pytest

from vicinal.watcher import Job, Watcher

STARTED = """\
Job stats:
job              count
-------------  -------
distill              2
total                3

[Mon Nov 23 07:28:23 2026]
localrule prepare_data:
    output: results/data/d-1/data.json
    log: {log}
    jobid: 4
    reason: Missing output files
    wildcards: data=d-1
    resources: tmpdir=/tmp

rule distill:
    log: somewhere/distill.log
    jobid: 7
    wildcards: cohort=c-1
"""
FAILED = """\
RuleException:
CalledProcessError in file "workflow/rules/data.smk", line 19:
Error in rule prepare_data:
    message: None
    jobid: 4
    output: results/data/d-1/data.json
    log: {log} (check log file(s) for error details)
"""


def watch(text):
    watcher = Watcher()
    finished = [job for job in map(watcher.read, text.splitlines(keepends=True)) if job]
    return watcher, finished


def test_jobs_are_followed_from_start_to_end():
    watcher, finished = watch(STARTED.format(log="a.log"))
    assert (watcher.done, watcher.total, finished) == (0, 3, [])
    assert {job.label for job in watcher.running.values()} == {"prepare_data  d-1", "distill       c-1"}
    assert watcher.read("Finished jobid: 7 (Rule: distill)\n") == Job("distill", "c-1", "somewhere/distill.log")
    watcher.read("1 of 3 steps (33%) done\n")
    assert (watcher.done, list(watcher.running)) == (1, ["4"])


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
    watcher, _ = watch((STARTED + FAILED).format(log=path))
    assert watcher.failures() == [f"prepare_data: {words} (log: {path})" for words in says]
    assert list(watcher.running) == ["7"]


def test_a_failure_told_twice_is_one_failure(tmp_path):
    watcher, _ = watch((STARTED + FAILED + FAILED).format(log=tmp_path / "none"))
    assert len(watcher.failures()) == 1


def test_without_a_failed_job_snakemake_has_the_word():
    watcher, _ = watch("WorkflowError in file Snakefile:\nconfig.yaml: epoch: unknown key\n")
    assert watcher.failures() == ["WorkflowError in file Snakefile:", "config.yaml: epoch: unknown key"]


def test_the_last_line_of_a_running_job(tmp_path):
    path = tmp_path / "x.log"
    job = Job("distill", "c-1", str(path))
    assert job.last_line() == "distill       c-1"
    path.write_text("first\nepoch 2\n\n")
    assert job.last_line() == "epoch 2"


def test_what_snakemake_says_of_healthy_jobs_is_no_failure():
    text = STARTED.format(log="a.log") + "Shell command: python x.py\nTerminating processes on user request.\n"
    watcher, _ = watch(text)
    assert watcher.failures()[-1] == "Terminating processes on user request."
    assert not any("jobid" in line or "Shell command" in line for line in watcher.failures())

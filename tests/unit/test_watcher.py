"""What the head reads out of Snakemake's output."""

import pytest

from vicinal.checkpoint import find_checkpoint
from vicinal.watcher import SHOWN_WARNINGS, Job, Watcher

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


SUBMITTED = """\
SLURM run ID: vicinal-digits-0123abcd_6907ab6e
rule distill:
    log: {log}
    jobid: 7
    wildcards: cohort=c-1
Job 7 has been submitted with SLURM jobid 31 (log: /p/results/logs/slurm/rule_distill/c-1/31.log).
"""
ENDED = """\
Error in rule distill:
    message: SLURM-job '31' failed, SLURM status is: '{status}'. Detailed failure reason unavailable.
    jobid: 7
    log: {log}, /p/results/logs/slurm/rule_distill/c-1/31.log (check log file(s) for error details)
Logfile {log}:
============
epoch 3 of 9
============
Logfile /p/results/logs/slurm/rule_distill/c-1/31.log:
=======================================================
rule distill:
    jobid: 0
Error in rule distill:
    message: None
    jobid: 0
=======================================================
Trying to restart job 7.
"""


@pytest.mark.parametrize(
    ("status", "log", "says"),
    [
        ("TIMEOUT", "epoch 3 of 9\n", "ended by SLURM: TIMEOUT (epoch 3 of 9)"),
        ("OUT_OF_MEMORY", "", "ended by SLURM: OUT_OF_MEMORY (failed, and left no message)"),
        ("FAILED", "Traceback\nKeyError: 3\n", "KeyError: 3"),
        ("FAILED", "epoch 3\nerror: data.root: wrong\n", "data.root: wrong"),
    ],
)
def test_a_job_on_a_cluster_that_failed_and_is_tried_again(tmp_path, status, log, says):
    path = tmp_path / "distill.log"
    path.write_text(log)
    watcher, _ = watch((SUBMITTED + ENDED).format(log=path, status=status))
    assert watcher.failures() == [f"distill: {says} (log: {path})"]
    assert watcher.news == [
        "jobs of this run: squeue --name=vicinal-digits-0123abcd_6907ab6e (to end them all: scancel "
        "--name=vicinal-digits-0123abcd_6907ab6e)",
        f"distill       c-1 (SLURM job 31): {says}; trying again",
    ]
    assert watcher.running == {}
    watch_again = SUBMITTED.format(log=path).replace("31", "32")
    finished = [watcher.read(line) for line in (watch_again + "Finished jobid: 7 (Rule: distill)").splitlines()]
    assert finished[-1] == Job("distill", "c-1", str(path), slurm_id="32")
    assert watcher.failed == {}


@pytest.mark.parametrize(
    "message",
    [
        "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition specified: gpux",
        "Job submission failed with exception: The given account x appears to be invalid. Available accounts:\na, b",
    ],
)
def test_a_job_that_slurm_does_not_take_is_told_in_slurms_words(tmp_path, message):
    error = [
        "Error in rule distill:",
        f"    message: {message}",
        "sbatch call:",
        "sbatch -t 5For further error details",
        "    jobid: 7",
    ]
    text = [*SUBMITTED.splitlines()[1:5], *error]
    watcher, _ = watch("\n".join(text).format(log=tmp_path / "none"))
    assert watcher.failures() == [f"distill: {' '.join(message.split())} (log: {tmp_path / 'none'})"]


def warnings_of(log, end="Finished jobid: 7 (Rule: distill)"):
    """Return the news of a job that wrote this log and ended."""
    watcher, _ = watch(f"rule distill:\n    log: {log}\n    jobid: 7\n    wildcards: cohort=c-1\n{end}\n")
    return watcher.news


def test_a_damaged_checkpoint_is_told_in_one_line_when_the_job_ends(tmp_path, capsys):
    folder, log = tmp_path / "checkpoints", tmp_path / "distill.log"
    folder.mkdir()
    for name in ("host-1-2-ab.0.safetensors", "host-1-2-ab.1.safetensors"):
        (folder / name).write_bytes(b"\xff" * 100)
    assert find_checkpoint(folder, []) is None
    log.write_text(f"c-1: 2 students to train\n{capsys.readouterr().out}1/30 epochs\n")
    [line] = warnings_of(log)
    assert line.startswith(
        f"warning: distill       c-1: {folder}/host-1-2-ab.0.safetensors: a damaged checkpoint, left "
    )
    assert f"; {folder}: no checkpoint is whole; starting from the beginning (log: {log})" in line
    assert warnings_of(log, "Error in rule distill:\n    message: None\n    jobid: 7") == [line]
    assert warnings_of(log, "1 of 3 steps (33%) done") == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1/30 epochs\n", []),
        ("no warning: x\nwarnings\n", []),
        ("warning: a.csv: no such file\nwarning: a.csv: no such file\n", ["a.csv: no such file"]),
        (
            "c.0: no space left on device: going on without this checkpoint\n" * 9,
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
        assert line.startswith(f"warning: distill       c-1: {words}")
        assert line.endswith(f" (log: {log})")


def test_a_failure_told_twice_warns_once(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("warning: x\nerror: y\n")
    watcher, _ = watch((STARTED + FAILED + FAILED).format(log=log))
    assert watcher.news == [f"warning: prepare_data  d-1: x (log: {log})"]
    assert watcher.failures() == [f"prepare_data: y (log: {log})"]

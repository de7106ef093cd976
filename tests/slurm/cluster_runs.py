"""Runs on the cluster of the tests: what runs, how it is followed, what must come of it."""

import itertools
import json
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
from cluster import wait_for
from pandas.testing import assert_frame_equal

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))

TABLES = "results/digits/metrics.parquet"
# One teacher, one cohort of two students that trains for some seconds: long enough to be hit in the middle.
SETTINGS = (
    "name=digits",
    "seeds=[0]",
    "limit_train=60",
    "limit_test=120",
    "teachers=[resnet8]",
    "methods=[kd_mixup]",
    "temperatures=[1,4]",
    "grids.calibration=null",
    "pairs=100",
    "teacher_recipe.epochs=2",
    "recipe.epochs=250",
    "execution.checkpoint_seconds=0.3",
)
# What the nodes have.
MEMORY = ("cluster.mem_mb=2000", "cluster.max_mem_mb=6000")
# In the head, polls come often: the executor would wait 10 s longer after each poll at which nothing had ended. In the
# scripts of jobs, what they see of the cluster is noted.
HOOKS = """\
import atexit, os, sys, time
words = sys.orig_argv
if "vicinal.running.slurm_executor" in words:
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
    RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 0.5, lambda self, value: None)
elif len(words) > 1 and words[1].startswith("workflow/scripts/") and "SLURM_JOB_ID" in os.environ:
    names = ("SLURM_JOB_ID", "SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES")
    seen = [words[1], *map(os.environ.get, names)]
    def note(began=time.time()):
        with open("seen.txt", "a") as file:
            print(*seen, began, time.time(), file=file)
    atexit.register(note)
"""
TABLE_NAMES = (
    "metrics", "vicinal", "confusion", "spread", "similarity", "projection", "classes", "reliability", "history",
    "summary",
)  # fmt: skip


def start(project, hooks, *settings, polled=None, **options):
    """Start a run on the cluster, up to the tables.

    Args:
        project: where.
        hooks: folder of what is changed in Snakemake and in scripts, if anything.
        settings: for ``--set``.
        polled: every so many seconds, without accounting.
        options: of the process.
    """
    arguments = itertools.chain.from_iterable(("--set", setting) for setting in (*SETTINGS, *MEMORY, *settings))
    polls = ["--slurm-init-seconds-before-status-checks", str(polled)] if polled else []
    return project.start("--slurm", *arguments, "--", *polls, TABLES, library=hooks, warm=False, **options)


def finish(process):
    """Wait for a run to end well; return what it said."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out[-5000:] + err[-5000:]
    return out + err


def shown(cluster, job):
    """Return the fields of ``scontrol show job``."""
    return dict(re.findall(r"(\S+?)=(\S*)", cluster.run("scontrol", "show", "job", job)))


def distill_jobs(cluster, project):
    """Return the jobs that trained students in this project, in their order, as ``scontrol`` shows them."""
    jobs = [shown(cluster, id_) for id_, _, comment in cluster.jobs("all") if comment.startswith("rule_distill")]
    ours = [job for job in jobs if job["WorkDir"] == str(project.folder)]
    return sorted(ours, key=lambda job: int(job["JobId"]))


def distill_job(cluster, state="RUNNING"):
    """Return the id of the job that trains the students, in this state."""
    found = [id_ for id_, _, comment in cluster.jobs(state) if comment.startswith("rule_distill")]
    return found[0] if found else None


def hold_training(project, after=None):
    """Stop the process that trains the students in the middle, once it has made a checkpoint; return its id.

    Held, it cannot end before what is to happen to it does.

    Args:
        project: it works there.
        after: id of an earlier such process.
    """

    def trains():
        for path in project.results.glob("heartbeats/cohorts-*.json"):
            pid = json.loads(path.read_text())["pid"]
            with suppress(psutil.NoSuchProcess, FileNotFoundError):
                began = psutil.Process(pid).create_time()
                made = [file.stat().st_mtime for file in project.results.glob("checkpoints/*/[!.]*.safetensors")]
                if pid != after and any(time > began for time in made):
                    os.kill(pid, signal.SIGSTOP)
                    return pid
        return None

    return wait_for(trains, "the training of the students", every=0.02)


def assert_same_tables(project, other):
    for name in TABLE_NAMES:
        ours, theirs = (pd.read_parquet(p.results / f"digits/{name}.parquet") for p in (project, other))
        assert_frame_equal(ours, theirs, check_exact=True, obj=name)
    weights = [
        {path.parent.name: path.read_bytes() for path in p.results.glob("students/*/*.safetensors")}
        for p in (project, other)
    ]
    assert weights[0] == weights[1]
    assert len(weights[0]) == 2

"""Sites that differ: what they let a job ask for, how many jobs they take, how long they remember them."""

import re
import shutil
import stat

import pytest
from cluster_runs import MEMORY, assert_same_tables, distill_jobs, finish, start

pytestmark = pytest.mark.long

# In place of sbatch: {refuses} is run instead of it as long as fewer calls than {times} came before.
SBATCH = """\
#!/bin/sh
echo x >> {folder}/calls
if [ $(wc -l < {folder}/calls) -le {times} ]; then {refuses}; fi
exec {sbatch} "$@"
"""
LIMIT = "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1"
NO_ANSWER = '{sbatch} "$@" > /dev/null; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1'


@pytest.fixture
def replace_sbatch(tmp_path_factory, monkeypatch):
    """Return a function that puts a script in the place of sbatch, and returns the script's folder."""

    def replace(refuses, times):
        folder, sbatch = tmp_path_factory.mktemp("bin"), shutil.which("sbatch")
        script = folder / "sbatch"
        values = {"folder": folder, "times": times, "sbatch": sbatch}
        script.write_text(SBATCH.format(refuses=refuses.replace("{sbatch}", sbatch), **values))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        return folder

    return replace


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (["cluster.gres=gpu:h100:1"], {"TresPerNode": "gres:gpu:h100:1", "MinMemoryNode": "2000M"}),
        (
            ["cluster.gpu_type=h100", "cluster.mem_per_cpu=true"],
            {"TresPerJob": "gres:gpu:h100:1", "MinMemoryCPU": "2000M"},
        ),
        (["cluster.mem_mb=null"], {"TresPerJob": "gres:gpu:1", "MinMemoryNode": "0"}),
    ],
)
def test_how_a_site_wants_gpu_and_memory_to_be_asked_for(cluster, started, undisturbed, hooks, settings, fields):
    finish(start(started, hooks, *settings))
    [job] = distill_jobs(cluster, started)
    assert {name: job.get(name) for name in fields} == fields
    [seen] = [line.split() for line in (started.folder / "seen.txt").read_text().splitlines() if "distill.py" in line]
    assert seen[3] in ("0", "1")  # the GPU that the script may use
    assert_same_tables(started, undisturbed)


def test_a_queue_that_is_full_is_waited_for(cluster, started, undisturbed, hooks, replace_sbatch):
    calls = replace_sbatch(LIMIT, times=3) / "calls"
    output = finish(start(started, hooks, "cluster.retries=0", polled=1))
    assert (
        output.count("Slurm takes no job now (QOSMaxSubmitJobPerUserLimit): waiting, and asking again every 1 s") == 1
    )
    assert "a smaller cluster.max_jobs keeps below the limit" in output
    assert "Trying to restart job" not in output
    assert len(calls.read_text().split()) == 3 + 2  # distill and evaluate
    [job] = distill_jobs(cluster, started)
    assert (job["JobState"], job["MinMemoryNode"]) == ("COMPLETED", "2000M")
    assert_same_tables(started, undisturbed)


def test_a_submission_without_an_answer_is_not_made_twice(cluster, started, undisturbed, hooks, replace_sbatch):
    replace_sbatch(NO_ANSWER, times=1)
    output = finish(start(started, hooks, "cluster.retries=0", polled=1))
    assert "Slurm takes no job now (timed out): waiting" in output
    assert "max_jobs" not in output
    [job] = distill_jobs(cluster, started)
    assert job["JobState"] == "COMPLETED"
    assert_same_tables(started, undisturbed)


def test_a_submission_that_can_never_succeed_is_told(cluster, fresh_project, hooks):
    settings = [*MEMORY, "cluster.partition=none", "cluster.retries=1", "seeds=[0]", "grids.calibration=null"]
    result = fresh_project.reproduce("--slurm", settings=settings, library=hooks, warm=False)
    assert result.returncode == 1
    assert "invalid partition specified: none" in result.stderr
    assert "Slurm takes no job" not in result.stdout


def test_a_site_that_forgets_jobs_soon_and_keeps_no_accounts(cluster, started, undisturbed):
    """Without hooks, so that the polls come as they do elsewhere."""
    text = cluster.conf.read_text()
    try:
        cluster.conf.write_text(re.sub("MinJobAge=.*", "MinJobAge=6", text))
        cluster.run("scontrol", "reconfigure")
        output = finish(start(started, None))
    finally:
        cluster.conf.write_text(text)
        cluster.run("scontrol", "reconfigure")
    assert "this cluster keeps no accounts of jobs: squeue is asked every 2 s" in output
    assert "Trying to restart job" not in output
    assert_same_tables(started, undisturbed)


def test_a_job_that_dies_before_its_script(cluster, fresh_project, hooks, replace_sbatch):
    # Snakemake keeps files in one or the other.
    replace_sbatch('HOME=/proc/none XDG_CACHE_HOME=/proc/none exec {sbatch} "$@"', times=99)
    settings = [*MEMORY, "cluster.retries=0", "seeds=[0]", "grids.calibration=null", "teachers=[resnet8]"]
    result = fresh_project.reproduce("--slurm", settings=settings, library=hooks, warm=False)
    assert result.returncode == 1
    assert re.search(
        r"error: train_teacher: .*'/proc/none.*\(log: .*results/logs/slurm/rule_train_teacher/.*\)", result.stderr
    )
    shown = fresh_project.command("status").stdout
    assert "'/proc/none" in shown

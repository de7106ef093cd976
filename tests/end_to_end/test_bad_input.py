"""What goes wrong is said in one line, with a non-zero exit, and costs nothing that was there."""

import json
import os
import signal
import subprocess
import time

import pytest
from project import SHORT


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "no experiment 'nonsense'"),
        (["cifar1000"], "did you mean cifar100"),
        (["missing.yaml"], "missing.yaml: no such config file"),
        (["--set", "temperatures=[0]"], "grids.main.temperatures.0: 0 is not a temperature: it must be > 0 (or std)"),
        (["--set", "data.root=nowhere", "--set", "data.name=my_photos"], "my_photos"),
        (["cifar10", "--set", "data.root=empty"], "empty/cifar-10-python.tar.gz"),
        (["--set", "limit_train=100000"], "data.limit_train"),
    ],
)
def test_a_wrong_setting_is_one_line_and_no_traceback(fresh_project, arguments, says):
    result = fresh_project.reproduce(*arguments, settings=())
    assert result.returncode == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert all(line.startswith(("error: ", "not finished")) for line in result.stderr.splitlines())
    assert not (fresh_project.results / "digits").exists()


def test_plain_snakemake_says_it_too(fresh_project):
    result = fresh_project.snakemake("--config", "epoch=3", "--dry-run")
    assert result.returncode == 1
    assert "epoch: unknown key (did you mean epochs?)" in result.stdout + result.stderr


def test_plain_snakemake_reads_the_config_as_reproduce_does(fresh_project):
    config = (fresh_project.folder / "config.yaml").read_text()
    (fresh_project.folder / "own.yaml").write_text(config + "recipe: {epochs: 2}\n")
    result = fresh_project.snakemake("--configfile", "own.yaml", "--dry-run")
    assert result.returncode == 1
    assert "own.yaml, line " in result.stdout + result.stderr
    assert "not valid YAML: key 'recipe' is given twice" in result.stdout + result.stderr
    result = fresh_project.snakemake("--dry-run", "--quiet", "rules", "--config", "temperatures=[2e0]", "seeds=[010]")
    assert result.returncode == 0, result.stderr
    plans = [json.loads(path.read_text()) for path in fresh_project.results.glob("plan/cohorts/*.json")]
    assert {plan["spec"]["seed"] for plan in plans} == {10}
    temperatures = {own["own"].get("temperature") for plan in plans for own in plan["students"].values()}
    assert temperatures - {None} == {2.0}


def test_the_workflow_runs_in_its_own_folder_only(fresh_project, tmp_path_factory):
    elsewhere, own = tmp_path_factory.mktemp("elsewhere"), fresh_project.folder / "Snakefile"
    (elsewhere / "config.yaml").write_text("{}")
    module = f"module vicinal:\n    snakefile: {str(own)!r}\n    config: config\nuse rule * from vicinal\n"
    (elsewhere / "Snakefile").write_text(module)
    for arguments in (
        ("--snakefile", own, "--directory", elsewhere),
        ("--directory", elsewhere),
        ("--snakefile", elsewhere / "Snakefile", "--directory", elsewhere),
    ):
        result = fresh_project.snakemake("--dry-run", *arguments)
        assert result.returncode == 1
        assert (
            f"this workflow runs in its own folder only, and not as a module: cd {own.parent}"
            in result.stdout + result.stderr
        )
        assert not (elsewhere / "results").exists()


def test_a_loss_that_is_no_number_stops_with_the_last_good_weights(fresh_project):
    result = fresh_project.reproduce("--set", "recipe.lr=1e30", "--set", "methods=[kd]")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    teacher = next(line for line in result.stderr.splitlines() if "train_teacher" in line)
    assert "the loss of resnet8_s0-" in teacher
    assert "became NaN or infinite in epoch 1, step " in teacher
    assert "recipe.lr" in teacher
    saved = list(fresh_project.results.glob("teachers/*/diverged/*.safetensors"))
    assert len(saved) == 1
    assert str(saved[0].relative_to(fresh_project.folder)) in teacher
    assert not list(fresh_project.results.glob("students/*"))


def test_a_second_run_on_the_same_results_says_who_is_there(fresh_project):
    first = fresh_project.start(*(argument for setting in SHORT for argument in ("--set", setting)))
    try:
        deadline = time.monotonic() + 180
        while "digits" not in first.stdout.readline():
            assert time.monotonic() < deadline
        second = fresh_project.reproduce()
        assert second.returncode == 1
        assert f"another run is working here (process {first.pid} since" in second.stderr
    finally:
        first.terminate()
        first.communicate(timeout=60)
    third = fresh_project.until("train_teacher")
    assert third.returncode == 0, third.stderr


@pytest.fixture
def small_disk(fresh_project):
    """Results on a disk of their own, of 1 MB; yields a function that sets its size."""
    fresh_project.results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(fresh_project.results)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system (root)")

    def resize(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(fresh_project.results)], check=True)

    yield resize
    subprocess.run(["umount", "-l", str(fresh_project.results)], check=True)


# A disk that seems to have room, as one that others fill meanwhile.
ROOMY = """
import shutil
shutil.disk_usage = lambda path: shutil._ntuple_diskusage(10**12, 0, 10**12)
"""


def test_a_full_disk_loses_nothing(fresh_project, small_disk, tmp_path_factory):
    library = tmp_path_factory.mktemp("library")
    (library / "sitecustomize.py").write_text(ROOMY)
    settings = (*SHORT, "methods=[kd]")
    result = fresh_project.reproduce(library=library, settings=settings)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "no space left on device" in result.stderr.lower()
    before = {path: path.read_bytes() for path in fresh_project.results.glob("data/*/images.npy")}
    assert before
    small_disk("200m")
    again = fresh_project.until("evaluate", settings=settings)
    assert again.returncode == 0, again.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert not [path for path in fresh_project.results.rglob("*") if path.name.startswith((".tmp-", ".old-"))]


def test_ctrl_c_stops_and_the_next_run_goes_on(fresh_project):
    settings = (*SHORT, "methods=[ce, kd]")
    first = fresh_project.start(
        *(argument for setting in settings for argument in ("--set", setting)), start_new_session=True
    )
    # Once a job has finished, others are running.
    while "[" not in (line := first.stdout.readline()):
        assert line
    os.killpg(first.pid, signal.SIGINT)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "stopping" in out
    assert err == "stopped; what is finished is kept, run again to go on\n"
    finished = {path: path.stat().st_mtime_ns for path in fresh_project.results.glob("students/*/weights.safetensors")}
    again = fresh_project.until("distill", settings=settings)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_a_diverged_student_costs_the_others_of_its_cohort_nothing(fresh_project):
    # Logits times 1e300 overflow: that student's loss is no number from the first step on.
    few = ("methods=[kd]", "temperatures=[2]")
    settings = (*(s for s in SHORT if not s.startswith(("temperatures", "epochs"))), "epochs=1", *few)
    result = fresh_project.reproduce("--set", "logit_scales=[1.0, 1.0e+300]", settings=settings)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    [said] = [line for line in result.stderr.splitlines() if line.startswith("error: distill:")]
    assert "resnet8_narrow_from_resnet8_s0-" in said
    assert "became NaN or infinite in epoch 1, step 1" in said
    [saved] = fresh_project.results.glob("cohorts/*/diverged/*.safetensors")
    assert str(saved.relative_to(fresh_project.folder)) in said
    [healthy] = fresh_project.results.glob("students/*/weights.safetensors")
    before = healthy.stat().st_mtime_ns
    again = fresh_project.until("distill", "--set", "logit_scales=[1.0]", settings=settings)
    assert again.returncode == 0, again.stderr
    assert healthy.stat().st_mtime_ns == before

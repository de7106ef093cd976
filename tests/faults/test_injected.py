"""Faults of disks, files, clocks and devices: one clear line each, nothing lost, and the next run goes on."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from conftest import SMALL
from processes import temporary_files
from project import Project

DAY = 86_400


def until(project: Project, rule: str, settings=SMALL, **options):
    """Run all that comes before the end of a rule; returns the result with Snakemake's output as ``stdout``."""
    return project.until(rule, settings=settings, **options)


def trained(project: Project) -> dict[str, tuple[bytes, bytes]]:
    """Return the weights and histories of all models, by their folder."""
    records = [*project.results.glob("students/*/model.json"), *project.results.glob("teachers/*/model/model.json")]
    return {
        path.parent.relative_to(project.results).as_posix(): (
            (path.parent / "weights.safetensors").read_bytes(), (path.parent / "history.parquet").read_bytes(),
        )
        for path in sorted(records)
    }  # fmt: skip


def log(project: Project, pattern: str) -> str:
    [path] = project.results.glob(pattern)
    return path.read_text()


def errors(result) -> list[str]:
    """Return the lines of a failed job's log that Snakemake shows."""
    output = result.stdout + result.stderr
    assert "Traceback" not in output, output
    return [line for line in output.splitlines() if line.startswith("error: ")]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# A disk that is full


def test_a_checkpoint_that_finds_no_room_costs_nothing_but_itself(measured, copy, mount):
    for folder in ("students", "cohorts", "evaluations"):
        shutil.rmtree(copy.results / folder)
    mount(copy.results / "checkpoints", "4k")
    result = until(copy, "distill")
    assert result.returncode == 0, result.stdout + result.stderr
    said = [line for line in log(copy, "cohorts/*/distill.log").splitlines() if "checkpoint" in line]
    assert said
    assert all("no space left on device: going on without this checkpoint" in line for line in said)
    assert trained(copy) == trained(measured)


def test_weights_that_find_no_room_are_written_from_the_checkpoint(measured, copy, mount):
    shutil.rmtree(copy.results / "cohorts")
    shutil.rmtree(copy.results / "students")
    mount(copy.results / "students", "8k")
    result = until(copy, "distill")
    assert result.returncode == 1
    [said] = errors(result)
    assert "results/students/" in said
    assert "no space left on device" in said
    assert list(copy.results.glob("checkpoints/*/*.safetensors"))
    mount(copy.results / "students", "8m")
    result = until(copy, "distill")
    assert result.returncode == 0, result.stdout + result.stderr
    assert ": going on after epoch " in log(copy, "cohorts/*/distill.log")
    assert trained(copy) == trained(measured)
    assert not list(copy.results.glob("checkpoints/*/*"))


@pytest.mark.parametrize(("folder", "rule", "room"), [("evaluations", "evaluate", 32), ("digits", "aggregate", 96)])
def test_tables_that_find_no_room(measured, copy, mount, folder, rule, room):
    mount(copy.results, "16m")
    ignored = shutil.ignore_patterns(folder, ".lock")
    shutil.copytree(measured.results, copy.results, ignore=ignored, dirs_exist_ok=True)
    filler = copy.results / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(1 << 24))
    os.truncate(filler, filler.stat().st_size - (room << 10))
    result = until(copy, rule)
    assert result.returncode == 1
    said = errors(result)
    assert said
    assert all(line.endswith("no space left on device") and f"results/{folder}/" in line for line in said), said
    filler.unlink()
    result = until(copy, rule)
    assert result.returncode == 0, result.stdout + result.stderr
    assert temporary_files(copy.results) == []
    for path in measured.results.glob("evaluations/*/*/*.parquet"):
        assert (copy.results / path.relative_to(measured.results)).read_bytes() == path.read_bytes()


def test_results_that_are_read_only(copy, mount):
    mount(copy.results, options="ro")
    result = copy.reproduce(settings=(*SMALL, "epochs=2"))
    assert result.returncode == 1
    assert result.stderr.startswith("error: results: cannot be written (Read-only file system)")
    assert len(result.stderr.splitlines()) == 1
    # What only reads works.
    for command in ("status", "plan", "gc"):
        result = copy.command(command, *(["results/plan/config.yaml"] if command == "plan" else []))
        assert result.returncode == 0, result.stderr
        assert "Traceback" not in result.stderr
    result = copy.command("verify", "results/plan/config.yaml")
    assert "digits" in result.stdout
    assert result.stderr == ""


# Files that are damaged: checkpoints in end_to_end/test_resume.py


def test_a_damaged_data_store_is_named_and_rebuilt_on_request(measured, copy):
    for folder in ("students", "cohorts", "evaluations"):
        shutil.rmtree(copy.results / folder)
    [path] = copy.results.glob("data/*/images.npy")
    whole = path.read_bytes()
    flip(path)
    result = until(copy, "distill")
    assert result.returncode == 1
    said = errors(result)
    store = f"results/data/{path.parent.name}"
    assert said
    for line in said:
        assert line.startswith(f"error: {store}/images.npy: ")
        assert line.endswith(f"delete {store} and run again to build the store anew")
    assert not list(copy.results.glob("students/*"))
    shutil.rmtree(copy.folder / store)
    result = until(copy, "distill")
    assert result.returncode == 0, result.stdout + result.stderr
    assert path.read_bytes() == whole
    assert trained(copy) == trained(measured)


# A clock that was set back


def set_clock_back(project: Project, seconds: float = DAY) -> None:
    """Make all files younger than now: as if the clock had been set back since."""
    for path in sorted(project.folder.rglob("*")):
        status = path.lstat()
        if not path.is_symlink() and status.st_mtime > 1e9:
            os.utime(path, (status.st_atime + seconds, status.st_mtime + seconds))


def test_after_the_clock_was_set_back_nothing_is_trained_and_nothing_is_left_out(copy):
    before = copy.students()
    set_clock_back(copy)
    assert until(copy, "evaluate").returncode == 0
    after = copy.students()
    assert {id_: {n: content for n, (_, content) in files.items()} for id_, files in after.items()} == {
        id_: {n: content for n, (_, content) in files.items()} for id_, files in before.items()
    }
    set_clock_back(copy)
    before = copy.students()
    more = until(copy, "evaluate", settings=(*SMALL, "methods=[ce,kd]", "temperatures=[2]"))
    assert more.returncode == 0, more.stdout + more.stderr
    after = copy.students()
    assert len(after) == len(before) + 1
    assert {id_: after[id_] for id_ in before} == before
    # The same cohort with one more student: its files are of the future, its plan is new.
    set_clock_back(copy)
    before = copy.students()
    more = until(copy, "evaluate", settings=(*SMALL, "methods=[ce,kd]", "temperatures=[2,4]"))
    assert more.returncode == 0, more.stdout + more.stderr
    after = copy.students()
    assert len(after) == len(before) + 1
    # The teacher and the students; and one student alone, from when there was no teacher to compare it with.
    assert len(list(copy.results.glob("evaluations/*/*/evaluation.json"))) == 1 + len(after) + 1
    status = json.loads(copy.command("status", "--json").stdout)
    assert status["stages"]["evaluations"]["done"] == status["stages"]["evaluations"]["wanted"]


# Devices and workers

SHORT_OF_MEMORY = """
import sys
if sys.argv[-1:] and any("workflow/scripts/{script}" in word for word in sys.orig_argv):
    import torch
    def forward(self, *arguments):
        raise {error}
    torch.nn.Conv2d.forward = forward
"""


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("distill.py", 'torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")'),
        ("distill.py", 'RuntimeError("[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can\'t ...")'),
        ("evaluate.py", 'MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000, 1000000)")'),
    ],
)
def test_a_device_that_is_out_of_memory(copy, tmp_path, script, error):
    shutil.rmtree(copy.results / "evaluations")
    if script == "distill.py":
        shutil.rmtree(copy.results / "cohorts")
        shutil.rmtree(copy.results / "students")
    library = tmp_path / "library"
    library.mkdir()
    (library / "sitecustomize.py").write_text(SHORT_OF_MEMORY.format(script=script, error=error))
    result = until(copy, script.removesuffix(".py"), library=library)
    assert result.returncode == 1
    said = set(errors(result))
    assert said
    for line in said:
        assert line.startswith("error: out of memory (")
        assert "execution.gpu_slots=1" in line
        assert line.endswith("none of these changes results")
    beats = [json.loads(path.read_text()) for path in copy.results.glob("heartbeats/[!.]*.json")]
    assert {beat["error"] for beat in beats} == {line.removeprefix("error: ") for line in said}


def test_a_worker_that_hangs(fresh_project):
    settings = (*SMALL, "epochs=5000", "teacher_recipe.epochs=1")
    run = fresh_project.start(*(part for setting in settings for part in ("--set", setting)), start_new_session=True)

    def wait_for(condition) -> dict:
        deadline = time.monotonic() + 180
        while True:
            jobs = json.loads(fresh_project.command("status", "--json").stdout)["running"]
            for job in jobs:
                if job["stage"] == "cohorts" and condition(job):
                    return job
            assert time.monotonic() < deadline, jobs
            time.sleep(0.2)

    try:
        job = wait_for(lambda job: job["done"])
        os.kill(job["pid"], signal.SIGSTOP)
        [beat] = fresh_project.results.glob("heartbeats/cohorts-*.json")
        os.utime(beat, (time.time() - 120, time.time() - 120))
        assert wait_for(lambda job: job["silent"])["age"] > 100
        text = fresh_project.command("status").stdout
        assert "no sign of life for 2 min" in " ".join(text.split())
        os.kill(job["pid"], signal.SIGCONT)
        later = wait_for(lambda job: not job["silent"])
        assert later["pid"] == job["pid"]
        assert run.poll() is None
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()

"""Results are verified, moved to another machine and cleared away. The tests build on each other, in this order."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pandas as pd
import pytest
from project import make_project

from vicinal.files import sha256


def settings(temperature):
    grid = f"{{teachers: [resnet8], students: [resnet8_narrow], methods: [kd], temperatures: [{temperature}]}}"
    return ("seeds=[0]", "epochs=2", "limit_train=60", "limit_test=120", "pairs=100", f"grids=[{grid}]")


def run(project, command, *arguments, setting=None):
    options = [part for value in setting or () for part in ("--set", value)]
    return project.command(command, *arguments, *options)


@contextmanager
def kept(*paths):
    """Put files back as they were after the block, times and all: Snakemake looks at these."""
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    yield
    for path, (content, time) in before.items():
        path.write_bytes(content)
        os.utime(path, ns=(time, time))


@pytest.fixture(scope="module")
def finished(project):
    result = project.reproduce(settings=settings(1))
    assert result.returncode == 0, result.stdout + result.stderr
    return project


def test_a_finished_run_verifies(finished):
    result = run(finished, "verify", setting=settings(1))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1].startswith("digits: 2 models, ")
    assert result.stdout.endswith("all agree\n")


def test_verification_needs_no_torch(finished):
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['reproduce', 'verify', 'results/plan/config.yaml']; "
        "from vicinal.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, cwd=finished.folder, env=finished.environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("all agree\n")


@pytest.mark.parametrize(
    "file",
    [
        "students/*/weights.safetensors",
        "teachers/*/model/weights.safetensors",
        "evaluations/*/*/predictions.parquet",
        "digits/metrics.parquet",
        "digits/figures/temperature.png",
        "digits/report.html",
        "data/*/images.npy",
    ],
)
def test_one_changed_byte_is_named(finished, file):
    path = sorted(finished.results.glob(file))[0]
    with kept(path):
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        result = run(finished, "verify", "results/plan/config.yaml")
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{path.relative_to(finished.folder)}: its checksum is not the one in ")
    assert "run ./reproduce" in lines[0]
    assert lines[-1].endswith(": 1 problem")


def test_an_edited_table_is_named_though_its_checksum_was_edited_too(finished):
    path, record = finished.results / "digits/metrics.parquet", finished.results / "digits/provenance.json"
    with kept(path, record):
        table = pd.read_parquet(path)
        table.loc[3, "value"] += 1e-9
        table.to_parquet(path, index=False)
        edited = json.loads(record.read_text())
        edited["sha256"]["metrics.parquet"] = sha256(path)
        record.write_text(json.dumps(edited))
        result = run(finished, "verify", setting=settings(1))
    assert result.returncode == 1
    assert "results/digits/metrics.parquet: value in row 3 is " in result.stdout


def test_a_foreign_file_is_named(finished):
    path = finished.results / "students/mine.txt"
    path.write_text("a note")
    result = run(finished, "verify", setting=settings(1))
    path.unlink()
    assert result.returncode == 1
    assert result.stdout.startswith("results/students/mine.txt: a foreign file; ")


def test_copied_results_leave_nothing_to_do_and_a_damaged_copy_is_named(finished, tmp_path):
    other = make_project(tmp_path)
    shutil.copytree(finished.results, other.results)  # keeps times, as rsync -a does
    before = other.students()
    again = other.reproduce(settings=settings(1))
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stdout
    assert other.students() == before
    assert run(other, "verify", setting=settings(1)).stdout.endswith("all agree\n")
    for file in ("teachers/*/model/weights.safetensors", "evaluations/*/*/measures.parquet"):
        path = sorted(other.results.glob(file))[0]
        with kept(path):
            path.write_bytes(path.read_bytes()[:-1])
            result = run(other, "verify", setting=settings(1))
        assert result.returncode == 1
        assert result.stdout.startswith(f"{path.relative_to(other.folder)}: its checksum is not the one in ")


def test_gc_lists_what_a_changed_setting_left_and_removes_it(finished):
    before = finished.students()
    # The tables only: figures and report take longer than the training here.
    changed = finished.reproduce("--", "results/digits/summary.csv", settings=settings(2))
    assert changed.returncode == 0, changed.stderr
    [old] = before
    listed = run(finished, "gc", "--all")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert f"results/students/{old}" in listed.stdout
    assert old in finished.students()
    assert run(finished, "gc", "--delete").returncode == 0
    [new] = finished.students()
    assert "_t2_" in new
    assert len(list(finished.results.glob("teachers/*/teacher.json"))) == 1
    assert "nothing to remove" in run(finished, "gc").stdout
    copied = shutil.copytree(finished.results / "students" / new, finished.folder / "copied")
    back = finished.reproduce("--", "results/digits/summary.csv", settings=settings(1))
    assert back.returncode == 0, back.stderr
    after = finished.students()
    assert after[old]["weights.safetensors"][1] == before[old]["weights.safetensors"][1]
    assert after[new]["weights.safetensors"][1] == (copied / "weights.safetensors").read_bytes()

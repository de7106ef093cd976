"""Results are verified, moved to another machine and cleared away."""

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
from project import SHORT, make_project

from vicinal.files import sha256

OPTIONS = [part for value in SHORT for part in ("--set", value)]
KD = (*SHORT, "methods=[kd]")
DAMAGED = [
    "students/*/weights.safetensors",
    "teachers/*/model/weights.safetensors",
    "evaluations/*/*/predictions.parquet",
    "digits/metrics.parquet",
    "digits/figures/temperature.png",
    "digits/report.html",
    "data/*/images.npy",
]


def test_a_finished_run_verifies_without_torch(finished):
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['reproduce', 'verify', *sys.argv[1:]]; "
        "from vicinal.cli import main; sys.exit(main())"
    )
    for arguments in (OPTIONS, ["results/plan/config.yaml"]):
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=finished.folder, env=finished.environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.splitlines()[-1].startswith("digits: 7 models, ")
        assert result.stdout.endswith("all agree\n")


def test_one_changed_byte_and_a_foreign_file_are_named(finished):
    damaged = []
    for pattern in DAMAGED:
        path = sorted(finished.results.glob(pattern))[0]
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        damaged.append(str(path.relative_to(finished.folder)))
    (finished.results / "students" / "mine.txt").write_text("a note")
    result = finished.command("verify", "results/plan/config.yaml")
    assert result.returncode == 1
    *lines, last = result.stdout.splitlines()
    assert last.endswith(f": {len(DAMAGED) + 1} problems")
    found = dict(line.split(": ", 1) for line in lines)
    assert found.keys() == {*damaged, "results/students/mine.txt"}
    assert found.pop("results/students/mine.txt").startswith("a foreign file; ")
    for problem in found.values():
        assert problem.startswith("its checksum is not the one in ")
        assert "run ./reproduce" in problem


def test_an_edited_table_is_named_though_its_checksum_was_edited_too(finished):
    path, record = finished.results / "digits/metrics.parquet", finished.results / "digits/provenance.json"
    table = pd.read_parquet(path)
    table.loc[3, "value"] += 1e-9
    table.to_parquet(path, index=False)
    edited = json.loads(record.read_text())
    edited["sha256"]["metrics.parquet"] = sha256(path)
    record.write_text(json.dumps(edited))
    result = finished.command("verify", *OPTIONS)
    assert result.returncode == 1
    assert "results/digits/metrics.parquet: value in row 3 is " in result.stdout


def test_copied_results_leave_nothing_to_do_and_a_damaged_copy_is_named(finished, tmp_path):
    other = make_project(tmp_path / "other")
    shutil.rmtree(other.results, ignore_errors=True)
    shutil.copytree(finished.results, other.results)  # keeps times, as rsync -a does
    before = other.students()
    again = other.reproduce()
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stdout
    assert other.students() == before
    assert other.command("verify", *OPTIONS).stdout.endswith("all agree\n")
    for file in ("teachers/*/model/weights.safetensors", "evaluations/*/*/measures.parquet"):
        path = sorted(other.results.glob(file))[0]
        content, stat = path.read_bytes(), path.stat()
        path.write_bytes(content[:-1])
        result = other.command("verify", *OPTIONS)
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert result.returncode == 1
        assert result.stdout.startswith(f"{path.relative_to(other.folder)}: its checksum is not the one in ")


def test_gc_lists_what_a_changed_setting_left_and_removes_it(finished):
    before = finished.students()
    # As far as the tables: what they name is kept.
    changed = finished.until("aggregate", settings=(*KD, "temperatures=[2]"))
    assert changed.returncode == 0, changed.stderr
    listed = finished.command("gc", "--all")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert all(f"results/students/{old}" in listed.stdout for old in before)
    assert before.keys() < finished.students().keys()
    assert finished.command("gc", "--delete").returncode == 0
    [new] = finished.students()
    assert "_t2_" in new
    assert len(list(finished.results.glob("teachers/*/teacher.json"))) == 1
    assert "nothing to remove" in finished.command("gc").stdout
    copied = shutil.copytree(finished.results / "students" / new, finished.folder / "copied")
    back = finished.until("distill", settings=(*KD, "temperatures=[1]"))
    assert back.returncode == 0, back.stderr
    after = finished.students()
    [old] = after.keys() - {new}
    assert after[old]["weights.safetensors"][1] == before[old]["weights.safetensors"][1]
    assert after[new]["weights.safetensors"][1] == (copied / "weights.safetensors").read_bytes()

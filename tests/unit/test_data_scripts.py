"""The scripts that fetch and prepare data: their files, records and keys, and one line for what is wrong."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from scripts import SCRIPTS, run_script
from vicinal import files
from vicinal.data.catalogue import resolve_source
from vicinal.data.store import DataStore
from vicinal.jobs.fingerprint import stage_fingerprint
from vicinal.jobs.plan import recorded_key

SPEC = {"name": "digits", **resolve_source("digits", "nowhere"), "split_seed": 0}


def options(tmp_path: Path, output: Path, **changes) -> list:
    """Write a plan; return the options of the script that prepares its data."""
    plan = {"stage": "data", "id": "d", "key": "the key", "code": stage_fingerprint("data"), "spec": SPEC}
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan | changes))
    return ["--plan", path, "--output", output, "--results", tmp_path / "results"]


def test_the_script_makes_the_store_its_record_and_its_key(tmp_path):
    output = tmp_path / "results" / "data" / "d" / "data.json"
    done = run_script("prepare_data.py", *options(tmp_path, output))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "150 train, 597 validation, 900 test" in done.stderr
    assert DataStore(output, verify=True).meta == files.read_json(output)
    assert recorded_key(output) == "the key"
    # Snakemake removes the declared output before it runs the job again.
    output.unlink()
    done = run_script("prepare_data.py", *options(tmp_path, output))
    assert "kept" in done.stderr
    assert DataStore(output).meta == files.read_json(output)


def test_a_write_that_fails_is_one_line_that_says_where(tmp_path):
    output = tmp_path / "store" / "meta.json"

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = subprocess.run(
        [sys.executable, SCRIPTS / "prepare_data.py", *options(tmp_path, output)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SCRIPTS.parent)}, preexec_fn=limit,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {output.parent}: file too large"
    assert list(output.parent.iterdir()) == []


def test_an_unwritable_output_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run_script("prepare_data.py", *options(tmp_path, tmp_path / "file" / "meta.json"))
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path / 'file'}: file exists\n"


def test_a_plan_of_other_code_stops_the_script(tmp_path):
    done = run_script("prepare_data.py", *options(tmp_path, tmp_path / "store" / "meta.json", code="old"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "the code changed" in done.stderr
    assert not (tmp_path / "store").exists()


def test_the_fetch_script_writes_its_record_and_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = {"stage": "downloads", "id": "digits-1", "key": "k", "spec": {"name": "digits", "source": "digits"}}
    files.write_json(tmp_path / "plan.json", plan)
    record = tmp_path / "records" / "digits.json"
    assert run_script("fetch_data.py", "--plan", "plan.json", "--record", record).returncode == 0
    assert files.read_json(record) == {"name": "digits", **resolve_source("digits", tmp_path)}
    assert recorded_key(record) == "k"
    files.write_json(tmp_path / "plan.json", {**plan, "spec": {"name": "didgets", "source": "auto"}})
    done = run_script("fetch_data.py", "--plan", "plan.json", "--record", record)
    assert done.returncode == 1
    assert done.stderr.startswith('error: data.name: "didgets" is no known data set (did you mean digits?)')
    assert len(done.stderr.splitlines()) == 1

"""What the scripts of all jobs share: their options, the check of their plan, lease and heartbeat, and the output."""

import json
import subprocess
import sys

import pytest

from vicinal.errors import VicinalError
from vicinal.files import WORKFLOW
from vicinal.jobs.fingerprint import stage_fingerprint
from vicinal.jobs.plan import recorded_key
from vicinal.jobs.script import checked_plan, job_parser, leased_job, write_output
from vicinal.results import HEARTBEATS, LOCKS

VGG = ("vicinal.models.vgg",)
PLAN = {"stage": "teachers", "id": "resnet8_s0-1", "key": "k", "spec": {}, "code": stage_fingerprint("teachers", VGG)}


def test_every_job_has_a_plan_and_a_results_folder(capsys):
    args = job_parser("", "teachers").parse_args(["--plan", "a.json"])
    assert {name: str(value) for name, value in vars(args).items()} == {"plan": "a.json", "results": "results"}
    with pytest.raises(SystemExit):
        job_parser("", "teachers", data=True).parse_args(["--plan", "a.json"])
    assert "required: --data" in capsys.readouterr().err


def test_a_plan_of_other_code_is_refused(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN))
    assert checked_plan(path, "teachers", lambda spec: VGG) == PLAN
    with pytest.raises(VicinalError, match="resnet8_s0-1: the code changed after this run was planned"):
        checked_plan(path, "teachers")


def test_lease_and_heartbeat_lie_in_the_results_folder_as_long_as_the_job_runs(tmp_path):
    results = tmp_path / "elsewhere"
    with leased_job(results, PLAN, on_wait=pytest.fail):
        assert json.loads((results / HEARTBEATS / "teachers-resnet8_s0-1.json").read_text())["id"] == PLAN["id"]
        assert list((results / LOCKS).glob("resnet8_s0-1*"))
    assert not list((results / HEARTBEATS).iterdir())
    assert not list((results / LOCKS).glob("resnet8_s0-1*"))


def test_an_output_has_the_key_of_its_plan_beside_it(tmp_path):
    write_output(tmp_path / "teacher.json", {"id": 1}, PLAN)
    assert json.loads((tmp_path / "teacher.json").read_text()) == {"id": 1}
    assert recorded_key(tmp_path / "teacher.json") == "k"


JOBS = ["train_teacher", "distill", "evaluate", "evaluate_corruptions", "claims", "plot", "report"]


def test_a_job_with_nothing_to_do_waits_for_no_library_and_a_training_for_torch_alone():
    heavy = {"torch", "pandas", "scipy", "matplotlib", "pydantic", "pyarrow.dataset"}
    code = f"import runpy, sys; [runpy.run_path(f'workflow/scripts/{{job}}.py') for job in {JOBS}];"
    code += f"print(sorted({heavy} & set(sys.modules))); import vicinal.training.cohort;"
    code += f"print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=WORKFLOW.parent)
    assert done.stdout.splitlines() == ["[]", "['torch']"]

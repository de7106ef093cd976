"""Trainings that several processes share, on the CPU: started, stopped, killed, and by torchrun."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from trial import OFTEN, SOON, make_trial, provenances

from vicinal.interruption import TO_BE_CONTINUED

SETTINGS = ["seeds=[0]", "teachers=[resnet8]", "methods=[kd_mixup]", "temperatures=[1,4]", "logit_scales=[1]"]
SETTINGS += [
    "students=[resnet8_narrow]",
    "epochs=4",
    "limit_train=100",
    "recipe.batch_size=25",
    "teacher_recipe.epochs=1",
]
# Of the size of a tensor: where an activation is at the kink of its ReLU, to rounding, that decides on its gradient.
TOLERANCE = 1e-3
TWO = ("--gpus-per-job", "2", "--checkpoint-seconds", "1000")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A finished trial of single processes."""
    return make_trial(tmp_path_factory.mktemp("project"), SETTINGS)


@pytest.fixture(scope="module")
def together(alone, tmp_path_factory):
    """The same with two processes."""
    trial = alone.copy(tmp_path_factory.mktemp("together"), "teachers")
    code, out, err = trial.run("cohorts", *TWO)
    assert code == 0, err
    assert "2 processes share each batch, on the CPU" in out
    assert err.count(" epochs, ") <= 4  # the first process alone says how far it is
    assert trial.left_over() == []
    return trial


def weights(trial, pattern="students/*/weights.safetensors"):
    return {path.parent.name: load_file(path) for path in sorted(trial.results.glob(pattern))}


def children(pid):
    """Return the processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


def test_a_cohort_in_two_processes_is_that_of_one(alone, together):
    one, two = weights(alone), weights(together)
    assert len(one) == 2
    assert one.keys() == two.keys()
    for id_, state in one.items():
        assert state.keys() == two[id_].keys()
        for name, value in state.items():
            other = two[id_][name]
            assert (value.double() - other.double()).norm() <= TOLERANCE * value.double().norm(), name
    assert [made["processes"] for made in provenances(together, "students/*/model.json")] == [2, 2]
    assert [made["processes"] for made in provenances(alone, "students/*/model.json")] == [1, 1]


def test_stopped_by_its_deadline_and_by_a_signal_it_ends_as_undisturbed(together, tmp_path):
    trial = together.copy(tmp_path, "teachers")
    code, _, err = trial.run("cohorts", *TWO, first=SOON)
    assert code == TO_BE_CONTINUED, err
    assert err.splitlines()[-1].endswith(", before its deadline; run again to go on")
    assert "Traceback" not in err
    assert len(trial.checkpoints()) == 1

    one_by_one = ("--cohort-size", "1", "--checkpoint-seconds", "0.02")
    process = trial.start("cohorts", *TWO[:2], *one_by_one, first=OFTEN)
    assert trial.wait_for_checkpoints(process)
    [helper] = children(process.pid)
    # What ends jobs tells their last processes (vicinal.head).
    os.kill(helper, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == TO_BE_CONTINUED, err
    assert "going on after epoch" in out
    assert ", at SIGTERM; run again to go on\n" in err
    assert "Traceback" not in err

    code, out, err = trial.run("cohorts", *TWO)
    assert code == 0, err
    assert trial.artefacts() == together.artefacts()
    assert trial.left_over() == []


def test_a_process_that_is_killed_ends_the_job_with_a_line(together, tmp_path):
    trial = together.copy(tmp_path, "teachers")
    process = trial.start("cohorts", *TWO[:2], "--checkpoint-seconds", "0.02", first=OFTEN)
    assert trial.wait_for_checkpoints(process)
    [helper] = children(process.pid)
    os.kill(helper, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    [plan] = (trial.results / "plan" / "cohorts").glob("*.json")
    assert lines == [f"error: {plan.stem}: process 2 of 2 was killed by signal 9"]
    assert "Traceback" not in err
    # another number of processes goes on there, and the record says so
    code, out, err = trial.run("cohorts")
    assert code == 0, err
    assert "made elsewhere (processes 2, now 1)" in out


def test_where_the_first_process_is_killed_the_others_end(together, tmp_path):
    trial = together.copy(tmp_path, "teachers")
    process = trial.start("cohorts", *TWO[:2], "--checkpoint-seconds", "0.02", first=OFTEN)
    assert trial.wait_for_checkpoints(process)
    [helper] = children(process.pid)
    process.kill()
    _, err = process.communicate(timeout=60)  # to the end of the helper, which has the same pipe
    deadline = time.monotonic() + 10
    while Path(f"/proc/{helper}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{helper}").exists()
    assert "Traceback" not in err


def test_started_by_torchrun(alone, together, tmp_path):
    trial = together.copy(tmp_path, "teachers")
    [plan] = (trial.results / "plan/cohorts").glob("*.json")
    [data], [teacher] = trial.results.glob("data/*/data.json"), trial.results.glob("teachers/*/teacher.json")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [alone.project / "workflow/scripts/distill.py", "--plan", plan, "--data", data, "--teacher", teacher]
    command += ["--students", "results/students", "--manifest", f"results/cohorts/{plan.stem}/manifest.json"]
    command += ["--device", "cpu", *TWO]
    environment = {**os.environ, "PYTHONPATH": str(alone.project / "workflow"), "OMP_NUM_THREADS": "1"}
    for _ in range(2):  # the second time there is nothing to do
        process = subprocess.run(
            command, cwd=trial.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert process.returncode == 0, process.stderr
    assert trial.artefacts() == together.artefacts()


def test_a_teacher_in_two_processes(alone, tmp_path):
    trial = alone.copy(tmp_path)
    code, _, err = trial.run("teachers", *TWO)
    assert code == 0, err
    pattern = "teachers/*/model/weights.safetensors"
    [one], [two] = weights(alone, pattern).values(), weights(trial, pattern).values()
    for name, value in one.items():
        assert (value.double() - two[name].double()).norm() <= TOLERANCE * value.double().norm(), name

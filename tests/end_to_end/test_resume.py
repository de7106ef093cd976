"""Training jobs that are killed, stopped, short of time, or there twice: in the end the same bytes as undisturbed."""

import json
import random
import shutil
import signal
import time

import pytest
from trial import OFTEN, SOON, Trial, make_trial, plan_trial, provenances

from vicinal.jobs.interruption import RESERVE_SECONDS

SETTINGS = ["seeds=[0]", "teachers=[resnet8]", "methods=[kd_mixup]", "temperatures=[1,4]", "grids.calibration=null"]
SETTINGS += ["epochs=12", "limit_train=200", "teacher_recipe.epochs=30"]


@pytest.fixture(scope="session")
def undisturbed(once):
    """A finished trial; read only."""
    folder = once("trial", lambda folder: make_trial(folder, SETTINGS))
    return Trial(folder, folder)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:5000])


def test_a_cohort_that_is_killed_again_and_again_and_finds_damaged_checkpoints(undisturbed, tmp_path):
    trial = undisturbed.copy(tmp_path, "teachers")
    generator = random.Random(2026)
    said = []
    for attempt in range(3):
        process = trial.start("cohorts", "--checkpoint-seconds", "0.02", first=OFTEN)
        assert trial.wait_for_checkpoints(process, 3)
        time.sleep(generator.uniform(0, 0.1))
        process.kill()
        out, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, (out, err)
        said.append(out + err)
        newest = list(trial.checkpoints())[-1]
        if attempt == 0:
            truncate(newest)
        elif attempt == 1:
            flip(newest)
        assert not list(trial.results.glob("students/*/model.json"))
    assert "going on after" not in said[0]
    for out in said[1:]:
        assert "a damaged checkpoint, left out" in out
        assert "going on after epoch" in out
    code, out, err = trial.run("cohorts")
    assert (code, "Traceback" in err) == (0, False)
    assert "going on after epoch" in out
    assert trial.artefacts() == undisturbed.artefacts()
    assert trial.left_over() == []
    for made in provenances(trial, "students/*/model.json"):
        assert len(made["resumed"]) == 3
        positions = [(resumed["epoch"], resumed["step"]) for resumed in made["resumed"]]
        assert positions == sorted(positions)
        assert all(resumed["changed"] == {} for resumed in made["resumed"])
        assert made["epoch_seconds"]["number"] == 12
        assert made["wall_seconds"] > 12 * made["epoch_seconds"]["mean"] > 0


def test_a_teacher_that_runs_out_of_time_and_is_told_to_stop(undisturbed, tmp_path):
    trial = undisturbed.copy(tmp_path)
    code, out, err = trial.run("teachers", "--deadline-minutes", str(RESERVE_SECONDS / 60))
    assert code == 75
    assert "stopped before its deadline, before the training began" in err
    assert trial.checkpoints() == {}

    code, out, err = trial.run("teachers", "--deadline-minutes", "60", first=SOON)
    assert code == 75, err
    last = err.splitlines()[-1]
    assert "stopped at epoch " in last
    assert last.endswith(", before its deadline; run again to go on")
    assert len(trial.checkpoints()) == 1

    for number, expected in ((signal.SIGTERM, 75), (signal.SIGINT, 130)):
        process = trial.start("teachers", "--checkpoint-seconds", "0.02", first=OFTEN)
        assert trial.wait_for_checkpoints(process)
        process.send_signal(number)
        # The same wish twice, as from a terminal and from Snakemake.
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == expected, (out, err)
        assert "going on after epoch" in out
        assert f", at {signal.Signals(number).name}; run again to go on\n" in err
        assert "Traceback" not in err
        assert not list(trial.results.glob("heartbeats/*"))
        assert not list(trial.results.glob("locks/*.lease"))

    both = list(trial.checkpoints())
    flip(both[0])
    if len(both) > 1:
        truncate(both[1])
    code, _, err = trial.run("teachers")
    assert code == 0
    assert "no checkpoint is whole; starting from the beginning" in err
    expected = {name: value for name, value in undisturbed.artefacts().items() if name.startswith("teachers")}
    assert trial.artefacts() == expected
    assert trial.left_over() == []
    assert provenances(trial, "teachers/*/model/model.json")[0]["resumed"] == []


@pytest.mark.parametrize("with_lease", [True, False], ids=["lease", "no lease"])
@pytest.mark.parametrize("number", [3, pytest.param(5, marks=pytest.mark.long)])
def test_several_writers(undisturbed, tmp_path, number, with_lease):
    trial = undisturbed.copy(tmp_path, "teachers")
    if not with_lease:
        (trial.results / "locks").write_text("no folder")
    writers = [trial.start("cohorts", "--checkpoint-seconds", "0.5") for _ in range(number)]
    outputs = [writer.communicate(timeout=120) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * number, outputs
    assert trial.artefacts() == undisturbed.artefacts()
    assert trial.left_over() == []
    out, err = ("".join(texts) for texts in zip(*outputs, strict=True))
    assert "Traceback" not in err
    if with_lease:
        assert out.count("2 students to train, 0 finished before") == 1
        assert out.count("0 students to train, 2 finished before") == number - 1
        assert out.count("another process is working on it") >= number - 1
    else:
        assert err.count("going on without a lease") == number
    # Of one job, or of two that finished them in turn: each was written once, by a whole training.
    for made in provenances(trial, "students/*/model.json"):
        assert made["resumed"] == [] or not with_lease


def test_models_that_cannot_be_written_are_one_line_and_go_on_beside_one_that_is_added(undisturbed, tmp_path):
    trial = undisturbed.copy(tmp_path, "teachers")
    # As on a disk that is full, nothing can be written there.
    (trial.results / "students").symlink_to("nowhere")
    process = trial.start("cohorts", "--checkpoint-seconds", "0.1", first=OFTEN)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out
    assert [line for line in err.splitlines() if "error" in line] == ["error: results/students: file exists"]
    assert trial.checkpoints()

    (trial.results / "students").unlink()
    shutil.copy(trial.project / "config.yaml", tmp_path)
    plan_trial(tmp_path, trial.project, [*SETTINGS, "temperatures=[1,4,16]"])
    code, out, err = trial.run("cohorts")
    assert code == 0, err
    assert "1 of 3 are not in its checkpoint; they start afterwards" in out
    before, after = undisturbed.artefacts(), trial.artefacts()
    for name in before:
        assert name.startswith("cohorts") or after[name] == before[name], name
    [added] = [path for path in trial.results.glob("students/*") if "_t16_" in path.name]
    assert json.loads((added / "model.json").read_text())["provenance"]["resumed"] == []
    assert trial.left_over() == []


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--deadline-minutes", "0"], "must be a number above 0"),
        (["--deadline-minutes", "soon"], "'soon': must be a number above 0"),
        (["--checkpoint-seconds", "-1"], "must be a number above 0"),
        (["--checkpoint-seconds", "nan"], "must be a number above 0"),
    ],
)
def test_times_that_are_none(undisturbed, tmp_path, option, says):
    code, _, err = undisturbed.copy(tmp_path).run("teachers", *option)
    assert code == 2
    assert says in err

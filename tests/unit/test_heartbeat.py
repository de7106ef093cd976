"""Heartbeats: what a job leaves of itself while it runs, when it fails, when it is killed, and how it is read."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vicinal.errors import VicinalError
from vicinal.jobs import progress
from vicinal.jobs.heartbeat import EVERY, GONE_SECONDS, SILENT_SECONDS, Heartbeat, lives, read_beats, update_heartbeat
from vicinal.jobs.plan import student_labels
from vicinal.jobs.progress import QUIET_SECONDS, Progress
from vicinal.jobs.script import heartbeat_of


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_job_that_ends_well_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with Heartbeat(tmp_path, "cohorts", "a_s0-12345678", every=0.01) as heartbeat:
        assert heartbeat.path == tmp_path / "heartbeats" / "cohorts-a_s0-12345678.json"
        first = read(heartbeat.path)
        assert first["stage"], first["id"] == ("cohorts", "a_s0-12345678")
        assert (first["host"], first["pid"]) == (socket.gethostname(), os.getpid())
        assert (first["state"], first["slurm_job_id"], first["done"]) == ("running", "4711", None)
        assert first["updated"].endswith("+00:00")
        heartbeat.update(device="cpu")
        update_heartbeat(done=3)
        later = wait_for(lambda: (beat := read(heartbeat.path))["done"] == 3 and beat)
        assert later["device"] == "cpu"
        assert later["began"] == first["began"]
        assert later["seconds"] >= first["seconds"] == 0
    assert list((tmp_path / "heartbeats").iterdir()) == []


def test_without_a_heartbeat_an_update_does_nothing(tmp_path):
    update_heartbeat(done=3)
    with Heartbeat(tmp_path, "cohorts", "a") as heartbeat:
        assert read(heartbeat.path)["done"] is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (VicinalError("the loss became NaN\nsecond line"), "the loss became NaN"),
        (OSError(28, "No space left on device", "results/x"), "results/x: no space left on device"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_job_that_fails_says_so(tmp_path, error, words):
    with pytest.raises(type(error)), Heartbeat(tmp_path, "teachers", "t") as heartbeat:
        raise error
    beat = read(heartbeat.path)
    assert (beat["state"], beat["error"]) == ("failed", words)
    [beat] = read_beats(tmp_path, time.time() + 1000)
    assert not lives(beat)
    assert not beat["silent"]
    assert not beat["gone"]


def test_an_interrupted_job_did_not_fail(tmp_path):
    with pytest.raises(KeyboardInterrupt), Heartbeat(tmp_path, "teachers", "t") as heartbeat:
        raise KeyboardInterrupt
    assert not heartbeat.path.exists()


def test_a_killed_job_leaves_its_file_and_is_known_to_be_gone(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from vicinal.jobs.heartbeat import Heartbeat\n"
        "with Heartbeat(Path(sys.argv[1]), 'cohorts', 'k'): time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    path = tmp_path / "heartbeats" / "cohorts-k.json"
    wait_for(path.exists)
    [beat] = read_beats(tmp_path, path.stat().st_mtime + GONE_SECONDS + 1)
    assert not beat["gone"]  # the process is there
    process.send_signal(signal.SIGKILL)
    process.wait()
    mtime = path.stat().st_mtime
    assert lives(read_beats(tmp_path, mtime + 1)[0])  # nobody can know yet
    for age in (GONE_SECONDS + 1, SILENT_SECONDS + 1, -3600):  # the last: the clock was set back
        [beat] = read_beats(tmp_path, mtime + age)
        assert (beat["gone"], beat["silent"], lives(beat)) == (True, False, False)
        assert beat["age"] == pytest.approx(max(0, age), abs=1e-3)


@pytest.mark.parametrize(
    ("age", "silent"), [(0, False), (60, False), (60 + EVERY - 0.5, False), (60 + EVERY + 0.5, True), (-600, False)]
)
def test_a_job_on_another_machine_is_silent_above_a_minute(tmp_path, age, silent):
    with Heartbeat(tmp_path, "cohorts", "far") as heartbeat:
        other = {**read(heartbeat.path), "host": "node7", "pid": 2**22 + 1, "id": "elsewhere"}
        path = heartbeat.path.with_name("cohorts-elsewhere.json")
        path.write_text(json.dumps(other))
        os.utime(path, (1e9, 1e9))
        beats = {beat["id"]: beat for beat in read_beats(tmp_path, 1e9 + age)}
    assert (beats["elsewhere"]["silent"], lives(beats["elsewhere"])) == (silent, not silent)
    assert not beats["elsewhere"]["gone"]


def test_nobody_reads_half_a_file(tmp_path):
    with Heartbeat(tmp_path, "cohorts", "big", every=0.0005) as heartbeat:
        heartbeat.update(models={f"student-{k}": {"loss": k / 7, "accuracy": None} for k in range(2000)})
        wait_for(lambda: len(read(heartbeat.path)["models"]) == 2000)
        for _ in range(150):
            assert len(read(heartbeat.path)["models"]) == 2000


def test_a_file_that_cannot_be_written_is_said_once_and_stops_nothing(tmp_path, capsys):
    (tmp_path / "heartbeats").write_text("no folder")
    with Heartbeat(tmp_path, "cohorts", "a", every=0.005) as heartbeat:
        time.sleep(0.1)
    assert (tmp_path / "heartbeats").read_text() == "no folder"
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(str(heartbeat.path))
    assert "cannot follow this job" in line


def test_a_full_disk_passes(tmp_path, monkeypatch, capsys):
    with Heartbeat(tmp_path, "cohorts", "a", every=0.005) as heartbeat:
        with monkeypatch.context() as patch:

            def full(*args, **kwargs):
                raise OSError(28, "No space left on device")

            patch.setattr(Path, "write_text", full)
            wait_for(lambda: "No space left" in capsys.readouterr().err)
        update_heartbeat(done=1)
        wait_for(lambda: read(heartbeat.path)["done"] == 1)
    assert capsys.readouterr().err == ""


def test_other_files_are_no_heartbeats(tmp_path):
    folder = tmp_path / "heartbeats"
    assert read_beats(tmp_path, time.time()) == []
    folder.mkdir()
    for name, text in {"a.json": "{", "b.json": "[1]", "c.json": "{}", "d.txt": "x", ".tmp-e.json": "{}"}.items():
        (folder / name).write_text(text)
    wrong = {"stage": "s", "id": "i", "state": "running", "seconds": 1, "seconds_left": None, "pid": "x"}
    (folder / "f.json").write_text(json.dumps({**wrong, "host": socket.gethostname()}))
    assert read_beats(tmp_path, time.time() + 1000) == []


def test_it_costs_less_than_a_thousandth(tmp_path):
    heartbeat = Heartbeat(tmp_path, "cohorts", "a")
    heartbeat.update(models={f"student-{k}": {"loss": 1.0, "accuracy": 0.5} for k in range(20)})
    began = time.process_time()
    for _ in range(100):
        heartbeat._write()
    assert (time.process_time() - began) / 100 < EVERY / 1000


def test_a_step_within_an_epoch_costs_microseconds():
    meter = Progress("job", 100, "epochs")
    began = time.process_time()
    for step in range(20_000):
        meter.within(step / 1000)
    assert (time.process_time() - began) / 20_000 < 1e-5


def test_progress_fills_the_heartbeat_and_speaks_after_a_silence(tmp_path, monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    heartbeat = Heartbeat(tmp_path, "cohorts", "a")
    monkeypatch.setattr("vicinal.jobs.heartbeat._current", [heartbeat])
    meter = Progress("job", 10, "epochs", images=600)
    assert heartbeat._content["done"] == 0
    clock[0] += 0.5
    meter.within(0.05)  # too soon to be told
    assert heartbeat._content["done"] == 0
    clock[0] += 3.5  # 4 s
    meter.within(0.4)
    told = heartbeat._content
    assert (told["done"], told["total"], told["unit"]) == (0.4, 10, "epochs")
    assert told["seconds_left"] == pytest.approx(96)  # 0.1 epochs a second
    assert told["images_per_second"] == pytest.approx(60)
    assert capsys.readouterr().err == ""
    clock[0] += QUIET_SECONDS
    meter.within(1.9)
    assert capsys.readouterr().err == "job: 1.90/10 epochs, 0.1 epochs/s, 19 s, about 81 s left\n"
    clock[0] += 1
    meter.update(2, "loss 0.5", {"a": {"loss": 0.5, "accuracy": None}})
    assert capsys.readouterr().err == "job: 2/10 epochs, 0.1 epochs/s, 20 s, about 80 s left, loss 0.5\n"
    assert heartbeat._content["models"] == {"a": {"loss": 0.5, "accuracy": None}}


def test_students_are_told_apart_by_what_differs_among_them(tmp_path, monkeypatch, capsys):
    own = {
        "a": {"temperature": 2, "loss": {"kd_weight": 1}},
        "b": {"temperature": 2, "alpha": 1, "loss": {"kd_weight": 1}},
        "c": {"temperature": 2, "alpha": 1, "logit_scale": 0.5, "loss": {"kd_weight": 1}},
        "d": {"temperature": "std", "alpha": 1, "loss": {"kd_weight": 0.9, "ce_weight": 0.1}},
        "e": {"temperature": 4, "alpha": 0.4, "loss": {"kd_weight": 1}},
    }
    plan = {
        "stage": "cohorts",
        "id": "c-1",
        "spec": {"teacher": {}},
        "students": {k: {"own": v} for k, v in own.items()},
    }
    labels = student_labels(plan)
    assert labels == {
        "a": "KD T=2 kd=1",
        "b": "KD + mixup α=1 T=2 kd=1",
        "c": "KD + mixup α=1 T=2 c=0.5 kd=1",
        "d": "KD + mixup α=1 T=std kd=0.9 ce=0.1",
        "e": "KD + mixup α=0.4 T=4 kd=1",
    }
    same = {k: own[k] for k in "abc"}
    assert student_labels({**plan, "students": {k: {"own": v} for k, v in same.items()}}) == {
        "a": "KD", "b": "KD + mixup", "c": "KD + mixup c=0.5"
    }  # fmt: skip
    alone = {"x": {"own": {"loss": {"ce_weight": 1}}}, "y": {"own": {"alpha": 1, "loss": {"ce_weight": 1}}}}
    assert student_labels({"spec": {}, "students": alone}) == {"x": "CE", "y": "CE + mixup"}
    assert student_labels({"stage": "teachers", "id": "t", "spec": {}}) == {}

    with heartbeat_of(tmp_path, plan) as heartbeat:
        meter = Progress("c-1", 10, "epochs")
        curves = {"c": {"loss": 0.5, "accuracy": 0.75}, "e": {"loss": None, "accuracy": None}}
        meter.update(10, "T=2 loss 0.5, T=4", curves)
        assert read(heartbeat.path)["labels"] == labels
    line = capsys.readouterr().err
    assert line.endswith(
        "left, KD + mixup α=1 T=2 c=0.5 kd=1: loss 0.5000 val 75.0%, KD + mixup α=0.4 T=4 kd=1: no finite loss\n"
    )

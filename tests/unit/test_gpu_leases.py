"""Slots of GPUs between processes: who gets which, who waits, and what becomes of the slots of killed jobs."""

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from gpu_machine import A, B, install_nvidia_smi, listing

from vicinal.errors import VicinalError, describe
from vicinal.jobs.gpu_slots import slot_folder, take_slot
from vicinal.jobs.gpus import VISIBLE, list_gpus

# Leases one of the devices, says so, and holds it as argv says: for so many seconds, or until it is killed.
JOB = """
import json, os, subprocess, sys, time
from pathlib import Path
from vicinal.jobs.gpu_slots import take_slot

how = json.loads(sys.argv[1])
if how.get("start"):
    print("ready", flush=True)
    while not Path(how["start"]).exists():
        time.sleep(0.01)
held = take_slot(how["devices"], how.get("slots", 1), Path(how["folder"]), how.get("artefact", ""), poll=0.02)
began = time.monotonic()
child = None
if how.get("child") == "fork":
    child = os.fork()
    if child == 0:
        held.release()  # of no effect: it is the parent's
        time.sleep(60)
        os._exit(0)
elif how.get("child") == "multiprocessing":
    import multiprocessing
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    process.start()
    child = process.pid
elif how.get("child") == "exec":
    child = subprocess.Popen(["sleep", "60"], close_fds=False).pid
if "seconds" in how:
    time.sleep(how["seconds"])
    print(json.dumps([os.environ["CUDA_VISIBLE_DEVICES"], held.number, began, time.monotonic()]))
else:
    print(json.dumps([held.device, held.number, os.getpid(), child]), flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def no_gpus_but_these(monkeypatch):
    """Let jobs know devices by their names alone: this machine's own GPUs are left out."""
    monkeypatch.setenv("PATH", "/nowhere:/bin")
    monkeypatch.setenv(VISIBLE, "before")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr("vicinal.jobs.gpus.PROC", Path("/nowhere"))
    list_gpus.cache_clear()
    yield
    list_gpus.cache_clear()


@pytest.fixture
def job(tmp_path):
    """Return a function that starts a job, which holds its lease until it is killed at the latest."""
    jobs = []

    def start(devices, **how):
        how = {"folder": str(tmp_path / "leases"), "devices": devices, **how}
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, json.dumps(how)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        jobs.append(process)
        return process

    yield start
    for process in jobs:
        process.kill()
        process.communicate()


def holding(process) -> list:
    """Wait until a job has its lease: device, slot, its process id, that of its child."""
    return json.loads(process.stdout.readline())


def is_held(lock: Path) -> bool:
    """Tell whether a process holds a lock file."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_twenty_jobs_on_three_gpus_of_two_slots(job, tmp_path):
    jobs = [job(["0", "1", "2"], slots=2, seconds=0.1, start=str(tmp_path / "go")) for _ in range(20)]
    assert {process.stdout.readline() for process in jobs} == {"ready\n"}
    (tmp_path / "go").touch()
    spans = []
    for process in jobs:
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        spans.append(json.loads(out))
    assert len(spans) == 20
    most = {}
    for device in "012":
        of_device = [span for span in spans if span[0] == device]
        # The number of jobs on a GPU is largest when one of them begins.
        most[device] = max(sum(b <= began < e for _, _, b, e in of_device) for _, _, began, _ in of_device)
        for slot in (0, 1):
            of_slot = sorted((b, e) for _, s, b, e in of_device if s == slot)
            assert all(end <= begin for (_, end), (begin, _) in pairwise(of_slot))
    assert most == {"0": 2, "1": 2, "2": 2}


def test_every_gpu_gets_a_job_before_any_gets_two(job):
    got = [holding(job(["2", "3", "5"], slots=2))[:2] for _ in range(6)]
    assert got == [["2", 0], ["3", 0], ["5", 0], ["2", 1], ["3", 1], ["5", 1]]


@pytest.mark.parametrize("child", [None, "fork", "multiprocessing", "exec"])
def test_a_killed_job_holds_nothing(job, tmp_path, child):
    process = job(["0"], child=child)
    *_, parent, born = holding(process)
    lock = tmp_path / "leases" / "0.0.lock"
    assert is_held(lock)
    try:
        os.kill(parent, signal.SIGKILL)
        process.wait(timeout=5)
        deadline = time.monotonic() + 5  # the child may not have run yet since the fork
        while is_held(lock) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not is_held(lock)
        if born:
            os.kill(born, 0)  # the child lives on
    finally:
        if born:
            os.kill(born, signal.SIGKILL)


def test_a_child_that_ends_leaves_the_lease_to_its_parent(tmp_path):
    held = take_slot(["0"], 1, tmp_path)
    for method in ("fork", "spawn"):
        process = multiprocessing.get_context(method).Process(target=abs, args=(1,))
        process.start()
        process.join()
        assert process.exitcode == 0
    assert is_held(held.path)
    held.release()
    assert not is_held(held.path)


def test_a_waiting_job_says_for_whom_and_goes_on(job, tmp_path):
    first = job(["0"], artefact="resnet8_s0-12345678")
    pid = holding(first)[2]
    second = job(["0"])
    line = second.stderr.readline()
    assert line == f"waiting for a GPU, all are taken (0: process {pid}, resnet8_s0-12345678)\n"
    first.kill()
    assert holding(second)[:2] == ["0", 0]
    assert second.stderr.readline() == "leased GPU 0\n"  # it waited with one line


def test_what_a_dead_job_left_blocks_nothing(tmp_path, capsys):
    (tmp_path / "0.0.lock").write_text("process 1, a very long text of a job that was killed long ago")
    held = take_slot(["0"], 2, tmp_path, artefact="b")
    assert (held.device, held.number, held.path, held.before) == ("0", 0, tmp_path / "0.0.lock", "before")
    assert held.path.read_text() == f"process {os.getpid()}, b"
    assert capsys.readouterr().err == "leased GPU 0 (slot 0 of 2)\n"
    held.release()


def test_a_lock_file_that_was_removed_is_made_anew(tmp_path):
    """Cleaners of /tmp remove old files: a job that opened one just before must not lock what nobody else sees."""
    script = """
import fcntl, sys
from pathlib import Path
from vicinal.jobs.gpu_slots import take_slot
folder, flock, removed = Path(sys.argv[1]), fcntl.flock, []
def remove_first(descriptor, how):
    if not removed:
        removed.append((folder / "0.0.lock").unlink())
    flock(descriptor, how)
fcntl.flock = remove_first
held = take_slot(["0"], 1, folder, poll=0.01)
with held.path.open() as file:
    try:
        flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(0 if removed else 1)
sys.exit("the file that is in place is not locked")
"""
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_variable_is_set_and_put_back(tmp_path, monkeypatch):
    held = take_slot([A], 1, tmp_path)
    assert os.environ[VISIBLE] == A
    held.release()
    assert os.environ[VISIBLE] == "before"
    held.release()  # a second time does nothing
    monkeypatch.delenv(VISIBLE)
    take_slot([A], 1, tmp_path).release()
    assert VISIBLE not in os.environ


def test_index_and_uuid_of_one_gpu_are_one_lease(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{install_nvidia_smi(tmp_path / 'bin', listing(A, B))}:/bin")
    held = take_slot(["1"], 1, tmp_path)
    assert os.environ[VISIBLE] == "1"
    for same in ("1", B, "GPU-b"):
        other = take_slot([same, A], 1, tmp_path)
        assert other.device == A
        other.release()
    held.release()


def test_names_with_slashes_are_file_names(tmp_path):
    held = take_slot([f"MIG-{A}/1/0"], 1, tmp_path)
    assert held.path.parent == tmp_path
    held.release()


def problem(folder: Path) -> str:
    with pytest.raises(VicinalError) as error:
        take_slot(["0"], 1, folder)
    assert "\n" not in describe(error.value)
    return describe(error.value)


def test_a_folder_that_cannot_be_used(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert "remove it" in problem(tmp_path / "file")
    assert "remove it" in problem(tmp_path / "link")
    assert "chmod 700" in problem(tmp_path / "open")
    assert "no such file or directory" in problem(tmp_path / "absent" / "folder").lower()
    (tmp_path / "others").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert f"belongs to user {os.getuid()}" in problem(tmp_path / "others")


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "leases").mkdir(mode=0o700)
    (tmp_path / "leases" / "0.0.lock").symlink_to(tmp_path / "precious")
    assert "cannot be used for locks" in problem(tmp_path / "leases")
    assert not (tmp_path / "precious").exists()


def test_a_folder_that_is_read_only():
    """In /proc nobody may write, not even root."""
    line = problem(Path("/proc/self/vicinal-gpus"))
    assert line.startswith("/proc/self/vicinal-gpus: cannot be used for locks of GPUs (")
    assert line.endswith("set TMPDIR to a folder of this machine that you may write to")


def test_a_new_folder_is_private(tmp_path):
    take_slot(["0"], 1, tmp_path / "new").release()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_jobs_of_slurm_lease_within_their_own_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    shared = tmp_path / f"vicinal-gpus-{os.geteuid()}"
    assert slot_folder() == shared
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    one = take_slot(["0"])
    assert one.path.parent == slot_folder() == tmp_path / f"{shared.name}-job4711"
    monkeypatch.setenv("SLURM_JOB_ID", "4712")
    take_slot(["0"]).release()  # the first GPU of another job may be called 0 too
    one.release()
    monkeypatch.delenv(VISIBLE)
    assert slot_folder() == shared  # a SLURM that does not hand out GPUs


@pytest.mark.parametrize(("devices", "slots"), [([], 1), (["0"], 0)])
def test_no_slot_to_take_is_a_mistake_of_the_caller(tmp_path, devices, slots):
    with pytest.raises(ValueError, match="no slot to take"):
        take_slot(devices, slots, tmp_path)

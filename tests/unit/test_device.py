"""Where a job computes: the choice of the device, with torch's answers about GPUs made up."""

import argparse
import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gpu_machine import A, B, install_nvidia_smi, listing

from vicinal.errors import VicinalError
from vicinal.jobs import device
from vicinal.jobs.device import add_device_arguments, select_device
from vicinal.jobs.gpus import VISIBLE, list_gpus

LIBRARY = Path(__file__).parents[2] / "workflow"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that makes this a machine with the GPUs A and B, and tells whether torch can use them."""
    threads = torch.get_num_threads()
    monkeypatch.setattr(device, "_leased", [])
    monkeypatch.setattr("vicinal.jobs.gpus.PROC", tmp_path / "proc")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv(VISIBLE, "")  # so that it is put back afterwards
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    list_gpus.cache_clear()

    def make(usable: bool, *, listed: bool = True, visible: str | None = None):
        folder = install_nvidia_smi(tmp_path / "bin", listing(A, B) if listed else "", "exit 0" if listed else "exit 9")
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 if usable else 0)
        if visible is None:
            monkeypatch.delenv(VISIBLE)
        else:
            monkeypatch.setenv(VISIBLE, visible)

    yield make
    for held in device._leased:
        held.release()
    torch.set_num_threads(threads)
    list_gpus.cache_clear()


@pytest.mark.parametrize(
    ("visible", "name", "leased"),
    [(None, "auto", A), (None, "cuda", A), (None, "cuda:1", B), ("1", "auto", "1"), ("1,0", "cuda:1", "0")],
)
def test_a_gpu_is_leased(machine, visible, name, leased):
    machine(True, visible=visible)
    assert select_device(name, 1) == torch.device("cuda")
    assert os.environ[VISIBLE] == leased
    assert select_device("auto", 1) == select_device("cuda:0", 1) == torch.device("cuda")
    assert len(device._leased) == 1  # a process has one


def test_a_process_has_no_second_gpu(machine):
    machine(True)
    select_device("auto", 1)
    with pytest.raises(VicinalError, match=r"--device cuda:1: there are 1 GPUs"):
        select_device("cuda:1", 1)


def test_slots_and_the_name_for_others(machine):
    machine(True)
    select_device("auto", 1, 2, "resnet8_s0-12345678")
    held = device._leased[0]
    assert held.path.read_text() == f"process {os.getpid()}, resnet8_s0-12345678"
    assert held.path.name == f"{A}.0.lock"


def test_the_cpu_takes_no_lease(machine, tmp_path):
    machine(True)
    assert select_device("cpu", 1) == torch.device("cpu")
    assert VISIBLE not in os.environ
    assert not list(tmp_path.glob("vicinal-gpus*"))


@pytest.mark.parametrize("visible", ["", "-1"])
def test_no_gpu_may_be_used(machine, visible):
    machine(False, visible=visible)
    assert select_device("auto", 1) == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(VicinalError) as error:
            select_device(name, 1)
        assert str(error.value) == (
            f"--device {name}: there are 0 GPUs that torch can use here (CUDA_VISIBLE_DEVICES='{visible}')"
        )


def test_a_gpu_that_torch_cannot_use_is_given_back(machine, capsys):
    machine(False)
    assert select_device("auto", 1) == torch.device("cpu")
    assert f"cannot use GPU {A}" in capsys.readouterr().err
    assert VISIBLE not in os.environ
    with pytest.raises(VicinalError, match=f"--device cuda: torch .* cannot use GPU {A}"):
        select_device("cuda", 1)
    assert device._leased == []


def test_a_torch_without_cuda_waits_for_no_gpu(machine, monkeypatch, tmp_path):
    machine(False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    assert select_device("auto", 1) == torch.device("cpu")
    assert not list(tmp_path.glob("vicinal-gpus*"))


@pytest.mark.parametrize(("name", "expected"), [("auto", "cuda"), ("cuda:1", "cuda:1")])
def test_gpus_that_only_torch_knows_are_used_as_they_are(machine, name, expected):
    machine(True, listed=False)
    assert select_device(name, 1) == torch.device(expected)
    assert device._leased == []


def test_a_lease_after_cuda_has_started_is_a_mistake_of_the_caller(machine, monkeypatch):
    machine(True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(RuntimeError, match="must be selected before"):
        select_device("auto", 1)


def test_threads_are_set(machine):
    machine(False, visible="")
    select_device("cpu", 2)
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_memory_that_a_job_frees_is_not_cleared_again():
    code = """
import resource, sys, torch
from vicinal.jobs.device import select_device
if sys.argv[1] == "job":
    select_device("cpu", 1)
faults = []
for _ in range(10):
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    for mebibytes in (64, 2, 40, 3):  # above and below glibc's thresholds
        kept = [torch.ones(mebibytes, 2**18) for _ in range(2)]
print(faults[-1] - faults[5])  # the first rounds grow the heap
"""
    pages = {}
    for way in ("plain", "job"):
        command = [sys.executable, "-c", code, way]
        pages[way] = int(subprocess.run(command, cwd=LIBRARY, capture_output=True, text=True, check=True).stdout)
    assert pages["job"] < 100 < 1000 < pages["plain"]


def test_arguments(capsys):
    parser = argparse.ArgumentParser()
    add_device_arguments(parser)
    assert vars(parser.parse_args([])) == {"device": "auto", "gpu_slots": 1, "threads": 1}
    assert parser.parse_args(["--gpu-slots", "3"]).gpu_slots == 3
    for bad in ("0", "-1", "two", "1.5"):
        with pytest.raises(SystemExit):
            parser.parse_args([f"--gpu-slots={bad}"])
        assert "must be a whole number, at least 1" in capsys.readouterr().err


def test_commands_start_without_torch():
    code = "import sys, vicinal.jobs.device, vicinal.commands.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=LIBRARY, check=False).returncode == 0


@pytest.mark.gpu
def test_a_real_gpu():
    code = (
        "import torch; from vicinal.jobs.device import select_device; device = select_device('cuda', 1);"
        "print(torch.cuda.device_count(), torch.ones(1, device=device).device)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout == "1 cuda:0\n", result.stderr

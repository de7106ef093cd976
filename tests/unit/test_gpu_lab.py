"""The engine on torch's CUDA build and a driver that computes nothing (``tests/gpu_lab``): launches, captures, memory.

It shows nothing about numbers or speed: test_engine_gpu.py does, where there is a GPU.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vicinal.training.acceleration import AHEAD
from vicinal.training.cuda_graph import WARM_UP

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "tests" / "gpu_lab"


@pytest.fixture(scope="module")
def lab(once):
    """Return a function that calls one of lab.py's functions and returns what it found and what it printed."""
    triton = importlib.util.find_spec("triton")
    headers = triton and Path(triton.origin).parent / "backends" / "nvidia" / "include"
    if torch.version.cuda is None or not headers or not headers.is_dir():
        pytest.skip("needs a build of torch with CUDA, and CUDA's headers (they come with triton)")
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")

    def build(folder):
        sources = [str(path) for path in LAB.glob("*.c")]
        # torch's own headers come first: triton's may be of another CUDA, and torch's are not whole.
        folders = [*Path(torch.__file__).parents[1].glob("nvidia/*/include"), headers]
        options = ["-O1", "-std=gnu11", "-fPIC", "-shared", "-w", *(f"-I{folder}" for folder in folders)]
        options.append("-Wl,-soname,libcuda.so.1")
        subprocess.run(["gcc", *options, "-o", str(folder / "libcuda.so.1"), *sources], check=True)

    folder = once("gpu_lab", build)

    def run(name, *numbers):
        own = {"LD_LIBRARY_PATH": str(folder), "LD_PRELOAD": str(folder / "libcuda.so.1")}
        paths = ("workflow", "tests/benchmarks", "tests/unit")
        environment = {**os.environ, "PYTHONPATH": ":".join(str(ROOT / path) for path in paths), **own}
        command = [sys.executable, str(LAB / "lab.py"), name, *map(str, numbers)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
        assert result.returncode == 0, result.stdout + result.stderr
        *said, found = result.stdout.splitlines()
        return json.loads(found), said

    return run


def test_a_step_is_one_launch_and_waits_for_nothing(lab):
    rows, said = lab("steps", 3)
    assert said == []
    assert sum(row["violations"] for row in rows) == 0
    # Some steps eagerly; one eagerly and once more by its graph; then the graph alone.
    assert [row["graph_launches"] for row in rows] == [0] * WARM_UP + [1] * (len(rows) - WARM_UP)
    replays = rows[WARM_UP + 1 : len(rows) // 2]
    assert {row["launches"] for row in replays} == {0}
    assert [row["waits"] for row in rows[1:WARM_UP]] == [0] * (WARM_UP - 1)


def test_a_step_has_few_kernels(lab):
    """A student alone had 364 once, and the teacher, the augmentation and the update together 297."""
    found, _ = lab("kernels")
    assert found["student"] <= 300
    assert found["rest"] <= 190


@pytest.mark.long
@pytest.mark.parametrize("mib", [1200, 1500, 6000, 6600])
def test_memory_that_runs_out_in_a_step_or_in_its_capture_halves_the_cohort(lab, mib):
    """The smaller ones run out in an eager step, where cuDNN finds no workspace; the larger ones in a capture."""
    found, said = lab("memory", mib)
    assert found["done"] == 8
    assert any("out of memory; from now on" in line for line in said)
    assert not any("no CUDA graph" in line for line in said)
    learners = [learners for learners, _ in found["sizes"]]
    assert learners == sorted(learners, reverse=True)
    assert learners[0] == 8
    assert [learners[-1], True] in found["sizes"]


@pytest.mark.parametrize("allocations", [0, 3])
def test_memory_that_runs_out_in_a_capture_is_what_is_raised(lab, allocations):
    """Not the error that follows from it; the stream is the one from before, and nothing is left of the graph."""
    found, _ = lab("capture", allocations)
    assert found == {"raised": "OutOfMemoryError", "same_stream": True, "graphs": 0}


def test_the_host_is_only_some_steps_ahead_of_a_slow_gpu(lab):
    """So the pinned memory of the photos is used again: that of the steps ahead and of the batches being decoded."""
    found, _ = lab("photos")
    assert len(found) >= 39
    assert found[-1] <= AHEAD + 12


def test_a_step_that_is_made_anew_leaves_nothing_behind(lab):
    rows, _ = lab("diverging")
    assert [row["learners"] for row in rows] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    reserved = [row["reserved"] for row in rows]
    assert reserved == sorted(reserved, reverse=True)
    assert reserved[-1] < 0.5 * reserved[0]
    assert {row["graphs"] for row in rows} == {1}

"""Cohorts that are trained in parts: by order, and where memory does not suffice."""

import pytest
import torch
from small_cohort import RECIPE

from vicinal.data.catalogue import resolve_source
from vicinal.data.prepare import prepare_data
from vicinal.data.store import DataStore
from vicinal.files import read_json
from vicinal.jobs.interruption import Interruption
from vicinal.models.registry import architecture
from vicinal.results import RECORD, WEIGHTS
from vicinal.training.cohort import TrainingJob, train_models
from vicinal.training.numerics import Numerics
from vicinal.training.step import CohortStep

torch.set_num_threads(1)
CPU = torch.device("cpu")
TEMPERATURES = (1.0, 2.0, 4.0, 8.0, "std")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> DataStore:
    spec = {"name": "digits", **resolve_source("digits", "data"), "validation": 30, "limit_train": 64}
    return prepare_data(spec, "data", tmp_path_factory.mktemp("store"))


def wanted(folder, temperatures=TEMPERATURES):
    """Return students that learn from labels alone, each at another rate: the weight of its loss."""
    base = {"stage": "student", "model": architecture("resnet8_narrow"), "recipe": RECIPE, "seed": 3}
    return {
        folder / f"student_t{t}": {
            "id": f"student_t{t}",
            "spec": {**base, "temperature": t, "loss": {"ce_weight": 1 + position}},
            "code": "c",
        }
        for position, t in enumerate(temperatures)
    }


def train(store, results, interruption=None, every=1e9, **options):
    students = wanted(results / "students")
    with interruption or Interruption() as interruption:
        job = TrainingJob("c-1", results, store, CPU, Numerics(), interruption, every, results, **options)
        train_models(job, students)
    return {path.name: (path / WEIGHTS).read_bytes() for path in students}


@pytest.fixture(scope="module")
def together(store, tmp_path_factory):
    return train(store, tmp_path_factory.mktemp("together"))


FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
# What cuDNN and cuBLAS raise where their workspaces find no room.
NO_ENGINE = RuntimeError("FIND was unable to find an engine to execute this computation")
NO_WORKSPACE = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


@pytest.fixture
def sizes(monkeypatch, request):
    """Let at most two learners find room; tell how many were in each step that was tried."""
    seen, step, error = [], CohortStep.__call__, getattr(request, "param", FULL)

    def short_of_memory(self, size):
        seen.append(len(self.learners))
        if len(self.learners) > 2:
            raise error
        step(self, size)

    monkeypatch.setattr(CohortStep, "__call__", short_of_memory)
    return seen


@pytest.mark.parametrize("sizes", [FULL, NO_ENGINE, NO_WORKSPACE], indirect=True)
def test_a_cohort_that_finds_no_room_is_halved_until_it_does(store, tmp_path, together, sizes, capsys):
    assert train(store, tmp_path) == together
    steps = 3 * 4
    assert sizes == [5, 3, *[2] * steps, *[2] * steps, *[1] * steps]
    said = capsys.readouterr().out
    assert "c-1: out of memory; from now on 3 models are trained at once" in said
    assert "c-1: out of memory; from now on 2 models are trained at once" in said
    assert not (tmp_path / "checkpoints" / "c-1").exists()


def test_any_other_error_ends_the_job(store, tmp_path, monkeypatch):
    def broken(self, size):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(CohortStep, "__call__", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        train(store, tmp_path)


def test_a_single_model_that_finds_no_room_is_an_error(store, tmp_path, monkeypatch):
    def full(self, size):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(CohortStep, "__call__", full)
    with pytest.raises(torch.OutOfMemoryError):
        train(store, tmp_path)


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_a_cohort_is_trained_in_parts_of_the_size_that_is_set(store, tmp_path, together, size):
    assert train(store, tmp_path, cohort_size=size) == together


class Stops(Interruption):
    """Stops after a number of steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def reason(self, reserve=0.0):
        self.left -= 1
        return "at a test's will" if self.left < 0 else None


@pytest.mark.parametrize("steps", [6, 9, 17, 30])
def test_stopped_in_any_part_it_ends_as_if_it_had_not(store, tmp_path, together, steps, sizes):
    with pytest.raises(SystemExit):
        train(store, tmp_path, Stops(steps))
    done = len(list(tmp_path.glob(f"students/*/{RECORD}")))
    missing = {path: record for path, record in wanted(tmp_path / "students").items() if not path.exists()}
    assert len(missing) == 5 - done
    with Interruption() as interruption:
        job = TrainingJob("c-1", tmp_path, store, CPU, Numerics(), interruption, 1e9, tmp_path)
        train_models(job, missing)
    for name, weights in together.items():
        assert (tmp_path / "students" / name / WEIGHTS).read_bytes() == weights
    resumed = [read_json(path / RECORD)["provenance"]["resumed"] for path in missing]
    assert any(resumed)

"""Trainings in two and three processes, by gloo on the CPU, against the same in one."""

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from photo_files import small_store
from small_cohort import RECIPE
from threaded_group import in_threads

from vicinal.data.photos.inputs import Photos
from vicinal.engine import train
from vicinal.learner import Learner
from vicinal.losses import loss_terms
from vicinal.parallel import Group
from vicinal.results import WEIGHTS

torch.set_num_threads(1)

FOLDER = Path(__file__).parent
# Of the size of a tensor: sums of float32 in another order. Where an activation is at the kink of its ReLU but for
# rounding, that decides on its gradient.
TOLERANCE = {"head": 1e-5, "cohort": 1e-3, "plateau": 1e-3}
SMOOTH = 1e-5
# What adds a constant to features before batch normalisation has no gradient but rounding; the head's first phase has
# Adam, which makes steps of full size of that. The running mean follows the bias; the weights' own gradients are small.
OF_NO_GRADIENT = ("fc.hidden.bias", "fc.norm.running_mean")
SMALL_GRADIENTS = ("fc.hidden.weight",)


def run(number, output, *device):
    run_script("parallel_case.py", str(number), output, *device)
    return load(output)


def run_script(name, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parents[1] / "workflow")}
    command = [sys.executable, FOLDER / name, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def load(output):
    return torch.load(output, map_location="cpu", weights_only=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run(1, tmp_path_factory.mktemp("one") / "case")


@pytest.fixture(scope="module", params=[2, 3])
def together(request, tmp_path_factory):
    """What the first process has at the end, and the last one."""
    output = tmp_path_factory.mktemp("several") / "case"
    return run(request.param, output), load(f"{output}.{request.param - 1}")


def assert_close(one, other, name, tolerance):
    tolerance = 1e-3 if name in SMALL_GRADIENTS else tolerance
    assert (one.double() - other.double()).norm() <= tolerance * one.double().norm(), name


@pytest.mark.parametrize("case", ["cohort", "head", "plateau"])
def test_it_is_what_one_process_makes(alone, together, case):
    assert alone[case].keys() == together[0][case].keys()
    for id_, one in alone[case].items():
        other = together[0][case][id_]
        if one["diverged"]:
            continue
        assert one["state"].keys() == other["state"].keys()
        for name, value in one["state"].items():
            if not value.is_floating_point():
                assert torch.equal(value, other["state"][name]), name
            elif name not in OF_NO_GRADIENT:
                assert_close(value, other["state"][name], name, TOLERANCE[case])
        torch.testing.assert_close(one["losses"], other["losses"], rtol=TOLERANCE[case], atol=0)
        assert one["rates"] == other["rates"]


def test_what_is_remembered_is_that_of_one_process(alone, together):
    for id_, one in alone["cohort"].items():
        if one["diverged"]:
            continue
        for k, (a, b) in enumerate(zip(one["buffers"], together[0]["cohort"][id_]["buffers"], strict=True)):
            assert_close(a, b, k, TOLERANCE["cohort"])


def test_all_processes_have_the_same_bits(together):
    first, last = together
    for case, models in first.items():
        for id_, one in models.items():
            other = last[case][id_]
            for name, value in one["state"].items():
                assert value.equal(other["state"][name]) or one["diverged"], name
            assert torch.equal(one["losses"], other["losses"])
            assert (one["rates"], one["validation"]) == (other["rates"], other["validation"])


def test_a_loss_that_is_no_number_in_one_process_stops_that_model_in_all(alone, together):
    # epochs of five steps
    for results in (alone, *together):
        assert [model["diverged"] for model in results["cohort"].values()] == [None, (2, 2), None]


def test_the_rate_of_a_plateau_followed_the_validation(alone):
    [model] = alone["plateau"].values()
    assert None not in model["validation"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("count", [2, 3, 64, 65])
def test_each_row_belongs_to_one_process(size, count):
    slices = [Group(rank, size).rows(count) for rank in range(size)]
    assert [row for rows in slices for row in range(count)[rows]] == list(range(count))
    lengths = [rows.stop - rows.start for rows in slices]
    assert max(lengths) - min(lengths) <= 1


def test_a_process_alone_agrees_with_itself():
    assert Group().agree(True) is True
    assert Group().share({"a": [1, None]}) == {"a": [1, None]}
    assert Group().leads
    assert Group().is_one
    assert not Group(1, 2).leads


class Smooth(torch.nn.Module):
    """Without ReLU, whose kink makes of another rounding another gradient."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)
        self.fc = torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.norm(self.convolution(x)).tanh().mean((2, 3)))


@pytest.mark.parametrize("size", [2, 3])
def test_photos_are_shared_too(tmp_path, size):
    photos = Photos(small_store(tmp_path, 34), "train", torch.device("cpu"), size=32, threads=1)
    recipe = {**RECIPE, "batch_size": 7, "epochs": 1, "milestones": []}  # 30 photos: 4 batches of 7, one of 2
    model = Smooth()
    learners = [Learner("a", deepcopy(model), recipe, loss_terms({"ce_weight": 1})) for _ in range(size + 1)]

    def train_one(group):
        [learner] = chosen = [learners[-1] if group is None else learners[group.rank]]
        train(chosen, photos, [], recipe=recipe, seed=3, alpha=1.0, group=group)
        return learner

    alone = train_one(None).model.state_dict()
    for learner in in_threads(size, train_one):
        for name, value in learner.model.state_dict().items():
            assert_close(alone[name], value, name, SMOOTH)


def test_a_cohort_that_finds_no_room_in_one_process_is_halved_in_all(tmp_path):
    said = run_script("memory_case.py", tmp_path)
    for name in ("first", "second"):
        assert f"{name}: out of memory; from now on 2 models are trained at once" in said
        for k in (1, 2, 3):
            made = [tmp_path / case / "students" / f"student_{k}" / WEIGHTS for case in (name, "parts")]
            assert made[0].read_bytes() == made[1].read_bytes()
    assert "parts: out of memory" not in said


@pytest.mark.gpu
def test_on_two_gpus_it_is_what_one_makes(tmp_path):
    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs 2 GPUs: there are {torch.cuda.device_count()}")
    one = run(1, tmp_path / "one", "cuda")["cohort"]
    two = run(2, tmp_path / "two", "cuda")["cohort"]
    for id_, model in one.items():
        for name, value in model["state"].items():
            torch.testing.assert_close(value, two[id_]["state"][name], rtol=1e-2, atol=1e-3)
        torch.testing.assert_close(model["losses"], two[id_]["losses"], rtol=1e-3, atol=0)

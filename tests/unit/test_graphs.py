"""Steps that are replayed: taken eagerly first, captured once a batch size, checked, and given up where they differ.

What CUDA does is played here by replays that run the step again; tests/gpu has the real thing.
"""

import pytest
import torch
from small_cohort import assert_same, cohort_step, students

from vicinal.training.cuda_graph import WARM_UP, ReplayedStep

torch.set_num_threads(1)


class Played:
    """Captures by remembering the function; a replay runs it, and perhaps spoils something."""

    def __init__(self, spoil=lambda: None, error=None):
        self.captured, self.replayed, self._spoil, self._error = 0, 0, spoil, error

    def __call__(self, function):
        self.captured += 1
        if self._error:
            raise self._error

        def replay():
            self.replayed += 1
            function()
            self._spoil()

        return replay


def eager(epochs=1):
    learners = students()
    step, sizes = cohort_step(learners)
    for size in sizes:
        step(size)
    return learners, step


def replayed(capture, learners=None):
    learners, said = learners or students(), []
    step, sizes = cohort_step(learners)
    run = ReplayedStep(step, said.append, capture)
    for size in sizes:
        run(size)
    return learners, step, said


def test_replayed_steps_do_what_eager_ones_do_bit_for_bit():
    expected, eager_step = eager()
    capture = Played()
    learners, step, said = replayed(capture)
    assert_same(learners, expected)
    assert torch.equal(step.losses, eager_step.losses)
    assert (step.losses > 0).all()
    assert not said
    # six whole batches: the first ones eagerly, then one checked against the graph and the rest from it
    assert (capture.captured, capture.replayed) == (1, 6 - WARM_UP)


def test_each_batch_size_has_its_graph():
    learners, capture = students(), Played()
    step, _ = cohort_step(learners)
    run = ReplayedStep(step, print, capture)
    for number, size in [(0, 16), (6, 8)] * (WARM_UP + 2):
        step.begin([0.05] * 7, number)
        run(size)
    assert (capture.captured, capture.replayed) == (2, 4)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("update", "its update differs"),
        ("losses", "its losses"),
        ("position", "its position"),
        ("error", "it could not be captured (operation not permitted)"),
    ],
)
def test_a_graph_that_does_something_else_is_not_used(what, words):
    learners = students()
    weight = learners[1].model.fc.weight

    def spoil():
        if what == "update":
            with torch.no_grad():
                weight.mul_(1.5)
        elif what == "losses":
            steps[0].losses += 1
        elif what == "position":
            steps[0]._position += 1

    error = RuntimeError("operation not permitted\nmore of it") if what == "error" else None
    capture, said, steps = Played(spoil, error), [], []
    step, sizes = cohort_step(learners)
    steps.append(step)
    run = ReplayedStep(step, said.append, capture)
    for size in sizes:
        run(size)
    assert_same(learners, eager()[0])
    assert capture.captured == 1
    assert len(said) == 1
    assert said[0].startswith("no CUDA graph, so this is slower: ")
    assert words in said[0]


def test_a_learner_that_diverges_is_no_fault_of_the_graph():
    learners = students()
    with torch.no_grad():
        learners[0].model.fc.weight.fill_(float("nan"))
    capture = Played()
    learners, step, said = replayed(capture, learners)
    assert not said
    assert capture.replayed > 1
    assert step.losses[:, 0].isnan().all()
    assert step.losses[:, 1:].isfinite().all()


def test_out_of_memory_is_for_others_to_handle():
    with pytest.raises(torch.OutOfMemoryError):
        replayed(Played(error=torch.OutOfMemoryError("CUDA out of memory")))

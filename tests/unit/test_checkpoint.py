"""Checkpoints: a training that goes on from one equals, bit for bit, the one that never stopped."""

import pytest
import torch
from checkpointed import RECORDS, STEPS, StopError, checkpoints_in, make, run, stop_after

from vicinal.training.checkpoint import find_checkpoint


def order(tensor):
    """Return how a tensor lies in memory; the stride of a dimension of one means nothing."""
    return [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]


def assert_equal(one, other):
    assert one.id == other.id
    assert one.history == other.history
    assert one.diverged == other.diverged
    for name in one.good_state:
        assert torch.equal(one.good_state[name], other.good_state[name]), name
    if one.diverged is None:
        for (name, a), b in zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
        for a, b in zip(one.optimizer.buffers, other.optimizer.buffers, strict=True):
            assert torch.equal(a, b)
            assert order(a) == order(b)


@pytest.fixture(scope="module")
def undisturbed():
    return run(make(RECORDS))


@pytest.mark.parametrize("number", range(1, 3 * STEPS + 1))
def test_stopped_after_any_step_it_ends_as_if_it_had_not(undisturbed, tmp_path, number):
    learners = make(RECORDS)
    with pytest.raises(StopError):
        run(learners, on_step=stop_after(number, learners, checkpoints_in(tmp_path)))
    found = find_checkpoint(tmp_path, RECORDS)
    # The state of an epoch's last step is that before its end: its validation comes after.
    assert (found.info["epoch"], found.info["step"]) == ((number - 1) // STEPS, (number - 1) % STEPS + 1)
    resumed = make(RECORDS)
    torch.manual_seed(number)
    moment = found.restore(resumed)
    assert moment.seconds > 0
    run(resumed, moment=moment)
    for one, other in zip(undisturbed, resumed, strict=True):
        assert_equal(one, other)


def test_stopped_again_and_again(undisturbed, tmp_path):
    for attempt in range(3 * STEPS):
        learners = make(RECORDS)
        found = find_checkpoint(tmp_path, RECORDS)
        moment = found.restore(learners) if found else None
        with pytest.raises(StopError):
            stopper = stop_after(1, learners, checkpoints_in(tmp_path))
            run(learners, moment=moment, on_step=stopper)
        assert (found is None) == (attempt == 0)
    learners = make(RECORDS)
    run(learners, moment=find_checkpoint(tmp_path, RECORDS).restore(learners))
    for one, other in zip(undisturbed, learners, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("number", [4, 5, 6, 7, 9])
def test_a_diverged_student_stays_so(tmp_path, number):
    expected = run(make(RECORDS, breaks=5))
    assert expected[1].diverged == (2, 2)
    learners = make(RECORDS, breaks=5)
    with pytest.raises(StopError):
        run(learners, on_step=stop_after(number, learners, checkpoints_in(tmp_path)))
    resumed = make(RECORDS, breaks=5)
    resumed[1].calls.extend([1] * number)
    run(resumed, moment=find_checkpoint(tmp_path, RECORDS).restore(resumed))
    for one, other in zip(expected, resumed, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("diverged", [False, True])
def test_a_part_of_the_models_goes_on_alone(undisturbed, tmp_path, diverged):
    learners = make(RECORDS, breaks=2 if diverged else None)
    with pytest.raises(StopError):
        run(learners, on_step=stop_after(5, learners, checkpoints_in(tmp_path)))
    wanted = [RECORDS[2]]
    resumed = make(wanted)
    run(resumed, moment=find_checkpoint(tmp_path, wanted).restore(resumed))
    assert_equal(undisturbed[2], resumed[0])


def test_random_numbers_go_on(tmp_path):
    learners = make(RECORDS)
    torch.manual_seed(5)
    torch.rand(3)
    with pytest.raises(StopError):
        run(learners, on_step=stop_after(2, learners, checkpoints_in(tmp_path)))
    expected = torch.rand(4)
    torch.manual_seed(6)
    find_checkpoint(tmp_path, RECORDS).restore(make(RECORDS))
    assert torch.equal(torch.rand(4), expected)

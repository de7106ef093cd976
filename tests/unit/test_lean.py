"""Lean forward passes: the numbers of the plain ones, from fewer kernels."""

import copy
from contextlib import nullcontext

import pytest
import torch
from small_cohort import students
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vicinal.training.lean import LeanForward, count_batches

torch.set_num_threads(1)


@pytest.fixture
def model():
    """Return a network in training, with its layers' counters at other numbers than 0 and 1."""
    [learner] = students(temperatures=(4.0,))
    learner.train()
    for number, norm in enumerate(norms(learner.model)):
        norm.num_batches_tracked.fill_(10 * number)
    return learner.model


def norms(model):
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def images(count=16):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)


def loss_of(model, inputs, bf16):
    autocast = torch.autocast("cpu", torch.bfloat16, cache_enabled=False) if bf16 else nullcontext()
    with autocast:
        logits = model(inputs)
    return (logits.float() ** 2).mean()


@pytest.mark.parametrize("bf16", [False, True])
def test_losses_gradients_and_statistics_are_those_of_a_plain_pass_bit_for_bit(model, bf16):
    plain = copy.deepcopy(model)
    lean = LeanForward(model, bf16=bf16)
    for _ in range(2):
        expected = loss_of(plain, images(), bf16)
        with lean():
            loss = loss_of(model, images(), bf16)
        expected.backward()
        loss.backward()
        count_batches([lean])
        assert torch.equal(loss, expected)
    pairs = list(zip(model.named_parameters(), plain.parameters(), strict=True))
    assert all(torch.equal(one.grad, other.grad) for (_, one), other in pairs)
    assert all(one.grad.dtype == torch.float32 and one.grad.stride() == one.stride() for (_, one), _ in pairs)
    state = plain.state_dict()
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


class Names(TorchDispatchMode):
    """Lists what is called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.name())
        return function(*args, **(kwargs or {}))


def test_weights_are_rounded_by_one_call_and_their_gradients_by_another(model):
    lean = LeanForward(model, bf16=True)
    with Names() as forward, lean():
        loss = loss_of(model, images(), bf16=True)
    with Names() as backward:
        loss.backward()
    assert forward.names.count("aten::_foreach_copy_") == backward.names.count("aten::_foreach_copy_") == 1
    # What is left: the images, the features and the logits; there are 10 weights and a bias.
    assert forward.names.count("aten::_to_copy") <= 3
    assert backward.names.count("aten::_to_copy") <= 2
    assert "aten::add_.Tensor" not in forward.names


def test_layers_that_are_not_trained_get_no_gradient(model):
    model.requires_grad_(False)
    model.fc.requires_grad_(True)
    with LeanForward(model, bf16=True)():
        loss_of(model, images(), bf16=True).backward()
    assert [name for name, value in model.named_parameters() if value.grad is not None] == ["fc.weight", "fc.bias"]


def test_only_layers_in_training_mode_count_batches_and_all_networks_at_once(model):
    other = copy.deepcopy(model)
    first, *rest = norms(model)
    first.eval()
    before = [norm.num_batches_tracked.item() for norm in (first, *rest)]
    with Names() as called:
        count_batches([LeanForward(model, bf16=False), LeanForward(other, bf16=False)])
    assert called.names.count("aten::_foreach_add_.Scalar") == 1
    counts = [norm.num_batches_tracked.item() for norm in (first, *rest)]
    assert counts == [before[0], *(count + 1 for count in before[1:])]
    assert [norm.num_batches_tracked.item() for norm in norms(other)] == [count + 1 for count in before]
    count_batches([LeanForward(nn.Linear(2, 2), bf16=False)])  # there is nothing to count


def test_a_count_that_the_statistics_need_stays_with_its_layer():
    """Without a momentum they are means over all batches."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, momentum=None))
    plain, lean = copy.deepcopy(model), LeanForward(model, bf16=False)
    for number in range(3):
        plain(images() + number)
        with lean():
            model(images() + number)
        count_batches([lean])
    assert model[1].num_batches_tracked == 3
    assert torch.equal(model[1].running_mean, plain[1].running_mean)


class Standardised(nn.Conv2d):
    """A convolution that does something with its weights first, as timm's do."""

    def forward(self, x):
        assert self.weight.dtype == torch.float32
        return nn.functional.conv2d(x, self.weight - self.weight.mean(), self.bias)


def test_layers_of_derived_classes_get_their_weights_as_they_are():
    model = nn.Sequential(Standardised(1, 2, 3), nn.Conv2d(2, 2, 3))
    with LeanForward(model, bf16=True)(), torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        assert model(images()).dtype == torch.bfloat16
        assert model[1].weight.dtype == torch.bfloat16


def test_after_an_error_the_network_is_as_it_was(model):
    before = {name: id(value) for name, value in [*model.named_parameters(), *model.named_buffers()]}
    with pytest.raises(RuntimeError), LeanForward(model, bf16=True)():
        model(torch.rand(2, 7, 8, 8))
    assert {name: id(value) for name, value in [*model.named_parameters(), *model.named_buffers()]} == before

"""Batch normalisation over several processes, against torch's over the whole batch; and what is refused."""

import copy

import pytest
import torch
import torchvision
from threaded_group import in_threads
from torch import nn

from vicinal.errors import VicinalError
from vicinal.parallel import Group
from vicinal.synchronised import synchronise

torch.set_num_threads(1)


def batch(count, dims=2, channels=5, mean=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, 6, 7)[: 2 + dims]
    return torch.randn(shape, generator=generator) * 3 + mean


def layer(dims=2, channels=5, **options):
    module = (nn.BatchNorm2d if dims else nn.BatchNorm1d)(channels, **options)
    if module.affine:
        with torch.no_grad():
            module.weight.copy_(torch.linspace(0.5, 2, channels))
            module.bias.copy_(torch.linspace(-1, 1, channels))
    return module


def whole(module, x, upstream):
    """Return output, gradients and module of torch's own, on the whole batch."""
    module, x = copy.deepcopy(module), x.clone().requires_grad_(True)
    y = module(x)
    y.backward(upstream)
    return y.detach(), x.grad, module


def shared(module, x, upstream, size):
    """The same with several processes; gradients of parameters are summed as the step does."""

    def work(group):
        own, rows = copy.deepcopy(module), group.rows(len(x))
        synchronise(own, group, "a")
        part = x[rows].clone().requires_grad_(True)
        y = own(part)
        y.backward(upstream[rows])
        return y.detach(), part.grad, own

    found = in_threads(size, work)
    modules = [own for *_, own in found]
    return torch.cat([y for y, *_ in found]), torch.cat([gradient for _, gradient, _ in found]), modules


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("dims", "options"),
    [(2, {}), (0, {}), (2, {"momentum": None}), (2, {"momentum": 0.01, "eps": 1e-3}), (2, {"affine": False})],
)
@pytest.mark.parametrize("count", [8, 3, 2])
def test_it_is_torchs_on_the_whole_batch(size, dims, options, count):
    module, x = layer(dims, **options).train(), batch(count, dims)
    upstream = batch(count, dims, seed=1)
    y, gradient, reference = whole(module, x, upstream)
    own_y, own_gradient, modules = shared(module, x, upstream, size)
    torch.testing.assert_close(own_y, y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(own_gradient, gradient, rtol=1e-4, atol=1e-4)
    for name, value in reference.state_dict().items():
        for own in modules:
            torch.testing.assert_close(own.state_dict()[name], value, rtol=1e-5, atol=1e-6)
            assert torch.equal(own.state_dict()[name], modules[0].state_dict()[name])
    for name, parameter in reference.named_parameters():
        total = sum(own.get_parameter(name).grad for own in modules)
        torch.testing.assert_close(total, parameter.grad, rtol=1e-5, atol=1e-4)


def test_a_mean_far_from_zero_costs_no_digits():
    x = batch(8, mean=1000.0)
    upstream = torch.ones_like(x)
    y, _, reference = whole(layer().train(), x, upstream)
    own_y, _, modules = shared(layer().train(), x, upstream, 3)
    torch.testing.assert_close(own_y, y, rtol=1e-3, atol=2e-4)
    torch.testing.assert_close(modules[0].running_var, reference.running_var, rtol=1e-5, atol=0)


def test_half_precision_comes_and_goes():
    x = batch(8).bfloat16()
    upstream = torch.ones_like(x)
    y, gradient, _ = whole(layer().train(), x, upstream)
    own_y, own_gradient, _ = shared(layer().train(), x, upstream, 2)
    assert own_y.dtype == y.dtype == own_gradient.dtype == torch.bfloat16
    torch.testing.assert_close(own_y, y)
    torch.testing.assert_close(own_gradient, gradient, rtol=0.05, atol=0.01)


def test_evaluation_and_names_stay_as_they_are():
    model = nn.Sequential(nn.Conv2d(5, 5, 3), layer()).eval()
    x, before = batch(4), list(model.state_dict())
    expected = model(x)
    synchronise(model, Group(0, 2), "a")
    assert torch.equal(model(x), expected)
    assert list(model.state_dict()) == before
    assert type(model[1]) is nn.BatchNorm2d


class BatchNormAct2d(nn.BatchNorm2d):
    """As timm's: normalisation, dropout and activation in one module."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


def test_timms_layer_keeps_its_activation():
    x = batch(8)
    y, gradient, _ = whole(BatchNormAct2d(5).train(), x, torch.ones_like(x))
    own_y, own_gradient, _ = shared(BatchNormAct2d(5).train(), x, torch.ones_like(x), 2)
    torch.testing.assert_close(own_y, y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(own_gradient, gradient, rtol=1e-4, atol=1e-4)


class OwnNorm(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) + 1


@pytest.mark.parametrize(
    "module",
    [
        nn.Dropout(0.1),
        torchvision.ops.StochasticDepth(0.2, "row"),
        nn.MultiheadAttention(4, 2, dropout=0.1),
        OwnNorm(3),
        nn.BatchNorm2d(3, track_running_stats=False),
    ],
)
def test_what_processes_would_compute_otherwise_is_refused(module):
    model = nn.Sequential(nn.Conv2d(1, 1, 1), module)
    with pytest.raises(VicinalError) as error:
        synchronise(model, Group(0, 2), "student")
    [line] = str(error.value).splitlines()
    assert line.startswith(f"student: 1 ({type(module).__name__})")
    assert "execution.gpus_per_job=1" in line


def test_what_is_the_same_in_all_processes_is_not():
    model = nn.Sequential(
        nn.Dropout(0.0), torchvision.ops.StochasticDepth(0.0, "row"), nn.MultiheadAttention(4, 2), nn.GroupNorm(1, 2)
    )
    synchronise(model, Group(0, 2), "student")

"""Fused convolutions: which ones are found, and that they are used only where they give the right answers.

What cuDNN does is played by plain operations here; tests/unit/test_engine_gpu.py has the real thing.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.training.fused import FusedNetwork, fuse

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """Let plain operations stand for cuDNN's; return the channels of each call, negative with a shortcut."""
    called = []

    def conv_relu(x, weight, bias, stride, padding, dilation, groups):
        called.append(len(weight))
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups).relu_()

    def conv_add_relu(x, weight, z, alpha, bias, stride, padding, dilation, groups):
        called.append(-len(weight))
        return (F.conv2d(x, weight, bias, stride, padding, dilation, groups) + alpha * z).relu_()

    monkeypatch.setattr(torch, "cudnn_convolution_relu", conv_relu)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", conv_add_relu)
    return called


def folded(name):
    """Return a frozen network whose convolutions have biases instead of batch normalisation."""
    torch.manual_seed(0)
    model = build_model(architecture(name), 10).eval().requires_grad_(False)
    for pair in model.modules():
        if isinstance(pair, nn.Sequential) and len(pair) > 1 and isinstance(pair[1], nn.BatchNorm2d):
            pair[1].running_mean.normal_()
            pair[0] = nn.utils.fusion.fuse_conv_bn_eval(pair[0], pair[1])
            pair[1] = nn.Identity()
    return model


def inputs(count=4):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_network_of_blocks_with_shortcuts_is_fused_throughout(calls):
    model = folded("resnet14")
    fused = fuse(model)
    assert isinstance(fused, FusedNetwork)
    torch.testing.assert_close(fused(inputs()), model(inputs()))
    # The stem and six blocks; the projections of two shortcuts have no ReLU of their own.
    assert calls == [16, *[16, -16] * 2, *[32, -32] * 2, *[64, -64] * 2] * 2  # the first call is a check
    assert {id(value) for value in fused.parameters()} == {id(value) for value in model.parameters()}


class Small(nn.Module):
    """A network that ends in what a test wants."""

    def __init__(self, end):
        super().__init__()
        self.conv, self.other, self.relu, self._end = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.ReLU(), end

    def forward(self, x):
        return self._end(self, x)


def added_in_place(net, x):
    out = net.conv(x)
    out += net.other(x)
    return net.relu(out)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (lambda net, x: net.relu(net.conv(x)), [4]),
        (lambda net, x: torch.relu(net.conv(x)), [4]),
        (lambda net, x: F.relu(net.conv(x), inplace=True), [4]),
        (lambda net, x: net.conv(x).relu_(), [4]),
        (lambda net, x: F.relu(net.conv(x) + net.other(x)), [-4]),
        (lambda net, x: F.relu(x[:, :1, 1:-1, 1:-1].expand(-1, 4, -1, -1) + net.conv(x)), [-4]),
        (added_in_place, [-4]),
        (lambda net, x: F.relu(net.conv(x)) + F.relu(net.conv(x)), [4, 4]),
        # the convolution is read twice, or is no step before ReLU
        (lambda net, x: (lambda y: F.relu(y) + y)(net.conv(x)), []),
        (lambda net, x: (lambda y: F.relu(y + 1) + y)(net.conv(x)), []),
        (lambda net, x: F.relu(net.conv(x) + 1), []),
        (lambda net, x: F.relu(torch.add(net.conv(x), net.other(x), alpha=2)), []),
        (lambda net, x: F.relu6(net.conv(x)), []),
        (lambda net, x: net.conv(x) if x.sum() > 0 else x, []),
    ],
)
@torch.no_grad()
def test_what_is_fused_gives_the_answers_of_the_plain_network(end, expected, calls):
    torch.manual_seed(0)
    model = Small(end).eval()
    fused = fuse(model)
    assert isinstance(fused, FusedNetwork) == bool(expected)
    torch.testing.assert_close(fused(inputs()), model(inputs()))
    assert calls == 2 * expected


@pytest.mark.parametrize(
    "conv", [nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")]
)
def test_what_cudnn_does_not_do_stays(conv):
    model = nn.Sequential(conv, nn.ReLU())
    assert fuse(model) is model


@torch.no_grad()
def test_a_normalisation_of_its_own_stays():
    model = folded("resnet8")
    model.register_forward_pre_hook(lambda module, given: (given[0] * 3 - 1,))
    plain = model(inputs())
    torch.testing.assert_close(fuse(model)(inputs()), plain)


@pytest.mark.parametrize(
    ("does", "words"),
    [
        (lambda x, weight, bias, *geometry: F.conv2d(x, weight, bias, *geometry), "they give other answers"),
        (lambda *_: (_ for _ in ()).throw(RuntimeError("no engine\nmore of it")), "no engine"),
    ],
)
@torch.no_grad()
def test_where_fused_convolutions_do_not_work_plain_ones_are_used(does, words, monkeypatch, capsys):
    monkeypatch.setattr(torch, "cudnn_convolution_relu", does)
    model = folded("resnet8")
    fused = fuse(model)
    for _ in range(2):
        assert torch.equal(fused(inputs()), model(inputs()))
    line = f"the teacher's convolutions are not fused, so this is slower: {words}\n"
    assert capsys.readouterr().out == line


@torch.no_grad()
def test_memory_that_runs_out_is_for_others_to_handle(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "cudnn_convolution_relu", full)
    fused = fuse(folded("resnet8"))
    with pytest.raises(torch.OutOfMemoryError):
        fused(inputs())

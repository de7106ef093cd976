"""Batch normalisation folded into convolutions: the same answers, and only where that is certain."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vicinal.models import build_model
from vicinal.models.registry import ARCHITECTURES, architecture, input_of
from vicinal.training.folding import fold_batch_norm

torch.set_num_threads(1)
# The smallest network of each family; those of timm are tested where timm is.
SMALLEST = {
    "cifar_resnet": "resnet8_narrow",
    "wide_resnet": "wrn_16_1",
    "vgg": "vgg8",
    "mobilenet_v2": "mobilenet_v2",
    "shufflenet_v1": "shufflenet_v1",
    "shufflenet_v2": "shufflenet_v2",
    "torchvision_networks": "resnet18_imagenet",
    "timm_networks": "resnetv2_50_imagenet",
}


def seasoned(model, *image):
    """Return a network in evaluation mode whose batch normalisation has seen images, and other images."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    with torch.no_grad():
        model.train()(torch.randn(16, *image))
    return model.eval(), torch.randn(4, *image)


def norms_left(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@torch.no_grad()
def assert_same_answers(model, images, left):
    """Check that the folded network answers as before, and how many normalisations are left."""
    before = model(images)
    assert fold_batch_norm(model) is model
    assert norms_left(model) == left
    torch.testing.assert_close(model(images), before, rtol=1e-5, atol=1e-5 * float(before.abs().max()))


def test_every_family_is_tested():
    assert SMALLEST.keys() == {entry["family"] for entry in ARCHITECTURES.values()}


@pytest.mark.parametrize("name", SMALLEST.values())
def test_folded_networks_answer_as_before(name):
    if name.startswith("resnetv2"):
        pytest.importorskip("timm")
    torch.manual_seed(0)
    size = 64 if input_of(architecture(name)) else 16
    model, images = seasoned(build_model(architecture(name), 10), 3, size, size)
    # In wide ResNets the first of each block, and the last of all, normalise sums. timm's have their own classes.
    left = {"wrn_16_1": 7, "resnetv2_50_imagenet": 49}.get(name, 0)
    assert_same_answers(model, images, left)


class Net(nn.Module):
    """Convolution and normalisation; how they are used is up to each test."""

    def __init__(self, use):
        super().__init__()
        self.conv, self.norm, self.use = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), use

    def forward(self, x):
        return self.use(self, x)


def doubled(x):
    return x * 2 if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("use", "left"),
    [
        (lambda net, x: net.norm(net.conv(x)), 0),
        (lambda net, x: net.norm(F.relu(net.conv(x))), 1),
        (lambda net, x: net.conv(net.norm(x)), 1),
        (lambda net, x: (lambda y: net.norm(y) + y)(net.conv(x)), 1),
        (lambda net, x: net.norm(net.conv(net.conv(x))), 1),
        (lambda net, x: net.norm(net.norm(net.conv(x))), 1),
        (lambda net, x: net.norm(net.conv(x)) * net.norm.weight.sum(), 1),
        (lambda net, x: F.conv2d(net.norm(net.conv(x)), net.conv.weight), 1),
        (lambda net, x: doubled(net.norm(net.conv(x))), 1),
    ],
    ids=["pair", "between", "after", "read", "twice", "normalised-twice", "weight", "tied", "branches"],
)
def test_only_what_nothing_else_reads_is_folded(use, left):
    torch.manual_seed(0)
    assert_same_answers(*seasoned(Net(use), 3, 8, 8), left)


class Standardised(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight / self.weight.std(), self.bias, padding=1)


def with_alias(net):
    net.again = net.norm


def with_hook(net):
    net.conv.register_forward_hook(lambda module, inputs, output: output * 2)


def with_own_convolution(net):
    net.conv = Standardised(3, 3, 3)


@pytest.mark.parametrize("change", [with_alias, with_hook, with_own_convolution])
def test_layers_that_are_more_than_they_seem_stay(change):
    torch.manual_seed(0)
    net = Net(lambda net, x: net.norm(net.conv(x)))
    change(net)
    assert_same_answers(*seasoned(net, 3, 8, 8), 1)


def test_weights_stay_channels_last_and_hooks_of_the_network_stay():
    net, images = seasoned(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), 3, 8, 8)
    net.to(memory_format=torch.channels_last)
    net.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 3,))
    assert_same_answers(net, images, 0)
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)

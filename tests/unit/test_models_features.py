"""Penultimate features: of every family they are what the last layer turns into the logits."""

import pytest
import torch
from built_models import FAMILIES, images, make, need_timm, randomise
from torch import nn

from vicinal.errors import VicinalError
from vicinal.models.features import penultimate
from vicinal.models.registry import ARCHITECTURES

torch.set_num_threads(1)

# Of each family and each kind of network in it, name → pixels a side and number of features.
NETWORKS = {
    "resnet8": (8, 64), "resnet8_narrow": (8, 32), "wrn_16_2": (8, 128), "vgg8": (8, 512), "mobilenet_v2": (32, 1280),
    "shufflenet_v1": (32, 960), "shufflenet_v2": (32, 1024), "resnet18_imagenet": (32, 512),
    "resnet18_imagenet_dropout": (32, 512), "resnet18_imagenet_mlp": (32, 256), "mobilenet_v2_imagenet": (32, 1280),
    "convnext_tiny": (32, 768), "convnext_tiny_mlp": (32, 256), "vit_b_16": (224, 768),
    "resnetv2_50_imagenet": (32, 2048), "resnetv2_50_imagenet_mlp": (32, 256), "vit_b_16_in21k": (224, 768),
}  # fmt: skip


def test_every_family_is_tested():
    assert {ARCHITECTURES[name]["family"] for name in NETWORKS} == set(FAMILIES)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_turns_features_into_logits(name):
    need_timm(name)
    model, (size, wanted) = randomise(make(name, num_classes=7)), NETWORKS[name]
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.normal_(last.weight)  # a Vision Transformer's is 0
    x = images(2, size=size).double()
    with torch.no_grad():
        features, logits = penultimate(model, x)
    assert features.shape == (2, wanted)
    torch.testing.assert_close(features @ last.weight.T + last.bias, logits)
    assert features.std() > 1e-3
    assert not last._forward_pre_hooks


class Own(nn.Module):
    """A network of a user, whose last layer has another name."""

    def __init__(self, head, head_name="out"):
        super().__init__()
        self.out, self.head_name = head, head_name

    def forward(self, x):
        return self.out(x.flatten(1))


def test_a_users_network_says_what_its_last_layer_is_called():
    x = images(3, size=4)
    model = Own(nn.Linear(48, 5))
    features, logits = penultimate(model, x)
    assert torch.equal(features, x.flatten(1))
    assert torch.equal(logits, model(x))


class Tokens(Own):
    """A network that answers for each row of an image, and averages the answers."""

    def forward(self, x):
        return self.out(x.flatten(2)).mean(1)


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (Own(nn.Flatten()), "Own: no linear layer out; its last layer must be one, called fc or as head_name says"),
        (Own(nn.Linear(48, 5), head_name="fc"), "Own: no linear layer fc; its last layer must be one, .*"),
        (Tokens(nn.Linear(16, 5)), r"Tokens: its last layer must take \(3, D\) once, it took \[\(3, 3, 16\)\]"),
    ],
)
def test_a_network_without_such_a_layer_is_one_line(model, fault):
    with pytest.raises(VicinalError, match=f"^{fault}$"):
        penultimate(model, images(3, size=4))

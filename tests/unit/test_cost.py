"""Costs of networks: against torch's own counts, and against published numbers."""

import subprocess
import sys

import pytest
import torch
import torchvision
from built_models import SMALL, TIMM, need_timm
from torch.utils.flop_counter import FlopCounterMode

from vicinal.errors import VicinalError
from vicinal.models import build_model
from vicinal.models.cost import model_cost
from vicinal.models.registry import TRUNKS, architecture

# data sets: classes, channels, height, width; the last are odd sizes
SIZES = [(10, 1, 8, 8), (100, 3, 32, 32), (10, 1, 28, 28), (7, 2, 33, 45)]


# the same of photographs; a Vision Transformer takes one size only
PHOTO_SIZES = [(100, 3, 224, 224), (7, 3, 97, 161)]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[2]}x{size[3]}")
def test_parameters_and_multiply_accumulates_are_those_that_torch_counts(name, size):
    compare(name, size)


@pytest.mark.parametrize("name", [*TRUNKS, "resnet18_imagenet_mlp", "convnext_tiny_mlp", "vit_b_16_dropout"])
def test_counts_of_networks_for_photographs_are_those_of_torch(name):
    need_timm(name)
    for size in PHOTO_SIZES[: 1 if name.startswith("vit") else 2]:
        compare(name, size)


def compare(name, size):
    classes, channels, height, width = size
    # on the device "meta" shapes are followed and nothing is computed
    with torch.device("meta"):
        model = build_model(architecture(name), classes, channels).eval()
        images = torch.empty(1, channels, height, width)
    counter = FlopCounterMode(display=False)
    with counter:
        model(images)
    cost = model_cost(architecture(name), *size)
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert 2 * cost.macs == counter.get_total_flops()
    # attention has two linear layers: a projection of its own and a module
    kinds = torch.nn.Conv2d | torch.nn.Linear | torch.nn.MultiheadAttention
    assert cost.layers == sum(isinstance(m, kinds) for m in model.modules())
    assert cost.weights_bytes == sum(t.numel() * t.element_size() for t in model.state_dict().values())


# Multiply-accumulates of one image of 224x224 at 1000 classes, in 10^9: what torchvision publishes with its weights.
@pytest.mark.parametrize("name", [name for name in TRUNKS if name not in TIMM])
def test_multiply_accumulates_are_the_published_ones(name):
    published = torchvision.models.get_model_weights(name.removesuffix("_imagenet")).IMAGENET1K_V1.meta
    cost = model_cost(architecture(name), 1000, 3, 224, 224)
    assert round(cost.macs / 1e9, 3) == published["_ops"]
    assert cost.parameters == published["num_params"]


# results/results-imagenet.csv of timm: millions of parameters at 1000 classes; R101x1 as its ResNetV2-101
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnetv2_50_imagenet", 25.55),
        ("resnetv2_101_imagenet", 44.54),
        ("resnetv2_152x2_bit", 236.34),
        ("resnetv2_101x1_bit", 44.54),
        ("vit_b_16_in21k", 86.57),
    ],
)
def test_parameters_of_timms_networks_are_the_published_ones(name, millions):
    assert round(model_cost(architecture(name), 1000, 3, 224, 224).parameters / 1e6, 2) == millions


# its model cards: 10^9 multiply-accumulates of an image of 224x224
@pytest.mark.parametrize(("name", "billions"), [("resnetv2_50_imagenet", 4.1), ("resnetv2_101_imagenet", 7.8)])
def test_multiply_accumulates_of_timms_networks_are_the_published_ones(name, billions):
    assert round(model_cost(architecture(name), 1000, 3, 224, 224).macs / 1e9, 1) == billions


def test_a_vision_transformer_costs_the_same_from_torchvision_and_from_timm():
    costs = [model_cost(architecture(name), 1000, 3, 224, 224) for name in ("vit_b_16", "vit_b_16_in21k")]
    assert costs[0] == costs[1]


def test_resnetv2_152_is_keras_resnet152v2_but_for_its_biases():
    # Keras counts 60,380,648, of which 143,744 are statistics of batch normalisation.
    blocks = zip((256, 512, 1024, 2048), (3, 8, 36, 3), strict=True)
    biases = 64 + sum((repeats + 1) * width for width, repeats in blocks)  # stem; last convolutions and shortcuts
    parameters = model_cost(architecture("resnetv2_152_imagenet"), 1000, 3, 224, 224).parameters
    assert parameters + biases == 60_380_648 - 143_744


def test_a_vision_transformer_takes_one_size():
    for name in ("vit_b_16_mlp", "vit_b_16_in21k"):
        with pytest.raises(VicinalError, match=r"vit_b_16: takes images of 224x224, not 32x32"):
            model_cost(architecture(name), 10, 3, 32, 32)


# He et al. 2016, table 6; Zagoruyko & Komodakis 2016, table 4: millions of parameters, CIFAR-10
@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet20", 0.27), ("resnet56", 0.85), ("resnet110", 1.7), ("wrn_40_1", 0.6), ("wrn_40_2", 2.2)],
)
def test_parameters_are_the_published_ones(name, millions):
    parameters = model_cost(architecture(name), 10, 3, 32, 32).parameters / 1e6
    assert parameters == pytest.approx(millions, abs=0.06)


def test_a_family_that_is_not_listed_is_named():
    with pytest.raises(VicinalError, match=r"the layers of the family 'perceptron' are not listed"):
        model_cost({"family": "perceptron"}, 10, 3, 32, 32)


def test_no_torch_is_imported():
    code = "import sys, vicinal.models.cost; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

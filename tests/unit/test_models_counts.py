"""Parameter counts and depths of the models against published numbers."""

import itertools

import pytest
import torch
from built_models import RESNETS, count, make
from torch import nn

from vicinal.models import build_model
from vicinal.models.registry import ARCHITECTURES

torch.set_num_threads(1)

# 100 classes. resnet20, 56, 110: model list of osmr/imgclsmob; wrn_40_2: the public code of AugMix.
# The others: the public implementation of Tian et al. 2020 (CRD), as quoted in the literature.
COUNTS = {
    "resnet20": 278_324,
    "resnet56": 861_620,
    "resnet110": 1_736_564,
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn_16_2": 703_284,
    "wrn_40_1": 569_780,
    "wrn_40_2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "mobilenet_v2": 812_836,
    "shufflenet_v1": 949_258,
    "shufflenet_v2": 1_355_528,
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_parameter_count(name):
    assert count(make(name)) == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "millions"),
    # He et al. 2016, table 6, 10 classes
    [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85)],
)
def test_parameter_count_of_the_resnet_paper(name, millions):
    assert round(count(make(name, num_classes=10)) / 1e6, 2) == pytest.approx(millions, abs=0.011)


@pytest.mark.parametrize(
    ("depth", "widen_factor", "num_classes", "parameters"),
    # model list of osmr/imgclsmob; the paper rounds these to 36.5 M, 17.1 M and 35.7 M
    [(28, 10, 10, 36_479_194), (16, 10, 10, 17_116_634), (16, 10, 100, 17_174_324), (40, 8, 10, 35_748_314)],
)
def test_published_parameter_count_of_wider_wrns(depth, widen_factor, num_classes, parameters):
    entry = {"family": "wide_resnet", "depth": depth, "widen_factor": widen_factor}
    with torch.device("meta"):
        assert count(build_model(entry, num_classes)) == parameters


@pytest.mark.parametrize(
    ("name", "depth"), [(n, ARCHITECTURES[n]["depth"]) for n in (*RESNETS, "wrn_16_1", "wrn_16_2", "wrn_40_1")]
)
def test_depth_counts_the_layers_with_weights(name, depth):
    model = make(name)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    spatial = [m for m in convolutions if m.kernel_size == (3, 3)]
    shortcuts = [m for m in convolutions if m.kernel_size == (1, 1)]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    widths = ARCHITECTURES[name].get("widths") or [
        16 * k for k in (1, *(ARCHITECTURES[name]["widen_factor"] * m for m in (1, 2, 4)))
    ]
    changes = sum(a != b for a, b in itertools.pairwise(widths))
    assert len(shortcuts) == changes
    assert sum(m.stride == (2, 2) for m in spatial) == 2
    if name.startswith("resnet"):
        assert len(spatial) + 1 == depth  # and the linear layer
        assert len(norms) == len(convolutions)
    else:
        assert len(spatial) + 3 == depth  # the paper counts a shortcut convolution a stage
        assert len(norms) == len(spatial)

"""Costs of networks: against torch's own counts, and against published numbers."""

import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vicinal.errors import VicinalError
from vicinal.models import build_model
from vicinal.models.cost import model_cost
from vicinal.models.registry import ARCHITECTURES, architecture

# data sets: classes, channels, height, width; the last are odd sizes
SIZES = [(10, 1, 8, 8), (100, 3, 32, 32), (10, 1, 28, 28), (7, 2, 33, 45)]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[2]}x{size[3]}")
def test_parameters_and_multiply_accumulates_are_those_that_torch_counts(name, size):
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
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert cost.layers == len(layers)
    assert cost.weights_bytes == sum(t.numel() * t.element_size() for t in model.state_dict().values())


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

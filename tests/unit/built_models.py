"""Models, and what several tests do with them."""

from importlib.util import find_spec

import pytest
import torch
from torch import nn

from vicinal.models import build_model
from vicinal.models.registry import ARCHITECTURES, TRUNKS, architecture, input_of

SMALL = [name for name in ARCHITECTURES if input_of(architecture(name)) is None]
TIMM = [name for name in TRUNKS if TRUNKS[name]["family"].startswith("timm")]
RESNETS = sorted(name for name in SMALL if name.startswith("resnet"))
FAMILIES = sorted({entry["family"] for entry in ARCHITECTURES.values()})


def need_timm(name):
    """Skip the test of a network of timm where that is not installed."""
    if architecture(name)["family"].startswith("timm") and find_spec("timm") is None:
        pytest.skip("the optional package timm is not installed: with pip install timm its networks are tested")


def timm_name(name):
    """Return what timm calls a network of ours."""
    return TRUNKS[name]["network"]


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def make(name, num_classes=100, in_channels=3, seed=0):
    torch.manual_seed(seed)
    return build_model(architecture(name), num_classes, in_channels)


def images(n=2, channels=3, size=32):
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(1))


def randomise(model):
    """Float64, eval mode, and no normalisation left at its neutral initial value."""
    model.double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, least in ((module.weight, 0.5), (module.running_var, 0.5)):
                nn.init.uniform_(tensor, least, least + 1)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
    return model


def transplant(model, oracle):
    """Load the weights of ``model`` into ``oracle``, matched by their order."""
    weights, slots = list(model.state_dict().values()), oracle.double().state_dict()
    assert [w.shape for w in weights] == [s.shape for s in slots.values()]
    oracle.load_state_dict(dict(zip(slots, weights, strict=True)))
    return oracle.eval()

"""Models, and what several tests do with them."""

import torch
from torch import nn

from vicinal.models import build_model
from vicinal.models.registry import ARCHITECTURES, architecture

RESNETS = sorted(name for name in ARCHITECTURES if name.startswith("resnet"))
FAMILIES = sorted({entry["family"] for entry in ARCHITECTURES.values()})


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

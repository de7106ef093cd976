"""What the networks for photographs share: their last layers, and checks of their parameters."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from vicinal.errors import VicinalError, nearest

HIDDEN = 256  # units of the authors' head
HEADS = ("linear", "mlp")


class Dropout(nn.Module):
    """Dropout whose choices depend only on the network's seed and on the number of its calls in training.

    So a student drops the same features alone and in a cohort, on a CPU and on a GPU, interrupted or not. The choices
    come from a counter and a mixing function (splitmix64; Steele, Lea & Flood 2014) in integers that wrap around.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share
        # It starts from the seed of the initial weights.
        self.register_buffer("count", torch.tensor(torch.initial_seed() % 2**31 << 31))

    def forward(self, x: Tensor) -> Tensor:
        """Set a share of the values to 0 in training, drawn at random, and scale the others up."""
        if not self.training or not self.share:
            return x
        positions = torch.arange(x.numel(), device=x.device).view(x.shape)
        bits = _mixed(_mixed(self.count) + positions)
        self.count += 1
        # the upper 31 bits, without the sign
        kept = (bits >> 32 & 0x7FFFFFFF) >= self.share * 2**31
        return x * kept / (1 - self.share)


def _mixed(x: Tensor) -> Tensor:
    """Return pseudo-random integers (int64) for these integers."""
    x = x + _signed(0x9E3779B97F4A7C15)
    x = (x ^ (x >> 30 & 2**34 - 1)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> 27 & 2**37 - 1)) * _signed(0x94D049BB133111EB)
    return x ^ (x >> 31 & 2**33 - 1)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


class LinearHead(nn.Linear):
    """Dropout of the features, then a linear layer. Its weights have the names of a plain linear layer's."""

    def __init__(self, layer: nn.Linear, dropout: float):
        super().__init__(layer.in_features, layer.out_features)
        # The network has drawn these initial weights for its last layer.
        self.weight, self.bias = layer.weight, layer.bias
        self.dropout = Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, F) to logits (N, K)."""
        return super().forward(self.dropout(x))


class MlpHead(nn.Sequential):
    """The authors' head: linear to 256 units, batch normalisation, ReLU, dropout, linear. Initial weights: torch's."""

    def __init__(self, features: int, num_classes: int, dropout: float):
        layers = {
            "hidden": nn.Linear(features, HIDDEN),
            "norm": nn.BatchNorm1d(HIDDEN),
            "relu": nn.ReLU(),
            "dropout": Dropout(dropout),
            "output": nn.Linear(HIDDEN, num_classes),
        }
        super().__init__(OrderedDict(layers))


def replace_head(network: nn.Module, name: str, head: str, dropout: float) -> None:
    """Replace a network's last layer by a head: features (N, F) to logits (N, K).

    ``network.head_name`` keeps its name, for ``load_pretrained``.

    Args:
        network: with a last linear layer for F features and K classes; a linear head keeps its weights.
        head: ``linear``, or ``mlp`` for the authors' head (``MlpHead``).
        dropout: share of the features that are dropped before the last linear layer, in [0, 1).

    Raises:
        VicinalError: there is no such head.
    """
    check_choice("head", head, HEADS)
    layer = network.get_submodule(name)
    mlp = head == "mlp"
    new = MlpHead(layer.in_features, layer.out_features, dropout) if mlp else LinearHead(layer, dropout)
    network.set_submodule(name, new)
    network.head_name = name


def check_rgb(in_channels: int) -> None:
    """Raise VicinalError unless the images are RGB."""
    if in_channels != 3:
        raise VicinalError(f"in_channels: {in_channels}; the networks for photographs take RGB images, 3 channels")


def check_choice(field: str, value: Any, choices: Iterable[Any]) -> None:
    """Raise VicinalError unless a parameter of an architecture is one of ``choices``."""
    choices = list(choices)
    if value not in choices:
        raise VicinalError(f"architecture.{field}: there is no {value!r}{nearest(value, choices)}")

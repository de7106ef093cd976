"""What the networks for photographs share: checks of their parameters, and their last layers."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from vicinal.errors import VicinalError, nearest

HIDDEN = 256  # units of the authors' head
HEADS = ("linear", "mlp")


class LinearHead(nn.Linear):
    """Dropout of the features, then a linear layer. Its weights have the names of a plain linear layer's."""

    def __init__(self, layer: nn.Linear, dropout: float):
        super().__init__(layer.in_features, layer.out_features)
        # the initial weights that the network drew for its last layer
        self.weight, self.bias = layer.weight, layer.bias
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, F) to logits (N, K)."""
        return super().forward(F.dropout(x, self.dropout, self.training))


class MlpHead(nn.Sequential):
    """The authors' head: linear to 256 units, batch normalisation, ReLU, dropout, linear. Initial weights: torch's."""

    def __init__(self, features: int, num_classes: int, dropout: float):
        layers = {
            "hidden": nn.Linear(features, HIDDEN),
            "norm": nn.BatchNorm1d(HIDDEN),
            "relu": nn.ReLU(),
            "dropout": nn.Dropout(dropout),
            "output": nn.Linear(HIDDEN, num_classes),
        }
        super().__init__(OrderedDict(layers))


def replace_head(network: nn.Module, name: str, head: str, dropout: float) -> None:
    """Put a head in the place of a network's last layer: features (N, F) to logits (N, K).

    The name is left in ``network.head_name``, for ``load_pretrained``.

    Args:
        network: with a last layer of the right numbers of features and classes; a linear head keeps its weights.
        name: of the last layer.
        head: ``linear``, or ``mlp`` for the authors' head (``MlpHead``).
        dropout: share of the features that are dropped before the last linear layer, in [0, 1).

    Raises:
        VicinalError: ``head`` or ``dropout`` is wrong.
    """
    check_choice("head", head, HEADS)
    check_share("dropout", dropout)
    layer = network.get_submodule(name)
    mlp = head == "mlp"
    new = MlpHead(layer.in_features, layer.out_features, dropout) if mlp else LinearHead(layer, dropout)
    network.set_submodule(name, new)
    network.head_name = name


def check_rgb(in_channels: int) -> None:
    """Check that the images are RGB.

    Raises:
        VicinalError: they are not.
    """
    if in_channels != 3:
        raise VicinalError(f"in_channels: {in_channels}; the networks for photographs take RGB images, 3 channels")


def check_choice(field: str, value: Any, choices: Iterable[Any]) -> None:
    """Check that a parameter of an architecture is one of ``choices``.

    Raises:
        VicinalError: it is not.
    """
    choices = list(choices)
    if value not in choices:
        raise VicinalError(f"architecture.{field}: there is no {value!r}{nearest(value, choices)}")


def check_share(field: str, value: Any) -> None:
    """Check that a parameter of an architecture is a number in [0, 1).

    Raises:
        VicinalError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise VicinalError(f"architecture.{field}: {value!r} is not a number from 0 to below 1")

"""The networks of timm, an optional package."""

from torch import nn

from vicinal.errors import VicinalError


def timm_network(name: str, num_classes: int) -> nn.Module:
    """Return a network with fresh weights.

    Args:
        name: timm's name of it.
        num_classes: number of logits K.

    Raises:
        VicinalError: timm is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise VicinalError(
            f"architecture.family: {name} is a network of the package timm, which cannot be imported ({error}):"
            " pip install 'timm>=1.0'"
        ) from None
    return timm.create_model(name, num_classes=num_classes)

"""The penultimate features of any network: what its last linear layer takes."""

from torch import Tensor, nn

from vicinal.errors import VicinalError


def penultimate(model: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features (N, D) and logits (N, K) of a network for inputs (N, C, H, W), from one pass.

    In evaluation mode logits = features · weightᵀ + bias of the last linear layer. In the authors' head, an MLP, that
    is its second layer, and the features are its 256 hidden units. Raises VicinalError: the last layer is not linear,
    or does not take one vector an image.
    """
    taken: list[Tensor] = []
    hook = _last_linear(model).register_forward_pre_hook(lambda layer, arguments: taken.append(arguments[0]))
    with hook:
        logits = model(inputs)
    shapes = [tuple(features.shape) for features in taken]
    if len(taken) != 1 or shapes[0][:-1] != (len(inputs),):
        raise VicinalError(
            f"{type(model).__name__}: its last layer must take ({len(inputs)}, D) once, it took {shapes}"
        )
    return taken[0], logits


def _last_linear(model: nn.Module) -> nn.Linear:
    """Return the head of a network, ``fc`` or as its ``head_name`` says, or the last linear layer in the head."""
    name = getattr(model, "head_name", "fc")
    heads = [module for path, module in model.named_modules() if path == name]
    layers = [layer for head in heads for layer in head.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        remedy = "its last layer must be one, called fc or as head_name says"
        raise VicinalError(f"{type(model).__name__}: no linear layer {name}; {remedy}")
    return layers[-1]

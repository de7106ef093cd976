"""Batch normalisation folded into the convolutions before it, in networks that are no longer trained.

A frozen normalisation multiplies each channel by a factor and adds a summand, which a convolution can do by its weights
and its bias.
"""

from collections import Counter

from torch import nn
from torch.fx import Node, Tracer
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Fold batch normalisation into convolutions, in place, wherever that changes answers by rounding alone.

    A convolution takes up the normalisation of its output if nothing else reads that output, as the graph of the
    forward pass shows. Layers that are called twice, have hooks or are of a derived class stay, and so does all of a
    network whose forward pass cannot be written as one graph.

    Args:
        model: in evaluation mode.

    Returns:
        The model.
    """
    try:
        nodes = list(Tracer().trace(model).nodes)
    except Exception:  # the forward pass is the user's: tracing it raises anything
        return model
    read = [node.target for node in nodes if node.op == "get_attr"]
    if any(name.startswith("_tensor_constant") for name in read):  # computed from weights, perhaps
        return model
    called = Counter(id(model.get_submodule(node.target)) for node in nodes if node.op == "call_module")
    named = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    for node in nodes:
        pair = _pair(model, node)
        if pair is None or any(called[id(module)] > 1 or named[id(module)] > 1 for module in pair):
            continue
        names = node.args[0].target, node.target
        if not any(name.startswith((f"{names[0]}.", f"{names[1]}.")) for name in read):
            model.set_submodule(names[0], fuse_conv_bn_eval(*pair))
            model.set_submodule(names[1], nn.Identity())
    return model


def _pair(model: nn.Module, node: Node) -> tuple[nn.Conv2d, nn.BatchNorm2d] | None:
    """Return the normalisation that a node calls and the convolution before it, if they are one step of the network."""
    if node.op != "call_module" or node.kwargs or len(node.args) != 1 or not isinstance(node.args[0], Node):
        return None
    before = node.args[0]
    if before.op != "call_module" or len(before.users) > 1:
        return None
    conv, norm = model.get_submodule(before.target), model.get_submodule(node.target)
    if type(conv) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d or norm.running_var is None:
        return None
    return None if _has_hooks(conv) or _has_hooks(norm) else (conv, norm)


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)

"""Convolutions that add bias, shortcut and ReLU in one kernel of cuDNN, in networks that are no longer trained."""

import operator

import torch
import torch.nn.functional as F
from torch import fx, nn

RELU, ADD = {F.relu, torch.relu, torch.relu_, nn.ReLU, "relu", "relu_"}, {operator.add, operator.iadd, torch.add, "add"}
# Answers may differ by the rounding of bf16, relative to their size.
TOLERANCE = 0.1


class FusedNetwork(nn.Module):
    """A frozen network with fused convolutions.

    Its first call compares the answers with those of the plain network, and only if they agree the fused ones are used.

    Args:
        plain: the network in bf16, in evaluation mode.
        fused: the same network with fused convolutions (``fuse``).
    """

    def __init__(self, plain: nn.Module, fused: nn.Module) -> None:
        super().__init__()
        self.plain, self._fused = plain, fused
        self._usable: bool | None = None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the plain network returns, up to rounding."""
        if self._usable is None:
            problem = self._problem(inputs)
            self._usable = problem is None
            if problem:
                print(f"the teacher's convolutions are not fused, so this is slower: {problem}", flush=True)
        return (self._fused if self._usable else self.plain)(inputs)

    def _problem(self, inputs: torch.Tensor) -> str | None:
        answers = self.plain(inputs).float()
        try:
            fused = self._fused(inputs).float()
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return next(iter(str(error).splitlines()), type(error).__name__)
        return None if _agree(answers, fused) else "they give other answers"


def _agree(answers: torch.Tensor, fused: torch.Tensor) -> bool:
    return bool((fused - answers).norm() <= TOLERANCE * answers.norm())


class _ConvRelu(nn.Module):
    """ReLU of a convolution with a bias, and of a shortcut that is added to it."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor | None = None) -> torch.Tensor:
        conv = self.conv
        geometry = conv.stride, conv.padding, conv.dilation, conv.groups
        x = x.to(conv.weight.dtype)
        if shortcut is None:
            return torch.cudnn_convolution_relu(x, conv.weight, conv.bias, *geometry)
        return torch.cudnn_convolution_add_relu(x, conv.weight, shortcut, 1.0, conv.bias, *geometry)


def fuse(model: nn.Module) -> nn.Module:
    """Return a network with fused convolutions, which shares the model's weights; the model itself where none can be.

    Args:
        model: in bf16 on a GPU, in evaluation mode, its batch normalisation folded into its convolutions.
    """
    try:
        graph = fx.symbolic_trace(model)
    except Exception:  # the forward pass is the user's: tracing it raises anything
        return model
    graph._forward_pre_hooks.update(model._forward_pre_hooks)
    for node in [node for node in graph.graph.nodes if _calls(graph, node, {nn.Identity})]:
        node.replace_all_uses_with(node.args[0])
        graph.graph.erase_node(node)
    count = 0
    for node in [node for node in graph.graph.nodes if _calls(graph, node, RELU)]:
        if (found := _fusible(graph, node)) is None:
            continue
        conv, between, shortcut = found
        name = f"fused_{count}"
        graph.add_submodule(name, _ConvRelu(graph.get_submodule(conv.target)))
        with graph.graph.inserting_before(node):
            node.replace_all_uses_with(graph.graph.call_module(name, (conv.args[0], *shortcut)))
        for old in (node, *between, conv):
            graph.graph.erase_node(old)
        count += 1
    graph.recompile()
    return FusedNetwork(model, graph) if count else model


def _fusible(graph: fx.GraphModule, relu: fx.Node) -> tuple[fx.Node, list[fx.Node], list[fx.Node]] | None:
    """Return the convolution that a ReLU follows, the addition between them if there is one, and what it adds."""
    before = relu.args[0]
    if _is_conv(graph, before):
        return before, [], []
    if not _calls(graph, before, ADD) or len(before.users) > 1 or before.kwargs or len(before.args) != 2:
        return None
    for conv, other in (before.args, before.args[::-1]):
        if _is_conv(graph, conv) and isinstance(other, fx.Node):
            return conv, [before], [other]
    return None


def _is_conv(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node is a convolution with a bias that is read once."""
    if not _calls(graph, node, {nn.Conv2d}) or len(node.users) > 1:
        return False
    conv = graph.get_submodule(node.target)
    return conv.bias is not None and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _calls(graph: fx.GraphModule, node: fx.Node, what: set) -> bool:
    """Return whether a node calls one of these functions, methods or kinds of modules."""
    if not isinstance(node, fx.Node) or node.op not in ("call_module", "call_function", "call_method"):
        return False
    target = type(graph.get_submodule(node.target)) if node.op == "call_module" else node.target
    return target in what

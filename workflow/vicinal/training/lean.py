"""Forward passes in training that start few kernels: small networks wait for launches, not for sums."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Rounded(torch.autograd.Function):
    """Rounds float32 tensors to bf16 by one call, and turns their gradients into float32 by another."""

    @staticmethod
    def forward(ctx: object, *weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _converted(weights, torch.bfloat16)

    @staticmethod
    def backward(ctx: object, *gradients: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _converted(gradients, torch.float32)


def _converted(tensors: tuple[torch.Tensor, ...], dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    new = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    torch._foreach_copy_(new, tensors)
    return tuple(new)


class LeanForward:
    """The network's forward pass with a kernel for all layers where torch starts one a layer.

    The weights of convolutions and linear layers are rounded to bf16 together; autocast would round each by itself, to
    the same numbers. Batch normalisation does not count its batches: ``count_batches`` does it for all networks.

    Args:
        model: in training; which of its parameters are trained must not change any more.
        bf16: whether it runs in bf16.
    """

    def __init__(self, model: nn.Module, *, bf16: bool) -> None:
        modules = list(model.modules())
        # Without a momentum the count is part of the computation.
        self._norms = [module for module in modules if isinstance(module, _BatchNorm) and module.momentum is not None]
        # Not those of subclasses, which may do something else with their weights before they round them.
        layers = [module for module in modules if bf16 and type(module) in (nn.Conv2d, nn.Linear)]
        self._trained = [
            (layer._parameters, name, value)
            for layer in layers
            for name, value in layer._parameters.items()
            if value is not None and value.requires_grad
        ]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Let calls of the network be lean meanwhile."""
        counters = [(norm._buffers, "num_batches_tracked", norm.num_batches_tracked) for norm in self._norms]
        rounded = _Rounded.apply(*(value for _, _, value in self._trained)) if self._trained else ()
        for (place, name, _), value in zip(self._trained, rounded, strict=True):
            place[name] = value
        for place, name, _ in counters:
            place[name] = None
        try:
            yield
        finally:
            for place, name, value in self._trained + counters:
                place[name] = value

    def counters(self) -> list[torch.Tensor]:
        """Return the counters of the layers that a batch counts for: those in training mode."""
        norms = (norm for norm in self._norms if norm.training)
        return [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]


def count_batches(passes: list[LeanForward]) -> None:
    """Count a batch in all layers of these networks that are in training mode, by one call."""
    if counters := [counter for lean in passes for counter in lean.counters()]:
        torch._foreach_add_(counters, 1)

"""What networks compute over a batch, where several processes have a slice of it each: batch normalisation, dropout.

Modules keep their classes, parameters and names; only their forward passes in training are others. Evaluation is as
ever.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from vicinal.errors import VicinalError
from vicinal.parallel import Group


def synchronise(model: torch.nn.Module, group: Group, id_: str) -> None:
    """Let a network, in place, compute in training what it would compute on the whole batch.

    Args:
        model: batch normalisation takes the statistics of the whole batch from now on.
        group: the processes.
        id_: of the model, for messages.

    Raises:
        VicinalError: it draws random numbers, row by row, that differ between processes; or has a batch normalisation
            of an unknown kind.
    """
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            module.forward = partial(_own_forward(module, f"{id_}: {name}"), module, group)
        elif _draws(module):
            raise VicinalError(
                f"{id_}: {name} ({type(module).__name__}) draws other random numbers in every process: "
                "set execution.gpus_per_job=1, or a model without it"
            )


def _draws(module: torch.nn.Module) -> bool:
    """Tell whether a module draws from torch's generator in training."""
    if isinstance(module, _DropoutNd):
        return module.p > 0
    if isinstance(module, torch.nn.MultiheadAttention):
        return module.dropout > 0
    # torchvision's and timm's ways to leave out blocks
    share = {"StochasticDepth": "p", "DropPath": "drop_prob"}.get(type(module).__name__)
    return share is not None and bool(getattr(module, share))


def _own_forward(module: _BatchNorm, where: str):
    if type(module).forward is _BatchNorm.forward and module.track_running_stats:
        return normalise
    if type(module).__name__ == "BatchNormAct2d":  # timm's: with dropout and activation in one module
        return _normalise_and_activate
    raise VicinalError(
        f"{where} ({type(module).__name__}): is not known to several processes: set execution.gpus_per_job=1"
    )


def normalise(module: _BatchNorm, group: Group, x: torch.Tensor) -> torch.Tensor:
    """Return x (N, C, ...) normalised as ``module`` would the whole batch, of which each process has some rows.

    In training the statistics are those of all rows, and the running ones are updated as torch does, with the unbiased
    variance. Else as ever.
    """
    if not module.training:
        return _BatchNorm.forward(module, x)
    y, mean, variance, count = _Normalise.apply(x, module.weight, module.bias, module.eps, group)
    with torch.no_grad():
        module.num_batches_tracked.add_(1)
        factor = 1 / module.num_batches_tracked if module.momentum is None else module.momentum
        module.running_mean.lerp_(mean, factor)
        module.running_var.lerp_(variance * (count / (count - 1)), factor)
    return y


def _normalise_and_activate(module: torch.nn.Module, group: Group, x: torch.Tensor) -> torch.Tensor:
    return module.act(module.drop(normalise(module, group, x)))


class _Normalise(torch.autograd.Function):
    """Batch normalisation by the statistics of all processes (Ioffe & Szegedy 2015, algorithm 1).

    Means and variances of the slices are joined as Chan, Golub & LeVeque (1983) do, which loses no digits where the
    mean is large. Gradients of weight and bias are those of this process's rows alone: like all gradients of parameters
    they are summed later.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps, group):
        channels = x.shape[1]
        own = torch.zeros(2 * channels + 1, device=x.device)
        if len(x):
            variance, mean = torch.var_mean(x.float(), _dims(x), correction=0)
            own[:channels], own[channels:-1] = mean, variance
            own[-1] = x.numel() // channels
        every = group.gather(own)
        means, variances, counts = every[:, :channels], every[:, channels:-1], every[:, -1:]
        count = counts.sum()
        mean = (means * counts).sum(0) / count
        variance = ((variances + (means - mean).square()) * counts).sum(0) / count
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps, ctx.group = eps, group
        ctx.mark_non_differentiable(mean, variance, count)
        y = F.batch_norm(x, mean, variance, weight, bias, eps=eps) if len(x) else x.clone()
        return y, mean, variance, count

    @staticmethod
    def backward(ctx, gradient, *_):
        x, weight, mean, variance, count = ctx.saved_tensors
        shape = (1, -1, *[1] * (x.dim() - 2))
        gradient, deviation = gradient.float(), x.float() - mean.view(shape)
        scale = (variance + ctx.eps).rsqrt()
        own = torch.cat([gradient.sum(_dims(x)), (gradient * deviation).sum(_dims(x))])
        of_bias, of_weight = own[: len(mean)].clone(), own[len(mean) :] * scale
        of_x = None
        if ctx.needs_input_grad[0]:
            ctx.group.add(own)
            first, second = (own / count).view(2, *shape)
            of_x = gradient - first - deviation * (second * scale.square().view(shape))
            of_x = (of_x * (scale if weight is None else scale * weight).view(shape)).to(x.dtype)
        return of_x, None if weight is None else of_weight, None if weight is None else of_bias, None, None


def _dims(x: torch.Tensor) -> list[int]:
    return [dim for dim in range(x.dim()) if dim != 1]

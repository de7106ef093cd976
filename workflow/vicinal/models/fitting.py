"""Load what somebody brings into a network: by the names of its tensors, or else its layers by their order."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import nn

from vicinal.errors import VicinalError
from vicinal.models.checkpoint_file import read_checkpoint, shown
from vicinal.words import count

# Counters in a state dict, which a file may lack.
COUNTERS = ("num_batches_tracked", "dropout.count")


def load_checkpoint(model: nn.Module, path: Path | str) -> bool:
    """Load all weights of a file into a network, its last layer too.

    Where less than half of the names are the network's, the file's layers are taken in their order; the parameters of a
    layer still go by their names.

    Args:
        model: from ``build_model``, on the CPU.
        path: see ``read_checkpoint``.

    Returns:
        Whether the layers were taken in their order.

    Raises:
        VicinalError: the file holds no weights, those of another network or for other classes or channels, or values
            that no network can compute with; one line.
        OSError: the file cannot be read.
    """
    state, wanted = read_checkpoint(path), model.state_dict()
    ordered = 2 * len(state.keys() & wanted.keys()) < len(state)
    try:
        names = _by_order(state, wanted) if ordered else dict(zip(state, state, strict=True))
        state = {mine: state[other] for mine, other in names.items()}
        _check_kinds(state, wanted, names, f"{getattr(model, 'head_name', 'fc')}.")
        # Not a comparison of names: modules translate the names of older versions themselves.
        missing, unknown = model.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.endswith(COUNTERS)]
        problems = [f"{what}: {shown(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
        if problems:
            raise _of_another("; ".join(problems))
        _check_values(model.state_dict(), names)
    except _FitError as error:
        raise VicinalError(f"{path}: {error}") from None
    except RuntimeError:  # of load_state_dict, under names of older versions
        raise VicinalError(f"{path}: the weights of another network (shapes or types differ)") from None
    return ordered


class _FitError(Exception):
    """Why weights do not fit, without the name of the file."""


def _of_another(problem: str) -> _FitError:
    return _FitError(f"the weights of another network ({problem})")


def _by_order(state: dict[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return our name → the file's name of each tensor; the n-th layer of the file is our n-th."""
    ours, theirs = _layers(wanted), _layers(state)
    if len(ours) != len(theirs):
        raise _of_another(f"{count(len(theirs), 'layer')}: {shown(theirs)}; not {len(ours)}: {shown(ours)}")
    weights = [name for name in state if not name.endswith(COUNTERS)]
    if weights == sorted(weights):
        raise _FitError(
            f"{shown(weights[:1])} is no name of ours, and all names are sorted, as in safetensors files, so that "
            "the order of the layers is lost: name the file that torch saved"
        )
    if stray := _out_of_order(theirs):
        raise _FitError(
            f"{shown([stray])} is no name of ours, and stands out of order: save model.state_dict() as it is"
        )
    names = {}
    for (mine, params), (other, found) in zip(ours.items(), theirs.items(), strict=True):
        if params != found:
            raise _of_another(f"{shown([other])} with {shown(sorted(found))} for {mine} with {shown(sorted(params))}")
        names |= {_joined(mine, param): _joined(other, param) for param in params}
    return names


def _layers(names: Iterable[str]) -> dict[str, set[str]]:
    """Return layer → names of its parameters."""
    layers: dict[str, set[str]] = {}
    for name in names:
        if not name.endswith(COUNTERS):
            layer, _, param = name.rpartition(".")
            layers.setdefault(layer, set()).add(param)
    return layers


def _joined(layer: str, param: str) -> str:
    return f"{layer}.{param}" if layer else param


def _out_of_order(layers: Iterable[str]) -> str | None:
    """Return the first layer whose number is lower than one before it in the same place, as conv1 after conv2."""
    highest: dict[str, tuple[int, str]] = {}
    for layer in layers:
        for match in re.finditer(r"([0-9]+)(?=\.|$)", layer):
            digits = match[0].lstrip("0")
            number, place = (len(digits), digits), layer[: match.start()]
            if number < highest.setdefault(place, number):
                return layer
            highest[place] = number
    return None


def _check_kinds(
    state: dict[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], names: Mapping[str, str], head: str
) -> None:
    """Check types and shapes; a last layer that is a 1x1 convolution, as timm keeps it, becomes linear in ``state``."""
    other, classes = [], []
    for name in [name for name in state if name in wanted]:
        value, own = state[name], wanted[name]
        if own.is_floating_point() and not value.is_floating_point():
            raise _FitError(f"{shown([names[name]])} holds whole numbers ({value.dtype}), not weights as they are used")
        if name.startswith(head) and value.shape == (*own.shape, 1, 1):
            state[name] = value.flatten(1)
        elif name.startswith(head) and value.dim() == own.dim() and len(value) != len(own):
            classes.append(f"weights for {len(value):,} classes, the data have {len(own):,}")
        elif value.shape != own.shape:
            other.append(name)
    if other == [first := next(iter(wanted))]:
        found, own = state[first].shape, wanted[first].shape
        if found[:1] + found[2:] == own[:1] + own[2:] and len(found) == len(own):
            raise _FitError(f"weights for images of {count(found[1], 'channel')}, the data have {own[1]}")
    if other:
        differ = [f"{names[name]} {(*state[name].shape,)} for {(*wanted[name].shape,)}" for name in other]
        raise _of_another(f"shapes differ: {shown(differ)}")
    if classes:
        raise _FitError(classes[0])


def _check_values(loaded: Mapping[str, torch.Tensor], names: Mapping[str, str]) -> None:
    """Check that all values are finite and no variance is negative."""
    for name, value in loaded.items():
        what = shown([names.get(name, name)])
        if not value.isfinite().all():
            raise _FitError(f"{what} has values that are NaN or infinite: no network can compute with them")
        if name.endswith("running_var") and (value < 0).any():
            raise _FitError(f"{what} has negative values, which no variance can have: the file is damaged")

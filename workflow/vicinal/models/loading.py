"""Load given weights into a network."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from vicinal import files
from vicinal.errors import VicinalError

SHOWN = 3  # names in a message


def load_pretrained(model: nn.Module, path: Path | str, head: bool = False, sha256: str = "") -> str:
    """Load a file of weights into a network; their names and shapes must be those of the network.

    Args:
        model: from ``build_model``, on the CPU.
        path: a state dict, as a safetensors file (ending in ``.safetensors``) or as torch saves it; no code in it is
            run.
        head: load the last layer too. False keeps the fresh one of the model, whatever the file holds.

    Returns:
        The SHA-256 of the file.

    Raises:
        VicinalError: the file is missing, damaged or no state dict, or of another network; the message has the first
            names that do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise VicinalError(f"{path}: no such file; give a file of weights, or run fetch_weights.py for published ones")
    found = files.sha256(path)
    if not found.startswith(sha256):
        raise VicinalError(f"{path}: damaged or replaced: its SHA-256 is {found}, not {sha256}")
    state = _read(path)
    last = f"{getattr(model, 'head_name', 'fc')}."  # fc in the networks for small images
    if not head:
        state = {name: value for name, value in state.items() if not name.startswith(last)}
    wanted = model.state_dict()
    for name, value in state.items():
        # timm keeps last layers as 1x1 convolutions
        if name.startswith(last) and name in wanted and value.shape == (*wanted[name].shape, 1, 1):
            state[name] = value.flatten(1)
    other = {
        name: f"{name} {tuple(value.shape)} for {tuple(wanted[name].shape)}"
        for name, value in state.items()
        if name in wanted and value.shape != wanted[name].shape
    }
    if other and all(name.startswith(last) and len(state[name]) != len(wanted[name]) for name in other):
        name = next(iter(other))
        raise VicinalError(f"{path}: weights for {len(state[name]):,} classes, the data have {len(wanted[name]):,}")
    if other:
        raise _of_another_network(path, f"shapes differ: {_first(other.values())}")
    # Not a comparison of names: modules translate the names of older versions themselves.
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if head or not name.startswith(last)]
    missing = [name for name in missing if not name.endswith("dropout.count")]  # a counter, not a weight
    problems = [f"{what}: {_first(names)}" for what, names in (("missing", missing), ("unknown", unexpected)) if names]
    if problems:
        raise _of_another_network(path, "; ".join(problems))
    return found


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in a file by name."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # another format can fail anywhere
        first = next(iter(str(error).splitlines()), "")
        raise VicinalError(f"{path}: not a file of weights ({type(error).__name__}: {first[:200]})") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise VicinalError(f"{path}: not a state dict (name → tensor); save model.state_dict() alone")
    # Without the versions of modules that torch adds, modules accept the names of all versions.
    return dict(state)


def _of_another_network(path: Path, problem: str) -> VicinalError:
    return VicinalError(f"{path}: the weights of another network ({problem})")


def _first(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more

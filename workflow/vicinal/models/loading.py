"""Load weights that somebody else trained into a network."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from vicinal import files
from vicinal.errors import VicinalError

SHOWN = 3  # names in a message


def load_pretrained(model: nn.Module, path: Path | str, head: bool = False, sha256: str = "") -> str:
    """Load the weights in a file into a network: all of them, and no others.

    Args:
        model: from ``build_model``, on the CPU.
        path: a state dict, as a safetensors file (ending in ``.safetensors``) or as torch saves it; no code in it is
            run. A teacher of one's own is such a file as well.
        head: also load the last layer, where the file is of the same head and classes. False leaves the model's fresh
            one, whatever the file has.
        sha256: what the file's checksum must begin with.

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
    # Names of older versions are understood by the modules themselves, so they say what is missing.
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [
        name
        for name in missing
        # how often a network was asked is not a weight
        if (head or not name.startswith(last)) and not name.endswith("dropout.count")
    ]
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
    except Exception as error:  # what is not in the format can fail anywhere
        first = next(iter(str(error).splitlines()), "")
        raise VicinalError(f"{path}: not a file of weights ({type(error).__name__}: {first[:200]})") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise VicinalError(f"{path}: not a state dict (name → tensor); save model.state_dict() alone")
    # without what torch adds about versions: modules then look for names of all of them
    return dict(state)


def _of_another_network(path: Path, problem: str) -> VicinalError:
    return VicinalError(f"{path}: the weights of another network ({problem})")


def _first(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more

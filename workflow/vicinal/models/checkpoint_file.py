"""Read a file of weights that somebody brings, whatever its ending: its tensors by name, or a line that says why not.

No code in a file is run. What a message quotes of a file has no control characters.
"""

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vicinal.errors import VicinalError

SHOWN = 3  # names in a message
REMEDY = "save model.state_dict() alone by torch.save, where the network was trained"

# How files begin that are no weights, in small letters.
OTHERS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run git lfs pull where it was cloned",
    b"<": "a web page, not weights: download the file itself (on a hub, its raw or resolve address)",
    b"{": "a JSON file, not weights",
    b"\x89hdf": "an HDF5 file, as Keras writes it, not weights of torch",
    b"\x93numpy": "a NumPy array, not weights by name",
    b"\x1f\x8b": "a compressed file: unpack it (gzip -d or tar -xzf)",
    b"gguf": "a GGUF file, not weights of torch",
}
# Where training scripts keep the weights in a file with other things.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network")
# What profilers (thop) and averages of weights leave among them.
NOT_WEIGHTS = ("total_ops", "total_params", "n_averaged")
# What training scripts save beside the weights: a Namespace of settings, numbers and arrays of NumPy (1 and 2).
_NUMPY = {"scalar": np.float64(0).__reduce__()[0], "_reconstruct": np.zeros(1).__reduce__()[0]}
HARMLESS = [
    argparse.Namespace,
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in "?bhilqBHILQefdU"),  # numbers and text, no objects
    *((made_by, f"numpy.{core}.multiarray.{name}") for name, made_by in _NUMPY.items() for core in ("core", "_core")),
]


def read_checkpoint(path: Path | str) -> dict[str, torch.Tensor]:
    """Return the tensors in a file by name, in its order: dense, on the CPU, without what wraps them.

    A network is found in a file with other things (``WRAPPERS``, or else as the only mapping of names to tensors). What
    stands before all names, as ``module.``, is left out.

    Args:
        path: a state dict or a checkpoint that torch saved, or a safetensors file; the ending does not matter.

    Raises:
        VicinalError: it is missing, damaged or something else; one line, which names the file.
        OSError: it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        kind = (
            "a folder; name the file of weights in it"
            if path.is_dir()
            else "no such file; give a file of weights, or run fetch_weights.py for published ones"
        )
        raise VicinalError(f"{path}: {kind}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about kinds of tensors that are refused here
            state = _unwrapped(_content(path))
            for name, value in state.items():
                if kind := _unusual(value):
                    raise _ContentError(f"{shown([name])} is a {kind} tensor: save dense floating-point weights")
    except _ContentError as error:
        raise VicinalError(f"{path}: {error}") from None
    return state


def shown(names: Iterable[Any]) -> str:
    """Return the first names as a text for a message, without control characters."""
    names = [str(name)[:80] for name in names]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name if name.isprintable() else ascii(name) for name in names[:SHOWN]) + more


class _ContentError(Exception):
    """What is wrong with a file, without its name."""


def _content(path: Path) -> Any:
    """Return what is in a file, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise _ContentError("an empty file")
    if start[8:9] == b"{" and start[5:8] == bytes(3):  # after the length of the header
        try:
            return load_file(path)
        except SafetensorError:
            raise _ContentError("a safetensors file that is damaged or incomplete: copy or download it again") from None
    if start.startswith(b"PK\3\4"):
        _check_archive(path)
    elif not start.startswith(b"\x80"):
        text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
        kind = next((kind for beginning, kind in OTHERS.items() if text.startswith(beginning)), None)
        raise _ContentError(kind or "neither a safetensors file nor one that torch saved")
    try:
        # An open file, since torch chooses the format by the ending of a path.
        with path.open("rb") as file, torch.serialization.safe_globals(HARMLESS):
            return torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged file can fail anywhere; torch's own words advise to run the code in it
        if "can't allocate memory" in str(error):
            raise
        named = isinstance(error, pickle.UnpicklingError) and re.search(r"GLOBAL ([\w.]+)", str(error))
        if named:
            raise _ContentError(
                f"holds more than weights ({named[1]}), and no code in a file is run: {REMEDY}"
            ) from None
        raise _ContentError(f"damaged, incomplete or not saved by torch: copy it again, or {REMEDY}") from None


def _check_archive(path: Path) -> None:
    """Check that a zip archive is whole, and one that torch saves weights in."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.rpartition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError):  # the second: a compression or version unknown to it
        raise _ContentError("an incomplete or damaged file: copy or download it again") from None
    if "constants.pkl" in members:
        raise _ContentError(f"a TorchScript program, not weights: {REMEDY}")
    if "data.pkl" not in members:
        raise _ContentError("a zip archive that torch did not save: unpack it, and name the file of weights in it")


def _unwrapped(content: Any) -> dict[str, torch.Tensor]:
    """Return the tensors by name of the one network that a file holds."""
    inner = {key: value for key, value in content.items() if _is_state(value)} if isinstance(content, Mapping) else {}
    if inner:
        names = [key for key in WRAPPERS if key in inner] or list(inner)
        if len(names) > 1:
            raise _ContentError(f"holds several networks ({shown(names)}): save the state dict of one alone")
        content = inner[names[0]]
    if not _is_state(content):
        held = shown(content) if isinstance(content, Mapping) else type(content).__name__
        raise _ContentError(f"no state dict (name → tensor); it holds {held or 'nothing'}: {REMEDY}")
    if any(not isinstance(name, str) for name in content):
        raise _ContentError(f"its tensors have keys that are no names of layers ({shown(content)}): {REMEDY}")
    state = {name: value.detach() for name, value in content.items() if isinstance(value, torch.Tensor)}
    state = {name: value for name, value in state.items() if name.rpartition(".")[2] not in NOT_WEIGHTS}
    while state and len({name.partition(".")[0] for name in state}) == 1 and all(n.count(".") > 1 for n in state):
        state = {name.partition(".")[2]: value for name, value in state.items()}
    return {name.replace("_orig_mod.", ""): value for name, value in state.items()}


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(entry, torch.Tensor) for entry in value.values())


def _unusual(value: torch.Tensor) -> str | None:
    """Return what sets a tensor apart from plain numbers in memory, if anything does."""
    if value.is_quantized:
        return "quantised"
    if value.is_meta:
        return "meta"
    if value.layout != torch.strided or value.is_nested:
        return "nested" if value.is_nested else "sparse"
    return "complex" if value.is_complex() else None

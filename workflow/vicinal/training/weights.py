"""Trained networks on disk: their weights as safetensors files (no pickles), history and record."""

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vicinal.errors import VicinalError
from vicinal.files import atomic_path, sha256, write_table
from vicinal.jobs.records import weights_sha256, write_result
from vicinal.models import build_model
from vicinal.results import HISTORY, RECORD, WEIGHTS
from vicinal.training.history import history_table
from vicinal.training.inputs import Images, adapt, to_device


def save_state(path: Path, state: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as a safetensors file, atomically.

    Raises:
        OSError: the file cannot be written; it names ``path``.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if not code:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from None


def save_model(
    directory: Path, state: dict[str, torch.Tensor], history: list[dict], wanted: dict[str, Any], made: dict[str, Any]
) -> None:
    """Write a finished model into its directory, all or nothing; a finished one that is there is kept.

    Args:
        directory: of the model.
        state: the state dict.
        history: one row an epoch (``vicinal.training.history``); none where nothing was trained.
        wanted: what decides whether the model still counts: id, spec, code, sha256 of data and teacher.
        made: how it was made (``provenance``).
    """
    files = {
        WEIGHTS: partial(save_state, state=state),
        HISTORY: partial(write_table, table=history_table(history)),
    }
    write_result(directory / RECORD, wanted, files, {"provenance": made})


def load_weights(directory: Path, model: torch.nn.Module) -> None:
    """Load the weights of a finished model.

    Raises:
        VicinalError: the file is missing, truncated, changed, or of another network; the message names it.
    """
    path = directory / WEIGHTS
    expected = weights_sha256(directory)
    remedy = f"delete {directory} and run again to train it anew"
    if not path.is_file():
        raise VicinalError(f"{path}: no such file; {remedy}")
    if sha256(path) != expected:
        raise VicinalError(f"{path}: damaged or replaced (its checksum is not the recorded one); {remedy}")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise VicinalError(f"{path}: not a safetensors file ({error}); {remedy}") from None
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if {name: tuple(value.shape) for name, value in state.items()} != wanted:
        raise VicinalError(f"{path}: the weights of another network; {remedy}")
    model.load_state_dict(state)


def trained_network(directory: Path, spec: dict[str, Any], images: Images) -> torch.nn.Module:
    """Return the finished model in a directory, on the device of some images.

    Args:
        directory: of the model.
        spec: of the model.
        images: of the data that it was trained on, in the normalisation of the data.

    Raises:
        VicinalError: its weights are missing, damaged or of another network.
    """
    model = build_model(spec["model"], images.num_classes, images.channels)
    load_weights(directory, model)
    return to_device(adapt(model, spec, images), images.device)

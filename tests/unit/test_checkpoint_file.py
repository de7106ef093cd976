"""Reading a file of weights that somebody brings: what is found in it, and the line that refuses it."""

import argparse
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vicinal.errors import VicinalError
from vicinal.models.checkpoint_file import read_checkpoint

STATE = {"conv.weight": torch.arange(18.0).view(2, 1, 3, 3), "fc.weight": torch.ones(5, 2), "fc.bias": torch.zeros(5)}
OLD = {"_use_new_zipfile_serialization": False}


def within(prefix: str, state: dict = STATE) -> dict:
    return {f"{prefix}{name}": value for name, value in state.items()}


def saved(path: Path, content: object, **options) -> Path:
    torch.save(content, path, **options)
    return path


# What is found


CHECKPOINTS = {
    "alone": STATE,
    "RepDistiller": {"opt": argparse.Namespace(lr=0.1), "model": STATE, "best_acc": torch.tensor(70.0)},
    "mdistiller": {"epoch": 240, "model": STATE, "best_acc": np.float64(70.5), "top5": np.float32(90)},
    "optimizer": {"net": STATE, "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": []}},
    "state of NumPy": {"state_dict": STATE, "random": np.random.RandomState(0).get_state()},
    "average beside": {"state_dict": STATE, "state_dict_ema": within("", {"x": torch.ones(1)})},
    "Lightning": {"state_dict": within("model."), "callbacks": {"best": {"score": torch.tensor(1.0)}}},
    "another key": {"weights": STATE, "epoch": 3},
    "parallel": within("module."),
    "compiled and parallel": {"model_state_dict": within("_orig_mod.module.")},
    "compiled in parts": {name.replace("conv.", "conv._orig_mod."): value for name, value in STATE.items()},
    "averaged": {**within("module."), "n_averaged": torch.tensor(3)},
    "profiled": {**STATE, "total_ops": torch.zeros(1), "conv.total_params": torch.zeros(1)},
    "parameters": {name: nn.Parameter(value) for name, value in STATE.items()},
}


@pytest.mark.parametrize("options", [{}, OLD], ids=["zip", "old format"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_weights_are_found_in_what_scripts_save(tmp_path, name, options):
    found = read_checkpoint(saved(tmp_path / "checkpoint", CHECKPOINTS[name], **options))
    assert list(found) == list(STATE)
    assert all(torch.equal(found[key], value) and not found[key].requires_grad for key, value in STATE.items())


def test_numbers_that_numpy_1_saved(tmp_path):
    path = saved(tmp_path / "old.pth", {"model": STATE, "best_acc": np.float64(1)}, **OLD)
    renamed = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in renamed
    path.write_bytes(renamed)
    assert list(read_checkpoint(path)) == list(STATE)


@pytest.mark.parametrize("ending", ["pth", "safetensors", "bin", "ckpt"])
def test_the_ending_does_not_matter(tmp_path, ending):
    path = tmp_path / f"weights.{ending}"
    for save in (
        lambda: save_file(STATE, path),
        lambda: torch.save(STATE, path),
        lambda: torch.save(STATE, path, **OLD),
    ):
        save()
        assert read_checkpoint(path).keys() == STATE.keys()


# What is refused


class Runs:
    """What a pickle could run."""

    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model.pth", "x")


def cut_after(save: Callable[[Path], object], share: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        save(path)
        cut(path, share)

    return write


def holding(content: object, **options) -> Callable[[Path], object]:
    return lambda path: saved(path, content, **options)


def of_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


REFUSED = {
    "nothing": (lambda path: None, "no such file"),
    "a folder": (Path.mkdir, "a folder"),
    "empty": (of_bytes(b""), "an empty file"),
    "Git LFS": (of_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), "a Git LFS pointer"),
    "web page": (of_bytes(b"\xef\xbb\xbf\n<!DOCTYPE html><html>"), "a web page, not weights: download the file itself"),
    "JSON": (of_bytes(b'{"metadata": {}}'), "a JSON file"),
    "text": (of_bytes(b"hello"), "neither a safetensors file nor one that torch saved"),
    "Keras": (of_bytes(b"\x89HDF\r\n\x1a\n"), "an HDF5 file"),
    "gzip": (of_bytes(b"\x1f\x8b\x08"), "a compressed file: unpack it"),
    "NumPy": (lambda path: np.save(path.open("wb"), np.ones(2)), "a NumPy array"),
    "arrays": (lambda path: np.savez(path.open("wb"), a=np.ones(2)), "a zip archive that torch did not save"),
    "zipped": (archive, "a zip archive that torch did not save: unpack it"),
    "cut zip": (cut_after(holding(STATE), 0.5), "an incomplete or damaged file: copy or download it again"),
    "cut old": (cut_after(holding(STATE, **OLD), 0.5), "damaged, incomplete or not saved by torch"),
    "cut safe": (cut_after(lambda path: save_file(STATE, path), 0.9), "a safetensors file that is damaged"),
    "junk": (of_bytes(b"\x80\x02text"), "damaged, incomplete or not saved by torch"),
    "a pickle": (of_bytes(pickle.dumps(STATE)), "damaged, incomplete or not saved by torch"),
    "program": (lambda path: torch.jit.script(nn.Linear(2, 3)).save(str(path)), "a TorchScript program"),
    "network": (holding(nn.Linear(2, 3)), "holds more than weights (torch.nn.modules.linear.Linear), and no code"),
    "code": (holding({"model": STATE, "x": Runs()}), "holds more than weights (getattr), and no code in a file is run"),
    "objects": (holding({"model": STATE, "x": np.array([{}], object)}), "damaged, incomplete or not saved by torch"),
    "tensor": (holding(torch.ones(2)), "no state dict (name → tensor); it holds Tensor"),
    "list": (holding([torch.ones(2)]), "no state dict (name → tensor); it holds list"),
    "no weights": (holding({"epoch": 3, "acc": 1.0}), "no state dict (name → tensor); it holds epoch, acc"),
    "empty dict": (holding({}), "no state dict (name → tensor); it holds nothing"),
    "numbers": (holding({0: torch.ones(2)}), "its tensors have keys that are no names of layers (0)"),
    "two": (holding({"model": STATE, "net": STATE}), "holds several networks (model, net)"),
    "sparse": (holding({"fc.weight": torch.eye(3).to_sparse()}), "fc.weight is a sparse tensor"),
    "meta": (holding({"fc.weight": torch.empty(2, device="meta")}), "fc.weight is a meta tensor"),
    "complex": (holding({"fc.weight": torch.ones(2, dtype=torch.complex64)}), "fc.weight is a complex tensor"),
    "quantised": (
        lambda path: saved(path, {"fc.weight": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}),
        "fc.weight is a quantised tensor",
    ),
    "escape codes": (holding({"\x1b[31m\nred": torch.eye(3).to_sparse()}), r"'\x1b[31m\nred' is a sparse tensor"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of torch, when these files are made
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, monkeypatch, capfd, recwarn, name, ending):
    monkeypatch.chdir(tmp_path)
    path, (make, line) = Path(f"weights.{ending}"), REFUSED[name]
    make(path)
    recwarn.clear()
    with pytest.raises(VicinalError) as error:
        read_checkpoint(path)
    text = str(error.value)
    assert text.startswith(f"{path}: {line}")
    assert text.isprintable()
    assert len(text) < 250
    assert "weights_only" not in text  # torch's advice to run the code
    assert not Path("ran").exists()
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


def test_a_network_that_holds_itself_ends(tmp_path):
    state = dict(STATE)
    state["model"] = state
    assert read_checkpoint(saved(tmp_path / "cycle.pth", state)).keys() == STATE.keys()

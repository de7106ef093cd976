"""Trained models on disk: what is written is read back, and what is not the model is refused by name."""

import errno
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from vicinal import weights
from vicinal.errors import VicinalError, describe
from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.records import RECORD, WEIGHTS, artefact_lock, is_finished, weights_sha256

WANTED = {"id": "student-1", "spec": {"seed": 1}, "code": "abc", "data_sha256": "d", "teacher_sha256": None}


def network(name="resnet8_narrow"):
    return build_model(architecture(name), 10, 1)


@pytest.fixture
def saved(tmp_path):
    model = network()
    folder = tmp_path / "student-1"
    weights.save_model(folder, model.state_dict(), [{"epoch": 1, "loss": 2.0}], WANTED, {"device": "cpu"})
    return folder, model


def test_round_trip(saved):
    folder, model = saved
    other = network()
    weights.load_weights(folder, other)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert pd.read_parquet(folder / "history.parquet").to_dict("records") == [{"epoch": 1, "loss": 2.0}]
    assert json.loads((folder / RECORD).read_text())["provenance"] == {"device": "cpu"}
    assert sorted(path.name for path in folder.iterdir()) == ["history.parquet", "model.json", "weights.safetensors"]


def test_channels_last_weights_are_saved_as_they_are(tmp_path):
    model = network().to(memory_format=torch.channels_last)
    weights.save_model(tmp_path / "m", model.state_dict(), [], WANTED, {})
    other = network()
    weights.load_weights(tmp_path / "m", other)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_finished_only_if_everything_agrees(saved):
    folder, _ = saved
    assert is_finished(folder / RECORD, WANTED)
    for field, value in {"spec": {"seed": 2}, "code": "x", "data_sha256": "x", "teacher_sha256": "x"}.items():
        assert not is_finished(folder / RECORD, {**WANTED, field: value}), field


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "no record", "record is no JSON", "record is a list"])
def test_a_damaged_model_is_not_finished(saved, damage):
    folder, _ = saved
    path = folder / WEIGHTS
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "truncate":
        path.write_bytes(content[:-10])
    elif damage == "delete":
        path.unlink()
    elif damage == "no record":
        (folder / RECORD).unlink()
    else:
        (folder / RECORD).write_text("[1]" if "list" in damage else "{")
    assert not is_finished(folder / RECORD, WANTED)


def _record_sum(folder):
    record = json.loads((folder / RECORD).read_text())
    record["sha256"][WEIGHTS] = weights.sha256(folder / WEIGHTS)
    (folder / RECORD).write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("corrupt", "damaged or replaced"),
        ("foreign file", "not a safetensors file"),
        ("another network", "the weights of another network"),
        ("missing", "no such file"),
    ],
)
def test_loading_refuses_by_name(saved, damage, says):
    folder, _ = saved
    path = folder / WEIGHTS
    if damage == "corrupt":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    elif damage == "foreign file":
        path.write_bytes(b"PK\x03\x04 this is no safetensors file")
        _record_sum(folder)
    elif damage == "another network":
        save_file(network("resnet14").state_dict(), path)
        _record_sum(folder)
    else:
        path.unlink()
    with pytest.raises(VicinalError) as caught:
        weights.load_weights(folder, network())
    message = describe(caught.value)
    assert says in message
    assert str(path) in message
    assert "run again" in message
    assert "\n" not in message


def test_weights_sha256_of_something_else(tmp_path):
    (tmp_path / RECORD).write_text('{"a": 1}')
    with pytest.raises(VicinalError, match="not the record of a model"):
        weights_sha256(tmp_path)


def test_a_full_disk_leaves_nothing_behind_and_the_old_model_whole(saved, monkeypatch):
    folder, model = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / WEIGHTS))

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        weights.save_model(folder, model.state_dict(), [], {**WANTED, "code": "new"}, {})
    assert "weights.safetensors: no space left on device" in describe(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


SECOND = """
import sys
from pathlib import Path
from vicinal.records import artefact_lock
with artefact_lock(Path(sys.argv[1]), "x"):
    print("has it", flush=True)
"""


def test_the_lock_of_an_artefact_keeps_a_second_process_waiting(tmp_path):
    with artefact_lock(tmp_path, "x"):
        second = subprocess.Popen([sys.executable, "-c", SECOND, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert second.stdout.readline() == "x: another process is working on it; waiting\n"
        assert second.poll() is None
    assert second.communicate(timeout=30)[0] == "has it\n"
    assert second.returncode == 0

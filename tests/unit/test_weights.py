"""Trained models on disk: what is written is read back, and what is not the model is refused by name."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from full_disk import full_disk
from safetensors.torch import save_file

from vicinal.errors import VicinalError, describe
from vicinal.jobs.records import is_finished, weights_sha256
from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.results import RECORD, WEIGHTS
from vicinal.training import weights
from vicinal.training.history import training_history

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
    history = training_history(folder)
    assert history[["epoch", "loss"]].to_dict("records") == [{"epoch": 1, "loss": 2.0}]
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


def test_a_disk_that_fills_while_weights_are_written_is_one_line(tmp_path):
    path = tmp_path / "w.safetensors"
    with full_disk(), pytest.raises(OSError, match="File too large") as caught:
        weights.save_state(path, network().state_dict())
    assert describe(caught.value) == f"{path}: file too large"
    assert list(tmp_path.iterdir()) == []


# Finished models are written once: a second writer drops its own


def listing(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_a_finished_model_is_kept(saved):
    folder, _ = saved
    before = listing(folder)
    weights.save_model(folder, network().state_dict(), [{"epoch": 1, "loss": 3.0}], WANTED, {"device": "other"})
    assert listing(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("stale", ["other code", "damaged"])
def test_one_that_does_not_count_is_replaced(saved, stale):
    folder, model = saved
    wanted = WANTED
    if stale == "other code":
        wanted = {**WANTED, "code": "new"}
    else:
        (folder / WEIGHTS).write_bytes(b"x")
    weights.save_model(folder, model.state_dict(), [{"epoch": 1, "loss": 3.0}], wanted, {"device": "other"})
    assert is_finished(folder / RECORD, wanted)
    assert json.loads((folder / RECORD).read_text())["provenance"] == {"device": "other"}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("before", ["nothing", "stale"])
def test_the_first_of_two_that_finish_at_once_counts(tmp_path, monkeypatch, before):
    folder, state = tmp_path / "student-1", network().state_dict()
    if before == "stale":
        weights.save_model(folder, state, [], {**WANTED, "code": "old"}, {"writer": 0})
    second = threading.Thread(target=weights.save_model, args=(folder, state, [], WANTED, {"writer": 2}))
    rename = Path.rename

    def slow(self, target):
        if second.ident is None:  # the first rename of the first writer
            second.start()
            time.sleep(0.2)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", slow)
    weights.save_model(folder, state, [], WANTED, {"writer": 1})
    second.join()
    assert json.loads((folder / RECORD).read_text())["provenance"] == {"writer": 1}
    assert is_finished(folder / RECORD, WANTED)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


WRITER = """
import sys
from pathlib import Path
from vicinal import files
from vicinal.files import atomic_directory, sha256, write_json
from vicinal.jobs.records import is_finished
files.LOCK_POLL_SECONDS = 0.01
wanted = {"id": "student-1", "code": "new"}
print("ready", flush=True)
sys.stdin.readline()
for turn in range(30):
    target = Path(sys.argv[1]) / f"student-{turn}"
    with atomic_directory(target, keep=lambda other: is_finished(other / "model.json", wanted)) as folder:
        (folder / "weights.safetensors").write_bytes(bytes(10_000))
        sums = {"weights.safetensors": sha256(folder / "weights.safetensors")}
        write_json(folder / "model.json", {**wanted, "sha256": sums, "provenance": sys.argv[2]})
"""


def test_five_writers_at_once_do_no_harm(tmp_path):
    for turn in range(30):
        if turn % 2:
            weights.save_model(tmp_path / f"student-{turn}", {"a": torch.zeros(3)}, [], {"code": "old"}, {})
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen([*command, str(number)], **pipes) for number in range(5)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        assert writer.communicate(timeout=60)[1] == ""
        assert writer.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"student-{turn}" for turn in range(30))
    for turn in range(30):
        assert is_finished(tmp_path / f"student-{turn}" / RECORD, {"id": "student-1", "code": "new"})

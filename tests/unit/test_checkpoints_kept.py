"""Checkpoints on disk: which one is found, whatever happened to it, and when and how they are written."""

import copy
import json
import os

import pytest
import torch
from checkpointed import MACHINE, RECORDS, STEPS, StopError, checkpoints_in, make, record, run
from full_disk import full_disk
from safetensors import safe_open

from vicinal.jobs.records import remove_checkpoints
from vicinal.results import checkpoint_folder
from vicinal.training import checkpoint, weights
from vicinal.training.checkpoint import describe_machine, find_checkpoint, resumption
from vicinal.training.numerics import Numerics


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder with two generations, of steps 2 and 4."""
    folder = tmp_path_factory.mktemp("two")
    learners, checkpoints = make(RECORDS), checkpoints_in(folder)

    def on_step(moment):
        if moment.epoch * STEPS + moment.step in (2, 4):
            checkpoints.save(learners, moment, 1.5)
        if moment.epoch:
            raise StopError

    with pytest.raises(StopError):
        run(learners, on_step=on_step)
    assert len(list(folder.iterdir())) == 2
    return folder


@pytest.fixture
def generations(two, tmp_path):
    for path in two.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    older, newer = sorted(tmp_path.iterdir())
    return older, newer


def step_of(found):
    return None if found is None else found.info["epoch"] * STEPS + found.info["step"]


def test_the_furthest_is_taken(generations):
    assert step_of(find_checkpoint(generations[0].parent, RECORDS)) == 4


def test_the_file_is_plain_safetensors(generations):
    with safe_open(generations[1], "pt") as file:
        names, metadata = set(file.keys()), file.metadata()
    assert {"losses", "rng.cpu", "0.state.fc.weight", "2.buffer.0", "1.good.fc.weight"} <= names
    assert json.loads(metadata["checkpoint"])["models"]["student_tstd"]["wanted"] == RECORDS[1]
    assert all(byte < 128 for byte in generations[1].read_bytes()[8:100])


@pytest.mark.parametrize("damage", ["truncated", "empty", "cut in its header", "flipped", "no checkpoint"])
def test_a_damaged_one_is_named_and_the_older_one_taken(generations, capsys, damage):
    older, newer = generations
    content = newer.read_bytes()
    ruined = {
        "truncated": content[: len(content) // 2],
        "empty": b"",
        "cut in its header": content[:50],
        "flipped": content[:-1000] + bytes([content[-1000] ^ 4]) + content[-999:],
        "no checkpoint": b"\x02\x00\x00\x00\x00\x00\x00\x00{}",
    }[damage]
    newer.write_bytes(ruined)
    assert step_of(find_checkpoint(newer.parent, RECORDS)) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"warning: {newer}: a damaged checkpoint, left out")
    assert "starting from the beginning" not in err
    older.write_bytes(ruined)
    assert find_checkpoint(newer.parent, RECORDS) is None
    assert f"warning: {newer.parent}: no checkpoint is whole; starting from the beginning\n" in capsys.readouterr().err


def test_a_flipped_bit_is_found_wherever_it_is(generations):
    older, newer = generations
    older.unlink()
    content = bytearray(newer.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    assert len(content) > 2 * header
    # All over the header, which is small, and the tensors.
    for place in [*range(0, header, 211), *range(header - 3, len(content), 20011), len(content) - 1]:
        content[place] ^= 1 << place % 8
        newer.write_bytes(content)
        assert find_checkpoint(newer.parent, RECORDS) is None, place
        content[place] ^= 1 << place % 8
    newer.write_bytes(content)
    assert step_of(find_checkpoint(newer.parent, RECORDS)) == 4


@pytest.mark.parametrize("change", [{"code": "other"}, {"data_sha256": "x"}, {"teacher_sha256": "x"}, {"spec": {}}])
def test_one_of_something_else_is_not_taken(generations, capsys, change):
    assert find_checkpoint(generations[0].parent, [{**record, **change} for record in RECORDS]) is None
    assert capsys.readouterr().out == ""


def test_which_models_it_holds(generations):
    new = record(8.0)
    assert find_checkpoint(generations[0].parent, [new]) is None
    found = find_checkpoint(generations[0].parent, [*RECORDS, new])
    assert [found.holds(record) for record in (*RECORDS, new, {**RECORDS[0], "code": "x"})] == [True] * 3 + [False] * 2


def test_without_a_folder_there_is_none(tmp_path, capsys):
    assert find_checkpoint(tmp_path / "nowhere", RECORDS) is None
    assert capsys.readouterr().out == ""


def test_another_machine_is_told(generations):
    found = find_checkpoint(generations[0].parent, RECORDS)
    assert resumption(found, MACHINE)["changed"] == {}
    told = resumption(found, {**MACHINE, "threads": 2, "gpu": "H100"})
    assert told["changed"] == {"threads": [1, 2], "gpu": [None, "H100"]}
    assert (told["epoch"], told["step"], told["host"]) == (1, 1, os.uname().nodename)
    assert describe_machine(torch.device("cpu"), Numerics("bf16")) == {
        "torch": torch.__version__, "device": "cpu", "threads": 1, "cpu": checkpoint.cpu_model(), "precision": "bf16",
    }  # fmt: skip


@pytest.fixture(scope="module")
def saved_moment():
    """Learners and the moment after two steps."""
    learners, moments = make(RECORDS), []

    def on_step(moment):
        if moment.step == 2:
            moments.append(copy.copy(moment))
            raise StopError

    with pytest.raises(StopError):
        run(learners, on_step=on_step)
    return learners, moments[0]


def test_two_generations_in_turn_and_those_of_others_go(saved_moment, tmp_path):
    for name in ("other-1-2.0.safetensors", ".tmp-x-other-1-2.1.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    checkpoints = checkpoints_in(tmp_path)
    checkpoints.save(*saved_moment, 1.0)
    assert len(list(tmp_path.iterdir())) == 3
    for _ in range(4):
        checkpoints.save(*saved_moment, 1.0)
        assert [path.name.split(".")[-2] for path in sorted(tmp_path.iterdir())] == ["0", "1"]
    remove_checkpoints(tmp_path.parent, "u")
    folder = checkpoint_folder(tmp_path, "u")
    checkpoints_in(folder).save(*saved_moment, 1.0)
    assert len(list(folder.iterdir())) == 1
    remove_checkpoints(tmp_path, "u")
    assert not folder.exists()


def test_it_is_made_in_time_and_costs_one_percent_at_most(saved_moment, tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    checkpoints = checkpoints_in(tmp_path)

    def slow(path, tensors, metadata):
        now[0] += 2.0

    monkeypatch.setattr(checkpoint, "save_state", slow)
    times = []
    while now[0] < 1700:
        now[0] += 1.0
        if checkpoints.is_due():
            times.append(now[0])
            checkpoints.save(*saved_moment, 1.0)
    assert times == [1060.0, 1262.0, 1464.0, 1666.0]
    assert checkpoints.seconds == 2.0


def test_a_full_disk_costs_one_line_and_the_older_one_stays(saved_moment, tmp_path, capsys):
    checkpoints = checkpoints_in(tmp_path)
    assert checkpoints.save(*saved_moment, 1.0)
    [path] = tmp_path.iterdir()
    before = path.read_bytes()
    with full_disk():
        assert not checkpoints.save(*saved_moment, 1.0)
        assert not checkpoints.save(*saved_moment, 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"warning: {str(path)[:-13]}1.safetensors: file too large: going on without this checkpoint"] * 2
    assert {other.name: other.read_bytes() for other in tmp_path.iterdir()} == {path.name: before}
    assert checkpoints.save(*saved_moment, 1.0)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_another_process_removes_costs_nothing(saved_moment, tmp_path, monkeypatch):
    folder = tmp_path / "u"
    checkpoints = checkpoints_in(folder)
    checkpoints.save(*saved_moment, 1.0)
    save = weights.save_state

    def removed_meanwhile(*arguments):
        save(*arguments)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    monkeypatch.setattr(checkpoint, "save_state", removed_meanwhile)
    assert checkpoints.save(*saved_moment, 1.0)
    monkeypatch.undo()
    assert checkpoints.save(*saved_moment, 1.0)
    assert find_checkpoint(folder, RECORDS).info["step"] == 2

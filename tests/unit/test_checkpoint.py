"""Checkpoints: a training that goes on from one equals, bit for bit, the one that never stopped."""

import copy
import json
import os

import pytest
import torch
from full_disk import full_disk
from safetensors import safe_open

from vicinal.data.catalogue import resolve_source
from vicinal.data.prepare import prepare_data
from vicinal.jobs.records import remove_checkpoints
from vicinal.models.registry import architecture
from vicinal.results import checkpoint_folder
from vicinal.training import checkpoint, weights
from vicinal.training.checkpoint import Checkpoints, describe_machine, find_checkpoint, resumption
from vicinal.training.inputs import Images
from vicinal.training.learner import make_learner
from vicinal.training.loop import Callbacks, train
from vicinal.training.numerics import Numerics
from vicinal.training.step import Training

CPU = torch.device("cpu")
RECIPE = {
    "optimizer": "sgd", "epochs": 3, "batch_size": 32, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4,
    "schedule": "step", "milestones": [0.5], "gamma": 0.1, "crop_padding": 1, "flip": True,
}  # fmt: skip
STEPS = 3  # an epoch
MACHINE = {"torch": "2", "device": "cpu", "threads": 1, "cpu": "c", "precision": "fp32"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    spec = {"name": "digits", **resolve_source("digits", "data"), "validation": 30, "limit_train": 96}
    store = prepare_data(spec, "data", tmp_path_factory.mktemp("store"))
    return {split: Images(store, split, CPU) for split in ("train", "validation")}


@pytest.fixture(scope="module")
def teacher(splits):
    record = {
        "stage": "student",
        "model": architecture("resnet8"),
        "recipe": RECIPE,
        "seed": 11,
        "loss": {"ce_weight": 1},
    }
    return make_learner("teacher", record, splits["train"]).model.eval().requires_grad_(False)


def record(temperature, **changes):
    spec = {
        "stage": "student",
        "model": architecture("resnet8_narrow"),
        "recipe": RECIPE,
        "seed": 3,
        "temperature": temperature,
    }
    spec |= {"loss": {"kd_weight": 0.9, "ce_weight": 0.1}, **changes}
    return {"id": f"student_t{temperature}", "spec": spec, "code": "c", "data_sha256": "d", "teacher_sha256": "t"}


RECORDS = [record(temperature) for temperature in (1.0, "std", 4.0)]


def make(records, splits, breaks=None):
    """Return fresh learners; the loss of the second becomes NaN in the step numbered ``breaks``."""
    learners = [make_learner(record["id"], record["spec"], splits["train"]) for record in records]
    if breaks is not None:
        [(weight, term), *others] = learners[1].terms
        calls = learners[1].calls = []

        def broken(answers):
            calls.append(1)
            return term(answers) * (float("nan") if len(calls) == breaks else 1.0)

        learners[1].terms = [(weight, broken), *others]
    return learners


def run(learners, splits, teacher, moment=None, **calls):
    training = Training(splits["train"], splits["validation"], RECIPE, 3, 1.0, teacher)
    train(learners, training, moment, Callbacks(**calls))
    return learners


def checkpoints_in(folder, records=RECORDS, resumed=()):
    info = {"unit": "u", "made": MACHINE, "resumed": list(resumed)}
    return Checkpoints(folder, info, {record["id"]: record for record in records}, 60)


class StopError(Exception):
    """The end of a process."""


def stop_after(number, learners, checkpoints):
    """Return a listener that saves after the step of that number and ends the training."""
    told = []

    def on_step(moment):
        told.append(1)
        if len(told) == number:
            assert checkpoints.save(learners, moment, 1.5)
            raise StopError

    return on_step


def order(tensor):
    """Return how a tensor lies in memory; the stride of a dimension of one means nothing."""
    return [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]


def assert_equal(one, other):
    assert one.id == other.id
    assert one.history == other.history
    assert one.diverged == other.diverged
    for name in one.good_state:
        assert torch.equal(one.good_state[name], other.good_state[name]), name
    if one.diverged is None:
        for (name, a), b in zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
        for a, b in zip(one.optimizer.buffers, other.optimizer.buffers, strict=True):
            assert torch.equal(a, b)
            assert order(a) == order(b)


@pytest.fixture(scope="module")
def undisturbed(splits, teacher):
    return run(make(RECORDS, splits), splits, teacher)


@pytest.mark.parametrize("number", range(1, 3 * STEPS + 1))
def test_stopped_after_any_step_it_ends_as_if_it_had_not(splits, teacher, undisturbed, tmp_path, number):
    learners = make(RECORDS, splits)
    with pytest.raises(StopError):
        run(learners, splits, teacher, on_step=stop_after(number, learners, checkpoints_in(tmp_path)))
    found = find_checkpoint(tmp_path, RECORDS)
    # The state of an epoch's last step is that before its end: its validation comes after.
    assert (found.info["epoch"], found.info["step"]) == ((number - 1) // STEPS, (number - 1) % STEPS + 1)
    resumed = make(RECORDS, splits)
    torch.manual_seed(number)
    moment = found.restore(resumed)
    assert moment.seconds > 0
    run(resumed, splits, teacher, moment=moment)
    for one, other in zip(undisturbed, resumed, strict=True):
        assert_equal(one, other)


def test_stopped_again_and_again(splits, teacher, undisturbed, tmp_path):
    for attempt in range(3 * STEPS):
        learners = make(RECORDS, splits)
        found = find_checkpoint(tmp_path, RECORDS)
        moment = found.restore(learners) if found else None
        with pytest.raises(StopError):
            stopper = stop_after(1, learners, checkpoints_in(tmp_path))
            run(learners, splits, teacher, moment=moment, on_step=stopper)
        assert (found is None) == (attempt == 0)
    learners = make(RECORDS, splits)
    run(learners, splits, teacher, moment=find_checkpoint(tmp_path, RECORDS).restore(learners))
    for one, other in zip(undisturbed, learners, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("number", [4, 5, 6, 7, 9])
def test_a_diverged_student_stays_so(splits, teacher, tmp_path, number):
    expected = run(make(RECORDS, splits, breaks=5), splits, teacher)
    assert expected[1].diverged == (2, 2)
    learners = make(RECORDS, splits, breaks=5)
    with pytest.raises(StopError):
        run(learners, splits, teacher, on_step=stop_after(number, learners, checkpoints_in(tmp_path)))
    resumed = make(RECORDS, splits, breaks=5)
    resumed[1].calls.extend([1] * number)
    run(resumed, splits, teacher, moment=find_checkpoint(tmp_path, RECORDS).restore(resumed))
    for one, other in zip(expected, resumed, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("diverged", [False, True])
def test_a_part_of_the_models_goes_on_alone(splits, teacher, undisturbed, tmp_path, diverged):
    learners = make(RECORDS, splits, breaks=2 if diverged else None)
    with pytest.raises(StopError):
        run(learners, splits, teacher, on_step=stop_after(5, learners, checkpoints_in(tmp_path)))
    wanted = [RECORDS[2]]
    resumed = make(wanted, splits)
    run(resumed, splits, teacher, moment=find_checkpoint(tmp_path, wanted).restore(resumed))
    assert_equal(undisturbed[2], resumed[0])


def test_random_numbers_go_on(splits, teacher, tmp_path):
    learners = make(RECORDS, splits)
    torch.manual_seed(5)
    torch.rand(3)
    with pytest.raises(StopError):
        run(learners, splits, teacher, on_step=stop_after(2, learners, checkpoints_in(tmp_path)))
    expected = torch.rand(4)
    torch.manual_seed(6)
    find_checkpoint(tmp_path, RECORDS).restore(make(RECORDS, splits))
    assert torch.equal(torch.rand(4), expected)


# What is found


@pytest.fixture(scope="module")
def two(splits, teacher, tmp_path_factory):
    """A folder with two generations, of steps 2 and 4."""
    folder = tmp_path_factory.mktemp("two")
    learners, checkpoints = make(RECORDS, splits), checkpoints_in(folder)

    def on_step(moment):
        if moment.epoch * STEPS + moment.step in (2, 4):
            checkpoints.save(learners, moment, 1.5)
        if moment.epoch:
            raise StopError

    with pytest.raises(StopError):
        run(learners, splits, teacher, on_step=on_step)
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
    assert describe_machine(CPU, Numerics("bf16")) == {
        "torch": torch.__version__, "device": "cpu", "threads": 1, "cpu": checkpoint.cpu_model(), "precision": "bf16",
    }  # fmt: skip


# What is written


@pytest.fixture(scope="module")
def saved_moment(splits, teacher):
    """Learners and the moment after two steps."""
    learners, moments = make(RECORDS, splits), []

    def on_step(moment):
        if moment.step == 2:
            moments.append(copy.copy(moment))
            raise StopError

    with pytest.raises(StopError):
        run(learners, splits, teacher, on_step=on_step)
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

"""The benchmarks of speed, in small: they run on the CPU, say what they promise, and count work as torch does."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vicinal.errors import VicinalError
from vicinal.models import build_model
from vicinal.models.registry import architecture
from vicinal.training.numerics import Numerics

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import cpu_throughput
import gpu_profile
import gpu_throughput
import photo_training
import roofline
import rounding
import throughput
from training_loops import BATCH, CLASSES

torch.set_num_threads(1)


def measured(main, tmp_path, *options):
    """Return status and JSON of a benchmark on the CPU."""
    output = tmp_path / "measured.json"
    status = main(["--device", "cpu", "--output", str(output), *options])
    return status, json.loads(output.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    options = ("--quick", "--pairs", "resnet8:resnet8_narrow", "--workers", "1")
    return measured(gpu_throughput.main, tmp_path_factory.mktemp("throughput"), *options)


def test_the_throughput_of_every_way_is_measured(rehearsal):
    status, found = rehearsal
    assert status == 0
    rows = {(row["way"], row["students"]): row for row in found["rows"]}
    assert list(rows) == [("usual loop", 1), ("bare loop", 1), ("engine", 1), ("engine", 2)]
    for (_, students), row in rows.items():
        assert row["pair"] == "resnet8→resnet8_narrow"
        assert row["precision"] == "fp32"
        assert len(row["stretches"]) == found["repeats"] == 1
        a_step = row["stretches"][0] / found["steps"]
        assert row["seconds_per_epoch"] == pytest.approx(a_step * 45_000 / 64 / students)
        assert row["images_per_second"] == pytest.approx(45_000 / row["seconds_per_epoch"])
    assert found["left_out"] == []
    assert {"device", "torch", "precision", "ceilings", "goals", "seconds"} <= found.keys()


def test_ratios_and_shares_follow_from_what_was_measured(rehearsal):
    _, found = rehearsal
    usual, _, _, cohort = found["rows"]
    assert usual["ratio"] is None
    assert cohort["ratio"] == pytest.approx(usual["seconds_per_epoch"] / cohort["seconds_per_epoch"])
    work = roofline.step_work("resnet8", "resnet8_narrow", 2, "fp32")
    a_step = cohort["stretches"][0] / found["steps"]
    assert cohort["tflops"] == pytest.approx(work.flops / a_step / 1e12)
    assert cohort["share_of_copy"] == pytest.approx(work.bytes / a_step / found["ceilings"]["copy_bytes_per_second"])
    [goal] = found["goals"]  # there is none for two students
    assert (goal["students"], goal["goal"], goal["holds"]) == (1, 7.0, goal["ratio"] >= 7)


def row(ratio, students=8, way="engine"):
    numbers = dict.fromkeys(throughput.Row.__dataclass_fields__, 0.0)
    own = {"pair": gpu_throughput.GATE, "way": way, "students": students, "ratio": ratio}
    return throughput.Row(**{**numbers, **own})


@pytest.mark.parametrize(
    ("rows", "holds"),
    [
        ([row(24.9)], False),
        ([row(24.9), row(25.0, way="engine, compiled")], True),
        ([row(99.0, way="usual loop")], None),
        ([row(99.0, students=4)], None),
        ([row(None)], None),
    ],
)
def test_the_faster_of_plain_and_compiled_must_reach_the_goal(rows, holds):
    [goal] = gpu_throughput.check_goals(rows, [8])
    assert (goal["goal"], goal["holds"]) == (25.0, holds)


def test_what_there_is_no_time_for_is_left_out(tmp_path, capsys):
    status, found = measured(
        gpu_throughput.main, tmp_path, "--quick", "--minutes", "0.01", "--pairs", "resnet8:resnet8"
    )
    assert (status, found["rows"]) == (0, [])
    assert len(found["left_out"]) == 4
    assert "left out, there was no time: resnet8→resnet8, usual loop, 1" in capsys.readouterr().out


def test_a_row_that_was_compiled_once_does_not_keep_the_next_ones_out(monkeypatch):
    """Of four minutes the first one takes 100 s, the others 10 s; what is compiled anew may take 200 s."""
    clock = [0.0]
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(throughput, "measure_ceilings", lambda device, quick: {})

    def measured_row(self, pair, way, students):
        clock[0] += 100.0 if not self.rows else 10.0
        return replace(row(None, students, way), pair=pair, notes=[])

    monkeypatch.setattr(throughput.Benchmark, "_row", measured_row)
    benchmark = throughput.Benchmark(
        torch.device("cpu"), Numerics(), steps=1, repeats=1, workers=1, minutes=4.0, quick=True
    )
    for pair, students in (("a→b", 1), ("a→b", 4), ("c→d", 1), ("a→b", 8)):
        benchmark.measure(pair, throughput.COMPILED, students)
    assert [(row.pair, row.students) for row in benchmark.rows] == [("a→b", 1), ("a→b", 4), ("a→b", 8)]
    assert benchmark.left_out == ["c→d, engine, compiled, 1"]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [("resnet56", r"--pairs: 'resnet56' is no pair; write TEACHER:STUDENT"), ("resnet56:resnet21", "resnet21")],
)
def test_pairs_that_are_none_are_named(pairs, message):
    with pytest.raises(VicinalError, match=message):
        gpu_throughput.main(["--pairs", pairs])


def test_the_ways_to_train_on_a_cpu_take_turns_in_processes_of_their_own(monkeypatch):
    ways = [cpu_throughput.Way("resnet8:resnet8_narrow", name, "fp32", 1, 2) for name in ("bare loop", "engine")]
    monkeypatch.setattr(cpu_throughput, "prepared", None)  # not to be used here
    times = cpu_throughput.turns(ways, 2)
    assert list(times) == ways
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in times.values())


def test_the_ways_to_train_on_a_cpu_are_compared(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        cpu_throughput, "turns", lambda ways, _: {way: [2 * (best := cpu_throughput.turn(way)), best] for way in ways}
    )
    output = tmp_path / "measured.json"
    options = ("--steps", "2", "--repeats", "1", "--pairs", "resnet8:resnet8_narrow", "--output", str(output))
    status = cpu_throughput.main(options)
    found = json.loads(output.read_text(encoding="utf-8"))
    assert status == (0 if all(goal["holds"] for goal in found["goals"]) else 1)
    rows = {(row["way"], row["precision"], row["students"]): row for row in found["rows"]}
    fp32 = [
        ("bare loop", "fp32", 1),
        ("bare loop, contiguous", "fp32", 1),
        ("engine", "fp32", 1),
        ("engine", "fp32", 2),
    ]
    assert set(fp32) <= set(rows)
    fastest = max(rows[way]["images_per_second"] for way in fp32[:2])
    for (_, precision, students), row in rows.items():
        seconds = min(row["step_seconds"])
        assert row["images_per_second"] == pytest.approx(students * BATCH / seconds)
        assert row["ratio"] == pytest.approx(row["images_per_second"] / fastest)
        work = roofline.step_work("resnet8", "resnet8_narrow", students, precision)
        assert row["share_of_peak"] == pytest.approx(work.flops / seconds / found["peak_flops"][precision])
    assert "of the peak; turns differ by 100%\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("auto", "bare", "fp32", "bf16", "values", "missed"),
    [
        # overhead in fp32; fp32 beside bf16, alone and 8 at once; overhead in bf16; bf16 beside the bare loop, 1 and 8
        ("bf16", 1.0, (1.0, 2.0), (1.5, 3.0), [1.0, 1.5, 1.5, 1 / 1.5, 1.5, 3.0], 0),
        ("bf16", 1.1, (1.0, 2.0), (1.4, 1.8), [1.1, 1.4, 0.9, 1.1 / 1.4, 1.4, 1.8], 4),
        ("fp32", 1.0, (1.0, 2.0), (0.8, 1.6), [1.0, 1.25, 1.25, 1.25], 1),
        ("fp32", 1.0, (1.0, 2.0), (1.25, 1.6), [1.0, 0.8, 1.25, 0.8], 1),
    ],
)
def test_goals_on_a_cpu_depend_on_what_auto_takes_there(auto, bare, fp32, bf16, values, missed):
    def row(way, precision, students, ratio):
        found = {"pair": cpu_throughput.GATE, "way": way, "precision": precision, "students": students, "ratio": ratio}
        return found | {"auto": precision == auto}

    rows = [row(cpu_throughput.FOLDED, precision, 1, bare) for precision in ("fp32", "bf16")]
    for precision, ratios in (("fp32", fp32), ("bf16", bf16)):
        rows += [row("engine", precision, *found) for found in zip((1, 8), ratios, strict=True)]
    goals = cpu_throughput.check_goals(rows)
    assert sorted(goal["value"] for goal in goals) == pytest.approx(sorted(values))
    assert sum(not goal["holds"] for goal in goals) == missed


def test_the_profile_shares_out_the_whole_step(tmp_path, capsys):
    options = (
        "--teacher",
        "resnet8",
        "--student",
        "resnet8_narrow",
        "--students",
        "2",
        "--steps",
        "3",
        "--repeats",
        "1",
    )
    status, found = measured(gpu_profile.main, tmp_path, *options)
    assert status == 0
    names = ["augmentation", "teacher, forward", "students, forward", "students, backward", "optimiser"]
    assert [part["part"] for part in found["parts"]] == names
    assert sum(part["ms"] for part in found["parts"]) == pytest.approx(found["step_ms"])
    assert sum(part["share"] for part in found["parts"]) == pytest.approx(1)
    calls = {row["name"]: row["calls"] for row in found["kernels"]}
    # the teacher has 9 convolutions, each student too
    assert calls["aten::convolution_backward"] == 2 * 9
    assert calls["aten::_fused_sgd_"] == 1
    assert "whole step" in capsys.readouterr().out


def test_operations_are_those_that_torch_counts():
    """But for the gradient of the images, which no one needs."""
    with torch.device("meta"):
        teacher, student = (build_model(architecture(name), CLASSES) for name in ("resnet14", "resnet8"))
        images = torch.empty(BATCH, 3, 32, 32)
    counter = FlopCounterMode(display=False)
    with counter:
        with torch.no_grad():
            teacher(images)
        for _ in range(2):
            student(images).sum().backward()
    first_layer = 2 * BATCH * 3 * 9 * 16 * 32 * 32
    assert roofline.step_work("resnet14", "resnet8", 2, "fp32").flops == counter.get_total_flops() + 2 * first_layer


def test_bytes_are_those_of_a_network_written_out():
    stem = 3 * 32**2 + 16 * 32**2
    first = 4 * 16 * 32**2
    second = 16 * 32**2 + 32 * 16**2 + 2 * 32 * 16**2 + (16 * 32**2 + 32 * 16**2)  # the last: the shortcut
    third = 32 * 16**2 + 64 * 8**2 + 2 * 64 * 8**2 + (32 * 16**2 + 64 * 8**2)
    numbers = stem + first + second + third + 64 + 100
    convolutions = 9 * (3 * 16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64) + 16 * 32 + 32 * 64
    weights = convolutions + 2 * (3 * 16 + 3 * 32 + 3 * 64) + 65 * 100
    assert roofline.layer_numbers("resnet8", 100, 3, 32, 32) == numbers
    work = roofline.step_work("resnet8", "resnet8", 4, "bf16")
    assert work.bytes == 2 * (64 * numbers + weights) + 4 * (3 * 64 * 2 * numbers + 32 * weights)


def test_what_bf16_does_to_a_training_is_measured_against_what_rounding_once_does(tmp_path, monkeypatch, capsys):
    for name, value in {
        "IMAGES": 150,
        "TEACHER": "resnet8",
        "STEPS": 20,
        "SHOWN": (1, 20),
        "COHORT": (1.0, 4.0),
    }.items():
        monkeypatch.setattr(rounding, name, value)
    monkeypatch.setitem(rounding.RECIPE, "epochs", 8)
    status, found = measured(rounding.main, tmp_path, "--seeds", "2")
    assert status == (0 if all(found["holds"].values()) else 1)
    ours, once = found["losses"]["bf16"], found["losses"]["weights rounded once"]
    assert 0 < ours["1"] < rounding.FIRST_LIMIT
    assert found["holds"]["losses"] == (ours["20"] <= rounding.RATIO_LIMIT * once["20"])
    assert all(row["exact"] > 0.3 and row["fast"] > 0.3 for row in found["accuracy"].values())
    assert "over 2 seeds" in capsys.readouterr().out


def test_a_training_on_photos_is_timed_beside_its_loader(tmp_path, capsys):
    networks = ("--teacher", "resnet18_imagenet", "--size", "32", "--photos", "40", "--batch", "16")
    status, found = measured(photo_training.main, tmp_path, *networks, "--epochs", "1", "--repeats", "1")
    assert status == 0
    rates = found["photos_per_second"]
    assert rates.keys() == {"loader", "training", "both"}
    assert found["ratio"] == pytest.approx(rates["loader"] / rates["training"])
    assert min(rates.values()) > 0
    assert "at least 1.2 wanted" in capsys.readouterr().out


def test_what_was_timed_is_kept_where_a_later_training_fails(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(photo_training, "select_device", lambda *_, **__: taken.append(True) or torch.device("cpu"))
    monkeypatch.setattr(photo_training, "enlarged", lambda data, number: taken.clear() or data)

    def broken(self, photos, epochs):
        raise RuntimeError("its loss became NaN or infinite")

    monkeypatch.setattr(photo_training.Trial, "train", broken)
    networks = ("--teacher", "resnet18_imagenet", "--size", "32", "--photos", "40", "--batch", "16", "--threads", "1")
    with pytest.raises(RuntimeError, match="NaN"):
        measured(photo_training.main, tmp_path, *networks, "--epochs", "1", "--repeats", "1")
    found = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
    assert found["photos_per_second"].keys() == {"loader"}
    assert found["ratio"] is None
    assert taken == [True]  # after all photos were made


def test_differences_of_losses_and_accuracies_are_those_worked_out_by_hand():
    exact = np.ones((50, 2))
    losses = exact + np.where(np.arange(50)[:, None] == 0, 0.1, -0.2)
    assert rounding.differences(losses, exact) == pytest.approx({"1": 0.1, "10": 0.19, "50": 0.198})
    found = rounding.spread([0.8, 0.9], [0.9, 0.9])
    assert found == pytest.approx({"exact": 0.85, "fast": 0.9, "difference": 0.05, "sd": 0.1 / 2**0.5})

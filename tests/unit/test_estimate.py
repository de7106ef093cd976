"""Estimates of time and disk: against the engine's own numbers, measured rates and records with known answers."""

import json
import time
from pathlib import Path

import pytest

from vicinal.data.catalogue import BY_HAND, DATA_SETS
from vicinal.evaluation import probe as measure
from vicinal.jobs import provenance as jobs_provenance
from vicinal.jobs.provenance import Stopwatch
from vicinal.models.cost import Costs
from vicinal.models.registry import architecture
from vicinal.results import STAGES
from vicinal.running.estimate import shape
from vicinal.running.estimate import work as rates
from vicinal.running.estimate.jobs import total
from vicinal.running.estimate.recorded import Recorded, benchmark_seconds, hours_to_make, read_recorded
from vicinal.running.estimate.shape import Shape, recorded_shape
from vicinal.running.estimate.timing import RULE_SECONDS, STARTUP, Timing, present_machine
from vicinal.running.estimate.work import Machine, evaluation_work, training_work
from vicinal.spec import artefact_id
from vicinal.training import loop as engine

ROOT = Path(__file__).resolve().parents[2]
COSTS = Costs()
CPU = Machine("cpu", "a processor", 1)
CIFAR = Shape(100, 32, 32, 3, 50_000, 0, 10_000, 60_000)
DATA = {"stage": "data", "name": "digits", "source": "digits", "validation": 597, "limit_train": 150}
DIGITS = Shape(10, 8, 8, 1, train=150, validation=597, test=900, stored=1797)


def spec(model, teacher=None, **recipe):
    teacher = teacher and {"model": architecture(teacher)}
    recipe = {"epochs": 30, "batch_size": 32, **recipe}
    shared = {"stage": "student", "data": DATA, "model": architecture(model), "seed": 0, "recipe": recipe}
    return {**shared, **({"teacher": teacher} if teacher else {})}


def macs(work):
    return sum(COSTS.of(part.model, *work.image).macs * part.images for part in work.passes)


def calls(work):
    return sum(COSTS.of(part.model, *work.image).calls * part.batches for part in work.passes)


def test_the_constants_are_those_of_the_engine():
    assert rates.VALIDATIONS == engine.VALIDATIONS
    assert rates.BATCH == measure.BATCH == engine.VALIDATION_BATCH


def test_every_rule_and_data_set_is_known():
    downloaded = {name for name, known in DATA_SETS.items() if known.torchvision}
    assert downloaded | BY_HAND.keys() == shape._KNOWN.keys()
    assert {stage.rule for stage in STAGES.values()} > RULE_SECONDS.keys()


# Measured by tests/benchmarks/gpu_throughput.py on an H200: seconds an epoch and student, 45,000 images at batch 64.
@pytest.mark.parametrize(
    ("teacher", "student", "seconds"),
    [
        ("resnet56", "resnet20", (1.472, 0.601, 0.471)),
        ("resnet32x4", "resnet8x4", (1.146, 0.538, 0.477)),
        ("wrn_40_2", "wrn_16_2", (1.346, 0.549, 0.455)),
    ],
)
def test_the_stated_rates_of_a_gpu_give_the_measured_seconds_an_epoch(teacher, student, seconds):
    for students, measured in zip((1, 4, 8), seconds, strict=True):
        work = training_work(spec(student, teacher, epochs=240, batch_size=64), students, CIFAR)
        stated = work.stated_seconds(Machine("cuda", None, 1), COSTS) / 240 / students
        assert stated * 45_000 / CIFAR.train == pytest.approx(measured, rel=0.25)


def test_the_operations_of_a_cohort_are_those_of_its_steps_and_looks():
    student, teacher = (COSTS.of(architecture(name), *DIGITS.image) for name in ("resnet8_narrow", "resnet14"))
    work = training_work(spec("resnet8_narrow", "resnet14"), 7, DIGITS)
    # 30 epochs of 150 images; the teacher answers once for all seven; ten looks at 597 images each
    assert macs(work) == 30 * 150 * (7 * 3 * student.macs + teacher.macs) + 7 * 10 * 597 * student.macs
    assert calls(work) == 30 * 5 * (7 * 3 * student.calls + teacher.calls) + 7 * 10 * 3 * student.calls
    alone = training_work(spec("resnet8_narrow"), 1, DIGITS)
    assert macs(alone) == 30 * 150 * 3 * student.macs + 10 * 597 * student.macs


def test_the_operations_of_an_evaluation_are_those_of_its_inputs():
    cost = COSTS.of(architecture("resnet8"), *DIGITS.image)
    work = evaluation_work(spec("resnet8"), 3, DIGITS, 4000)
    assert macs(work) == 3 * (150 + 597 + 900 + 2 * 4000) * cost.macs
    assert calls(work) == 3 * (1 + 3 + 4 + 2 * 16) * cost.calls


def test_threads_share_the_operations_and_not_the_calls():
    work = training_work(spec("resnet20"), 1, CIFAR)
    one, two = work.stated_seconds(CPU, COSTS), work.stated_seconds(Machine("cpu", None, 2), COSTS)
    assert one / 2 < two < one


def provenance(seconds, began="2026-01-01T00:00:00", **changes):
    made = {"device": "cpu", "cpu": "a processor", "threads": 1, "began": began, "wall_seconds": seconds}
    return {**made, **changes}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def benchmark(path, seconds):
    write(path, f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t1.0\n")


@pytest.fixture
def results(tmp_path):
    """Return a results folder whose cohorts took twice the stated time, its teachers thrice, start-ups 2 s."""
    counts = {"train": 150, "validation": 597, "test": 900}
    meta = {"image_shape": [8, 8, 1], "class_names": list("0123456789"), "counts": counts, "images": 1797}
    write(tmp_path / "data" / artefact_id("digits", DATA) / "data.json", meta)
    for seed in range(3):
        own = {**spec("resnet14"), "stage": "teacher", "seed": seed}
        seconds = 3 * training_work(own, 1, DIGITS).stated_seconds(CPU, COSTS)
        folder = tmp_path / "teachers" / f"resnet14_s{seed}"
        write(folder / "model" / "model.json", {"id": folder.name, "spec": own, "provenance": provenance(seconds)})
        benchmark(folder / "benchmark.tsv", seconds + 2)
    for seed, students in enumerate((2, 4, 3)):
        shared = {**spec("resnet8_narrow", "resnet14"), "seed": seed}
        seconds = 2 * training_work(shared, students, DIGITS).stated_seconds(CPU, COSTS)
        ids = [f"student_t{t}_s{seed}" for t in range(students)]
        for t, id_ in enumerate(ids):
            record = {"id": id_, "spec": {**shared, "temperature": t + 1}, "provenance": provenance(seconds)}
            write(tmp_path / "students" / id_ / "model.json", record)
    benchmark(tmp_path / "benchmarks" / "plot_figures" / "digits.tsv", 7.5)
    return tmp_path


def test_like_runs_decide(results):
    recorded = read_recorded(results)
    assert len(recorded.jobs) == 6
    timing = Timing(CPU, recorded, COSTS)
    work = training_work(spec("resnet8_narrow", "resnet14", epochs=90), 5, DIGITS)
    found = timing.work(work)
    assert found.seconds == pytest.approx(2 * work.stated_seconds(CPU, COSTS))
    assert (found.source, found.runs) == ("like runs", 3)
    assert timing.startup == pytest.approx(2)
    assert timing.rule("plot_figures").seconds == 7.5


def test_the_hours_of_a_cohort_are_shared_by_its_students(results):
    hours = hours_to_make(results)
    whole = 2 * training_work({**spec("resnet8_narrow", "resnet14"), "seed": 1}, 4, DIGITS).stated_seconds(CPU, COSTS)
    students = [value for path, value in hours.items() if "_s1" in path.parts[-2] and "students" in path.parts]
    assert students == pytest.approx([whole / 4 / 3600] * 4)
    assert len(hours) == 3 + 2 + 4 + 3


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({}, 2),
        ({"threads": 2}, 1),
        ({"resumed": [{}]}, 6),  # the CPU time of the last part only
        ({"device": "cuda:0", "gpu": "H100"}, 6),
    ],
    ids=["alone", "two threads", "resumed", "GPU"],
)
def test_the_times_of_a_busy_machine_are_not_taken_for_those_of_a_quiet_one(results, changes, factor):
    """Everything took three times as long as its CPU time, and so did the start-up of two teachers of three."""
    for path in [*results.glob("students/*/model.json"), *results.glob("teachers/*/model/model.json")]:
        record = json.loads(path.read_text())
        quiet = record["provenance"]["wall_seconds"]
        record["provenance"] |= {"wall_seconds": 3 * quiet, "cpu_seconds": quiet, **changes}
        write(path, record)
        if path.parent.name == "model":
            startup = 2 if record["spec"]["seed"] == 0 else 6
            benchmark(path.parents[1] / "benchmark.tsv", 3 * quiet + startup)
    recorded = read_recorded(results)
    assert Timing(CPU, recorded, COSTS).startup == pytest.approx(2)
    cohorts = [job for job in recorded.jobs if job.work.teacher]
    assert len(cohorts) == 3
    for job in cohorts:
        assert job.seconds == pytest.approx(factor * job.work.stated_seconds(CPU, COSTS))


def test_a_record_tells_the_cpu_time_of_its_job():
    watch, began = Stopwatch(), time.process_time()
    time.sleep(0.2)
    while time.process_time() - began < 0.05:
        pass
    made = jobs_provenance.provenance(watch)
    assert 0.05 <= made["cpu_seconds"] <= made["wall_seconds"] - 0.1


def test_each_cohort_is_estimated_from_the_others(results):
    recorded = read_recorded(results)
    for left_out in recorded.jobs:
        others = Recorded([job for job in recorded.jobs if job is not left_out])
        assert Timing(CPU, others, COSTS).work(left_out.work).seconds == pytest.approx(left_out.seconds)


@pytest.mark.parametrize(
    ("wanted", "machine", "factor", "source", "runs"),
    [
        (spec("resnet20"), CPU, 3, "runs of the same family on this device", 3),
        (spec("vgg8"), CPU, 2.5, "runs of other models on this device", 6),
        (spec("resnet14"), Machine("cpu", "a processor", 4), 2.5, "runs of other models on this device", 6),
        (spec("resnet14"), Machine("cpu", "another", 1), 1, "operations at the stated rate of 60 GFLOP/s a thread", 0),
        (spec("resnet14"), Machine("cuda", None, 1), 1, "layers at the stated 15 µs a call (one H200)", 0),
    ],
    ids=["family", "device", "threads", "another processor", "a GPU"],
)
def test_where_there_are_no_like_runs_the_source_says_so(results, wanted, machine, factor, source, runs):
    work = training_work(wanted, 1, DIGITS)
    found = Timing(machine, read_recorded(results), COSTS).work(work)
    assert found.seconds == pytest.approx(factor * work.stated_seconds(machine, COSTS))
    assert (found.source, found.runs) == (source, runs)


def test_records_of_a_gpu_count_on_any_machine_that_knows_none(results):
    record = json.loads((results / "teachers/resnet14_s0/model/model.json").read_text())
    record["provenance"] |= {"device": "cuda:0", "gpu": "H100"}
    write(results / "teachers/resnet14_s0/model/model.json", record)
    recorded, work = read_recorded(results), training_work(spec("resnet14"), 1, DIGITS)
    assert Timing(Machine("cuda", None, 1), recorded, COSTS).work(work).runs == 1
    assert Timing(Machine("cuda", "H100", 1), recorded, COSTS).work(work).runs == 1
    assert Timing(Machine("cuda", "A100", 1), recorded, COSTS).work(work).runs == 0


def test_the_benchmark_of_a_job_that_kept_everything_tells_no_startup(results):
    for seed in range(3):
        benchmark(results / "teachers" / f"resnet14_s{seed}" / "benchmark.tsv", 0.001)
    assert Timing(CPU, read_recorded(results), COSTS).startup == STARTUP


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"spec": 1}'])
def test_records_that_cannot_be_read_say_nothing(results, damage):
    write(results / "teachers/resnet14_s0/model/model.json", damage)
    write(results / "teachers/resnet14_s1/benchmark.tsv", damage)
    assert len(read_recorded(results).jobs) == 5
    assert benchmark_seconds(results / "teachers/resnet14_s1/benchmark.tsv") is None
    write(results / "data" / artefact_id("digits", DATA) / "data.json", damage)
    assert recorded_shape(DATA, results) is None
    assert read_recorded(results).jobs == []


def test_jobs_run_side_by_side_on_cores_and_one_by_one_on_a_gpu():
    jobs = [("cohorts", 7200.0), ("teachers", 3600.0), ("figures", 40.0)]
    times = total(jobs, Machine("cpu", None, 2), 8)
    assert (times["slots"], times["wall_seconds"]) == (4, 10_800 / 4 + 40 / 8)
    assert (times["device_hours"], times["other_core_hours"]) == pytest.approx((2 * 3, 40 / 3600))
    times = total(jobs, Machine("cuda", None, 2), 8)
    assert (times["slots"], times["wall_seconds"], times["device_hours"]) == (1, 10_800 + 40 / 8, 3)


def test_the_device_is_the_one_that_the_config_names():
    assert present_machine("cpu", 4, 2) == Machine("cpu", present_machine("cpu", 1, 1).hardware, 2)
    assert present_machine("cuda:1", 1, 2).kind == "cuda"

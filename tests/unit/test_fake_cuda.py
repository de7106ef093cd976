"""A training step on a GPU that is not there: what it starts and waits for, in which precision and layout."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_cuda import CUDA, FakeCuda, FakeStream, built
from torch._subclasses.fake_tensor import DataDependentOutputException

from vicinal.models.registry import architecture
from vicinal.training.inputs import EpochTables, Images, Window, to_device
from vicinal.training.learner import make_learner
from vicinal.training.losses import total_loss
from vicinal.training.numerics import Numerics
from vicinal.training.phases import phase_at
from vicinal.training.photos import Photos
from vicinal.training.step import CohortStep, Training

BATCH, LAST, CLASSES = 16, 6, 10
RECIPE = {
    "optimizer": "sgd", "epochs": 1, "batch_size": BATCH, "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4,
    "schedule": "constant", "crop_padding": 2, "flip": True,
}  # fmt: skip
SMALL = ("resnet8", "resnet8x4", "wrn_16_1", "vgg8", "mobilenet_v2", "shufflenet_v1", "shufflenet_v2")
LARGE = ("resnet18_imagenet_dropout", "mobilenet_v2_imagenet_mlp", "convnext_tiny_mlp", "vit_b_16_dropout")


def images(side, window=None):
    count = 3 * BATCH + LAST
    store = SimpleNamespace(
        images=np.zeros((count, side, side, 3), np.uint8), labels=np.zeros(count, np.int64),
        splits={"train": np.arange(count)}, num_classes=CLASSES, mean=np.full(3, 0.5), std=np.full(3, 0.25),
    )  # fmt: skip
    return Images(store, "train", CUDA, window)


class FewPhotos(Photos):
    """Photos whose pixels are on the device."""

    def __init__(self):
        count = 3 * BATCH + LAST
        store = SimpleNamespace(
            labels=np.zeros(count, np.int64), splits={"train": np.arange(count)}, num_classes=CLASSES,
            mean=np.full(3, 0.5), std=np.full(3, 0.25),
        )  # fmt: skip
        super().__init__(store, "train", CUDA, size=32)


TEMPERATURES = (4.0, "std", 1.0)


def prepared(model, *, data=None, temperatures=TEMPERATURES, precision="bf16", mixed=True, alone=False, **recipe):
    """Return a step at the start of an epoch, of a cohort and its teacher (or of one network without)."""
    recipe, numerics = {**RECIPE, **recipe}, Numerics(precision)
    data = data or images(32)
    loss = {"ce_weight": 1} if alone else {"kd_weight": 0.9, "ce_weight": 0.1}
    spec = {"stage": "student", "model": architecture(model), "recipe": recipe, "seed": 0, "loss": loss}
    own = [spec] if alone else [{**spec, "temperature": temperature} for temperature in temperatures]
    learners = [make_learner(f"learner {k}", spec, data) for k, spec in enumerate(own)]
    teacher = None if alone else numerics.freeze(to_device(built(architecture(model), CLASSES), CUDA))
    training = Training(data, data, recipe, 0, 1.0 if mixed else None, teacher, numerics)
    phase = phase_at(recipe, 0)
    plan = training.plan(0, phase)
    step = CohortStep(learners, training, EpochTables(plan, CUDA), phase)
    step.begin([0.05] * len(plan.bounds))
    for learner in learners:
        learner.train()
    return step


def run(gpu, step, sizes=(BATCH, BATCH, LAST), photos=False):
    gpu.ops.clear()
    for size in sizes:
        if photos:
            step.feed(torch.empty(size, 32, 32, 3, dtype=torch.uint8, device=CUDA))
        gpu.watched = True
        step(size)
        gpu.watched = False
    assert gpu.problems == []
    return gpu.ops


def kernels(ops):
    return [op for op in ops if not op.is_view and "empty" not in op.name]


@pytest.fixture
def gpu():
    with FakeCuda() as found:
        yield found


@pytest.mark.parametrize("model", SMALL)
def test_a_cohort_takes_steps_that_never_wait_and_streams_that_wait_for_each_other(gpu, model):
    ops = run(gpu, prepared(model))
    streams = {op.stream for op in ops}
    assert streams == {"main", "stream 1", "stream 2", "stream 3"}


@pytest.mark.long
@pytest.mark.parametrize("model", LARGE)
def test_so_do_networks_for_photographs(gpu, model):
    data = images(64, Window(256, 224))
    run(gpu, prepared(model, data=data, temperatures=(1.0, 4.0), crop_padding=0), sizes=(BATCH, LAST))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("mixed", [True, False])
def test_so_does_each_kind_of_recipe(gpu, precision, optimizer, mixed):
    run(gpu, prepared("resnet8", precision=precision, optimizer=optimizer, mixed=mixed))
    run(gpu, prepared("resnet8", precision=precision, optimizer=optimizer, mixed=mixed, alone=True))


@pytest.mark.parametrize("options", [{"crop_padding": 0, "flip": False}, {"momentum": 0.0}, {"nesterov": True}])
def test_so_do_its_variants(gpu, options):
    run(gpu, prepared("resnet8", **options))


def test_so_do_photos(gpu):
    run(gpu, prepared("resnet8", data=FewPhotos()), photos=True)


def test_convolutions_and_products_are_in_bf16_and_all_else_that_stays_in_fp32(gpu, monkeypatch):
    asked = []

    def listening(terms, answers):
        asked.append(answers)
        return total_loss(terms, answers)

    monkeypatch.setattr("vicinal.training.step.total_loss", listening)
    step = prepared("resnet8")
    ops = run(gpu, step, (BATCH,))
    convolutions = [op for op in ops if op.name == "aten::convolution"]
    assert len(convolutions) == 4 * 9
    assert {what.dtype for op in convolutions for what in op.ins} == {torch.bfloat16}
    products = [op for op in ops if op.name in ("aten::addmm", "aten::mm", "aten::linear")]
    assert {what.dtype for op in products for what in op.ins} == {torch.bfloat16}
    for op in ops:
        if "batch_norm" in op.name:
            assert op.ins[0].dtype == torch.bfloat16
            assert {what.dtype for what in op.ins[1:]} == {torch.float32}
    assert {what.dtype for op in ops if "softmax" in op.name for what in op.ins} == {torch.float32}
    [update] = [op for op in ops if "_fused_sgd_" in op.name]
    assert {what.dtype for what in update.ins} == {torch.float32}
    assert len(asked) == 3
    for answers in asked:
        assert answers.logits.dtype == answers.teacher_logits.dtype == answers.lam.dtype == torch.float32
    assert step.losses.dtype == torch.float32


def test_in_fp32_nothing_is_rounded(gpu):
    dtypes = {what.dtype for op in run(gpu, prepared("resnet8", precision="fp32"), (BATCH,)) for what in op.ins}
    assert torch.bfloat16 not in dtypes
    assert torch.float16 not in dtypes


@pytest.mark.parametrize("data", [None, "window", "photos"])
def test_inputs_and_weights_are_channels_last(gpu, data):
    made = {None: lambda: None, "window": lambda: images(48, Window(40, 32)), "photos": FewPhotos}[data]()
    step = prepared("resnet8", data=made)
    heard = []
    for learner in step.learners:
        learner.model.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
        for parameter in learner.model.parameters():
            assert parameter.dim() != 4 or parameter.is_contiguous(memory_format=torch.channels_last)
    run(gpu, step, (BATCH,), photos=data == "photos")
    assert len(heard) == 3
    assert all(x.is_contiguous(memory_format=torch.channels_last) and x.dtype == torch.float32 for x in heard)


def test_the_frozen_teacher_casts_no_weights(gpu):
    ops = [op for op in run(gpu, prepared("resnet8"), (BATCH,)) if op.stream == "main"]
    casts = [op for op in ops if op.name == "aten::_to_copy" and op.outs[0].dtype == torch.bfloat16]
    assert [op.ins[0].shape for op in casts] == [(BATCH, 3, 32, 32)]


def test_a_student_more_costs_its_own_operations_and_no_others(gpu):
    counts = {n: len(kernels(run(gpu, prepared("resnet8", temperatures=(4.0,) * n), (BATCH,)))) for n in (1, 2, 3)}
    assert counts[3] - counts[2] == counts[2] - counts[1]
    # Of its forward pass and its loss; that of the whole step and the teacher is the rest.
    student = counts[2] - counts[1]
    assert student <= 60
    assert counts[1] - student <= 80


def test_a_step_that_reads_a_number_is_found(gpu, monkeypatch):
    def reads(optimizers, rate):
        rate.item()

    monkeypatch.setattr("vicinal.training.step.update", reads)
    with pytest.raises(DataDependentOutputException):
        run(gpu, prepared("resnet8"))


def test_a_step_that_mixes_devices_is_found(gpu):
    step = prepared("resnet8")
    step._rates = step._rates.cpu()
    with pytest.raises((RuntimeError, AssertionError)):
        run(gpu, step)


def test_streams_that_do_not_wait_are_found(gpu, monkeypatch):
    monkeypatch.setattr(FakeStream, "wait_stream", lambda self, other: None)
    step = prepared("resnet8")
    with pytest.raises(AssertionError, match="does not wait for main, which writes"):
        run(gpu, step)


def test_streams_are_joined_after_an_error_too(gpu, monkeypatch):
    """Else a capture cannot end, and memory that runs out while one is under way is taken for something else."""

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    step = prepared("resnet8")
    monkeypatch.setattr("vicinal.training.step.total_loss", full)
    with pytest.raises(torch.OutOfMemoryError):
        step(BATCH)
    for stream in step._streams:
        assert not stream.count or gpu.main.knows(stream.name, stream.count), f"{stream.name} is not joined"

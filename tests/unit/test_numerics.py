"""Precision and determinism: what the arguments ask of a device, and what bf16 does to a training."""

import argparse
import os
from types import SimpleNamespace

import pytest
import torch
import torch._inductor.runtime.cache_dir_utils
from small_cohort import TEMPERATURES, assert_same, frozen_teacher, splits, trained

import vicinal.training.precision
from vicinal.config.schema import Execution
from vicinal.errors import VicinalError
from vicinal.models.cost import Costs
from vicinal.models.registry import architecture
from vicinal.training import cohort
from vicinal.training.numerics import COMPILED, Numerics, add_numerics_arguments, numerics_options, select_numerics
from vicinal.training.precision import network_cost

torch.set_num_threads(1)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _switches_as_before():
    backends = torch.backends
    before = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, backends.cudnn.benchmark
    yield
    backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, backends.cudnn.benchmark = before
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True


def parsed(*options):
    parser = argparse.ArgumentParser()
    add_numerics_arguments(parser)
    return parser.parse_args(options)


def cost_of(name, channels, size):
    return Costs().of(architecture(name), 10, channels, size, size)


def set_cpu(monkeypatch, vendor, flags):
    """Let /proc/cpuinfo speak of another CPU: of one on x86, or, without a vendor, of one on Arm."""
    info = {"vendor_id": vendor, "flags": f"fma {flags}"} if vendor else {"Features": f"fp asimd {flags}"}
    monkeypatch.setattr(vicinal.training.precision, "cpu_info", lambda: info)


@pytest.mark.parametrize(
    ("vendor", "flag", "network", "precision"),
    [
        ("AuthenticAMD", "avx512_bf16", ("resnet8", 3, 16), "bf16"),  # 1.3 times as fast in bf16
        ("GenuineIntel", "amx_bf16", ("resnet20", 3, 32), "bf16"),
        (None, "bf16", ("resnet20", 3, 32), "bf16"),  # Arm
        ("GenuineIntel", "avx512_bf16", ("resnet20", 3, 32), "fp32"),  # 0.7 times as fast in bf16
        ("AuthenticAMD", "avx512f", ("resnet20", 3, 32), "fp32"),
        ("AuthenticAMD", "avx512_bf16", ("resnet8_narrow", 1, 8), "fp32"),  # the networks of the default experiment
        ("AuthenticAMD", "avx512_bf16", ("resnet14", 1, 8), "fp32"),
        ("AuthenticAMD", "avx512_bf16", ("mobilenet_v2", 3, 32), "fp32"),  # 0.6 times as fast
        ("AuthenticAMD", "avx512_bf16", ("shufflenet_v2", 3, 32), "fp32"),  # 0.9 times as fast
    ],
)
def test_auto_is_bf16_on_a_cpu_that_gains_by_it_for_networks_that_do(monkeypatch, vendor, flag, network, precision):
    set_cpu(monkeypatch, vendor, flag)
    chosen = select_numerics(parsed(), CPU, lambda: cost_of(*network))
    assert chosen == Numerics(precision, compile="off", auto=True)


def test_without_a_network_auto_is_fp32_on_a_cpu_and_nothing_is_compiled():
    assert select_numerics(parsed(), CPU) == Numerics("fp32", compile="off", auto=True)


@pytest.mark.parametrize(("options", "flags"), [((), ""), (("--precision", "fp32"), "avx512_bf16")])
def test_no_network_is_counted_where_it_does_not_matter(monkeypatch, options, flags):
    set_cpu(monkeypatch, "AuthenticAMD", flags)
    assert select_numerics(parsed(*options), CPU, pytest.fail).precision == "fp32"


def test_a_resumed_training_keeps_its_precision_unless_the_user_chose_another():
    auto, chosen = Numerics("fp32", auto=True), Numerics("fp32")
    assert auto.resumed("bf16", CPU) == Numerics("bf16", auto=True)
    assert chosen.resumed("bf16", CPU) == chosen
    # a CPU has no tf32; old checkpoints do not say
    assert auto.resumed("tf32", CPU) == auto.resumed(None, CPU) == auto
    assert auto.resumed("tf32", CUDA).precision == "tf32"
    assert torch.backends.cudnn.allow_tf32


def test_a_job_trains_all_its_models_in_the_precision_of_its_checkpoint_and_says_so(monkeypatch, tmp_path, capsys):
    found = SimpleNamespace(info={"made": {"precision": "bf16"}}, holds=lambda record: record["id"] == "held")
    trained_in = []
    monkeypatch.setattr(cohort, "find_checkpoint", lambda folder, wanted: found)
    monkeypatch.setattr(cohort, "remove_checkpoints", lambda *_: None)
    monkeypatch.setattr(cohort, "_train_in_parts", lambda job, *_: trained_in.append(job.numerics.precision) or [])
    job = cohort.TrainingJob("unit", tmp_path, None, CPU, Numerics("fp32", auto=True), None, 60.0, tmp_path)
    alphas = {"held": None, "new": None, "mixed": 1.0}
    records = {tmp_path / id_: {"id": id_, "spec": {"alpha": alpha}} for id_, alpha in alphas.items()}
    cohort.train_models(job, records)
    assert trained_in == ["bf16", "bf16", "bf16"]  # one α after another
    assert "unit: computing in bf16 (auto)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("store", "recipe", "image"),
    [({"image_shape": [8, 8, 1]}, {}, (1, 8)), ({"image_shape": [9, 9, 3]}, {"crop": 32}, (3, 32)),
     ({}, {"crop": 32}, (3, 32))],
)  # fmt: skip
def test_the_network_is_counted_on_what_it_sees(tmp_path, store, recipe, image):
    spec = {"model": architecture("resnet8"), "recipe": recipe}
    assert network_cost(spec, SimpleNamespace(meta=store, num_classes=10), tmp_path) == cost_of("resnet8", *image)


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_on_a_gpu_that_has_it(monkeypatch, has_bf16, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert select_numerics(parsed(), CUDA) == Numerics(precision, compile="auto", auto=True)
    assert torch.backends.cudnn.benchmark
    # convolutions of torch use tf32 unless told otherwise
    assert not torch.backends.cudnn.allow_tf32


def test_tf32_is_a_matter_of_gpus():
    select_numerics(parsed("--precision", "tf32"), CUDA)
    assert torch.backends.cudnn.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(VicinalError, match="--precision tf32: cpu has none; use fp32 or bf16"):
        select_numerics(parsed("--precision", "tf32"), CPU)


def test_deterministic_leaves_nothing_to_measurements(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")  # the user's own stays
    chosen = select_numerics(parsed("--precision", "fp32", "--deterministic"), CUDA)
    assert chosen == Numerics("fp32", deterministic=True, compile="off")
    assert torch.are_deterministic_algorithms_enabled()
    # Else torch would fill each empty tensor, by a kernel each.
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert not torch.backends.cudnn.benchmark


def test_what_is_compiled_is_kept_for_later_jobs_where_the_user_says_or_in_his_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(COMPILED, "")  # so that it is as before afterwards
    monkeypatch.delenv(COMPILED)
    select_numerics(parsed("--compile", "off"), CPU)
    assert COMPILED not in os.environ
    select_numerics(parsed("--compile", "on"), CPU)
    assert torch._inductor.runtime.cache_dir_utils.cache_dir() == str(tmp_path / "vicinal" / "compiled")
    monkeypatch.setenv(COMPILED, str(tmp_path / "own"))
    select_numerics(parsed("--compile", "on"), CPU)
    assert os.environ[COMPILED] == str(tmp_path / "own")


@pytest.mark.parametrize(
    "execution", [{}, {"precision": "bf16", "compile": "off"}, {"deterministic": True, "precision": "fp32"}]
)
def test_the_settings_arrive_as_arguments(execution):
    args = parsed(*numerics_options(Execution(**execution)))
    expected = {"precision": "auto", "compile": "auto", "deterministic": False, **execution}
    assert {key: getattr(args, key) for key in expected} == expected


def test_a_training_in_bf16_differs_by_rounding_alone():
    exact, rounded = trained(), trained(Numerics("bf16"))
    for one, other in zip(exact, rounded, strict=True):
        assert one.model.fc.weight.dtype == other.model.fc.weight.dtype == torch.float32
        assert not torch.equal(one.model.fc.weight, other.model.fc.weight)
        for a, b in zip(one.history, other.history, strict=True):
            # bf16 has 8 significant bits: 0.4 % a number
            assert a["loss"] == pytest.approx(b["loss"], rel=0.02)


def test_in_bf16_a_student_of_a_cohort_equals_the_same_student_alone_bit_for_bit():
    together = trained(Numerics("bf16"))
    for student, temperature in zip(together, TEMPERATURES, strict=True):
        assert_same(trained(Numerics("bf16"), temperatures=[temperature]), [student])


def test_a_teacher_rounded_once_answers_as_one_rounded_at_every_question():
    images = splits()["train"].clean(slice(0, 16))
    with torch.no_grad(), Numerics("bf16").autocast(CPU):
        once, always = frozen_teacher(numerics=Numerics("bf16"))(images), frozen_teacher()(images)
    assert once.dtype == torch.bfloat16
    assert torch.equal(once, always)

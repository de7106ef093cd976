"""Which GPUs a process may use, on machines with made-up GPUs."""

import pytest
import torch
from gpu_machine import MIG_1, MIG_2, A, B, C, install_nvidia_smi, listing, make_proc

from vicinal.commands import run
from vicinal.config import Execution
from vicinal.jobs import gpus
from vicinal.jobs.gpus import Gpu, identity, list_gpus, visible_devices


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that makes this a machine with the given nvidia-smi and /proc."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(gpus, "PROC", tmp_path / "proc")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    list_gpus.cache_clear()

    def make(smi: str | None = None, then: str = "exit 0", proc: tuple[str, ...] = (), visible: str | None = None):
        # Without a GPU there is still a nvidia-smi, one that fails: this machine may have a real one.
        install_nvidia_smi(tmp_path / "bin", smi or "", then if smi is not None else "exit 9")
        make_proc(tmp_path / "proc", *proc)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    yield make
    list_gpus.cache_clear()


def test_nvidia_smi_is_asked_once(machine, tmp_path):
    machine(listing(A, B), proc=(C,))
    assert visible_devices() == visible_devices() == [A, B]
    assert (tmp_path / "bin" / "calls").read_text().count("x") == 1
    assert list_gpus()[1] == Gpu(1, "NVIDIA H100 80GB HBM3", B)


def test_mig_devices_stand_for_their_gpu(machine):
    machine(listing(A, B, mig=(MIG_1, MIG_2)))
    assert visible_devices() == [MIG_1, MIG_2, B]


def test_mig_devices_of_an_older_driver(machine):
    machine(listing(A, mig=(f"MIG-{A}/1/0", f"MIG-{A}/2/0")))
    assert visible_devices() == [f"MIG-{A}/1/0", f"MIG-{A}/2/0"]


def test_a_lost_gpu_leaves_the_others_their_indices(machine):
    lost = "Unable to determine the device handle for GPU1: 0000:02:00.0: GPU is lost.\n"
    lines = listing(A, B, C).splitlines(keepends=True)
    machine(lines[0] + lost + lines[2], then="exit 15")
    assert visible_devices() == [A, C]
    assert identity("2", list_gpus()) == C


@pytest.mark.parametrize("then", ["exit 9", "exec sleep 60"])
def test_a_nvidia_smi_that_fails_or_hangs(machine, then, capsys, monkeypatch):
    monkeypatch.setattr(gpus, "SMI_SECONDS", 0.5 if "sleep" in then else 10)
    machine("", then=then, proc=(A, B))
    assert visible_devices() == [A, B]
    assert capsys.readouterr().err == ("nvidia-smi -L: no answer in 0.5 s\n" if "sleep" in then else "")


def test_without_nvidia_smi(machine, monkeypatch, tmp_path):
    machine(proc=(A, "GPU-????????-????-????-????-????????????"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_devices() == [A, "1"]


def test_without_any_gpu(machine):
    machine()
    assert visible_devices() == []
    assert list_gpus() is None


def test_a_nvidia_smi_without_gpus_is_believed(machine):
    machine("", proc=(A,), visible="0")
    assert visible_devices() == []


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1", ["1"]),
        ("2,0", ["2", "0"]),
        (" 2 , 1x", ["2", "1"]),
        ("0,2,-1,1", ["0", "2"]),
        ("0,3,1", ["0"]),
        ("0,,1", ["0"]),
        ("0,1,0", []),
        (f"{B},{A}", [B, A]),
        ("GPU-bbbbbbbb,GPU-a", ["GPU-bbbbbbbb", "GPU-a"]),
        (f"{B},GPU-ffff,{A}", [B]),
        ("GPU-", []),
        (f"{A},GPU-aaaa", []),
        (f"{A},1", [A]),
        (f"1,{A}", ["1"]),
        (f"{MIG_1},{MIG_2}", [MIG_1, MIG_2]),
        (f"{MIG_1},{A}", [MIG_1]),
    ],
)
def test_cuda_visible_devices(machine, preset, expected):
    """As CUDA's programming guide has it: what follows an invalid entry does not count."""
    machine(listing(A, B, C), visible=preset)
    assert visible_devices() == expected


PRESETS = [
    "", "-1", "0", "0,1", "3,1,0", "1gpu2,2ampere", "0,2,-1,1", "0,0", "1,+1", "00,1", "x", "0,,1", ",0", "7, 8",
    f"{A}", f"{A},{B}", f"{A},{A}", f"{A},0", f"0,{A}", f"{A},{MIG_1}", f"{MIG_1},{MIG_2}", f"{MIG_1},1", "NoDevFiles",
]  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_torch_reads_the_same(machine, preset):
    """Where it is unknown which GPUs there are: torch's own reading does not ask for them either."""
    machine(visible=preset)
    if torch.version.hip:
        pytest.skip("torch for AMD reads other variables")
    assert visible_devices() == [str(device) for device in torch.cuda._parse_visible_devices()]


@pytest.mark.parametrize("preset", ["GPU-a,GPU-b", "GPU-b,GPU-x,GPU-a", "GPU-a,GPU-aa", "GPU-", f"{C},{B}"])
def test_torch_finds_the_same_gpus(machine, preset):
    machine(listing(A, B, C), visible=preset)
    ordinals = torch.cuda._transform_uuid_to_ordinals(preset.split(","), [A, B, C])
    assert [identity(device, list_gpus()) for device in visible_devices()] == [[A, B, C][i] for i in ordinals]


def test_index_and_uuid_are_one_device(machine):
    machine(listing(A, B, mig=(MIG_1, MIG_2)))
    found = list_gpus()
    assert identity("1", found) == identity("GPU-bbb", found) == identity(B, found) == B
    assert identity("0", found) == identity(A, found) == MIG_1  # what CUDA takes of a GPU that is divided
    assert identity("MIG-2222", found) == MIG_2
    assert identity("2", found) is None


def test_cuda_counts_other_models_in_another_order(machine, monkeypatch):
    machine(listing(A, B, models=("NVIDIA T4", "NVIDIA H100")))
    assert identity("1", list_gpus()) == "1"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert identity("1", list_gpus()) == B


@pytest.mark.parametrize(
    ("visible", "execution", "expected"),
    [
        (None, {}, "gpu=3"),
        (None, {"gpu_slots": 2}, "gpu=6"),
        ("0,2", {"device": "cuda"}, "gpu=2"),
        (None, {"device": "cuda:1", "gpu_slots": 2}, "gpu=2"),
        (None, {"device": "cpu"}, None),
        ("", {}, None),
        ("-1", {}, None),
    ],
)
def test_what_snakemake_counts(machine, visible, execution, expected):
    machine(listing(A, B, C), visible=visible)
    assert run._gpus(Execution(**execution)) == (["--resources", expected] if expected else [])

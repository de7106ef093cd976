"""A machine with made-up GPUs: a nvidia-smi of its own on PATH, and the driver's folder in /proc."""

from pathlib import Path

A, B, C = (f"GPU-{letter * 8}-0000-1111-2222-333344445555" for letter in "abc")
MIG_1, MIG_2 = (f"MIG-{number * 8}-aaaa-bbbb-cccc-ddddeeeeffff" for number in "12")
MODEL = "NVIDIA H100 80GB HBM3"


def listing(*uuids: str, models: tuple[str, ...] = (), mig: tuple[str, ...] = ()) -> str:
    """Return what ``nvidia-smi -L`` prints; the MIG devices are of the first GPU."""
    lines = [f"GPU {index}: {models[index] if models else MODEL} (UUID: {uuid})" for index, uuid in enumerate(uuids)]
    lines[1:1] = [f"  MIG 3g.40gb     Device  {index}: (UUID: {uuid})" for index, uuid in enumerate(mig)]
    return "\n".join([*lines, ""])


def install_nvidia_smi(folder: Path, output: str, then: str = "exit 0") -> Path:
    """Write a nvidia-smi that prints ``output`` and returns as ``then`` says; return the folder for PATH."""
    folder.mkdir(exist_ok=True)
    script = folder / "nvidia-smi"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = -L ] || exit 9\necho x >> "{folder}/calls"\ncat <<EOF\n{output}EOF\n{then}\n'
    )
    script.chmod(0o755)
    return folder


def make_proc(folder: Path, *uuids: str) -> Path:
    """Write the driver's folder of GPUs, as in /proc/driver/nvidia/gpus."""
    for index, uuid in enumerate(uuids):
        gpu = folder / f"0000:{index:02x}:00.0"
        gpu.mkdir(parents=True)
        fields = {"Model": MODEL, "IRQ": 120, "GPU UUID": uuid, "Video BIOS": "??.??.??", "Device Minor": index}
        text = "".join(f"{name}: \t {value}\n" for name, value in fields.items())
        (gpu / "information").write_text(text)
    return folder

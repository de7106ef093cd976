"""How a result was made: versions, device, code revision, time and memory."""

import os
import platform
import resource
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from vicinal.files import PACKAGE

PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "pandas", "pyarrow", "pillow"),
    *("scikit-learn", "safetensors", "timm", "snakemake"),
)
# Where the name of an import is not that of its package.
MODULES = {"pillow": "PIL", "scikit-learn": "sklearn"}


class Stopwatch:
    """Measures the time of a job from its start."""

    def __init__(self) -> None:
        self.began = datetime.now(UTC)
        self._start = time.perf_counter()
        self._cpu_start = time.process_time()

    def seconds(self) -> float:
        """Return the wall time since the start, in s."""
        return time.perf_counter() - self._start

    def cpu_seconds(self) -> float:
        """Return the CPU time that this process, all its threads together, took since the start, in s."""
        return time.process_time() - self._cpu_start


def provenance(watch: Stopwatch, device: Any = "cpu") -> dict[str, Any]:
    """Return how a result was made, for its record; the watch was started when the job began."""
    return {
        "began": watch.began.isoformat(timespec="seconds"),
        "wall_seconds": round(watch.seconds(), 3),
        "cpu_seconds": round(watch.cpu_seconds(), 3),
        "peak_memory_bytes": peak_memory(),
        **_device(str(device)),
        "python": platform.python_version(),
        "packages": package_versions(),
        "git": git_revision(),
        # Without the folder that the project lies in: it tells nothing, and records are published.
        "command": " ".join(sys.argv).removeprefix(f"{PACKAGE.parents[1]}/"),
    }


def peak_memory() -> int:
    """Return the peak resident memory of this process, in bytes.

    From VmHWM: Linux keeps ru_maxrss over exec, so it may be the parent's.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _device(name: str) -> dict[str, Any]:
    record: dict[str, Any] = {"device": name, "cpu": cpu_model()}
    torch = sys.modules.get("torch")
    if torch is None:
        return record
    record["threads"] = torch.get_num_threads()
    if name.startswith("cuda"):
        record["gpu"] = torch.cuda.get_device_name(name)
        record["cuda"] = torch.version.cuda
        record["peak_gpu_memory_bytes"] = torch.cuda.max_memory_reserved(name)
    return record


def cpu_model() -> str:
    """Return the name of the processor."""
    if not (found := cpu_info()):
        return platform.processor()
    return found.get("model name", platform.machine())


def cpu_info() -> dict[str, str]:
    """Return what ``/proc/cpuinfo`` says of the first core; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on: of those imported, else of those installed."""
    versions = {}
    for package in PACKAGES:
        module = sys.modules.get(MODULES.get(package, package))
        # What is imported may hide another version, which is installed too.
        place = [str(Path(module.__file__).parents[1])] if module and module.__file__ else sys.path
        found = next(iter(distributions(name=package, path=place)), None)
        if found or module:
            versions[package] = found.version if found else getattr(module, "__version__", "unknown")
    return versions


@cache
def git_revision() -> str | None:
    """Return the git revision of this code, with ``-dirty`` if files differ from it; None outside a checkout."""
    # Of a checkout that belongs to another user, too: its code is running.
    command = ["git", "-c", "safe.directory=*", "--no-optional-locks", "-C", str(PACKAGE)]
    command += ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        return None
    return result.stdout.strip() or None

"""The published corrupted test images of CIFAR: what they are, their addresses, and whether they are there.

CIFAR-10-C and CIFAR-100-C of Hendrycks and Dietterich (*Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations*, 2019). The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vicinal.files import read_object

# The corruptions of the benchmark by kind, and four more in the archives.
CORRUPTIONS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
EXTRA = "extra"
NAMES = tuple(name for names in CORRUPTIONS.values() for name in names)
SEVERITIES = (1, 2, 3, 4, 5)
LABELS = "labels"


@dataclass(frozen=True)
class CorruptionArchive:
    """A published archive: NAME.npy of each corruption, one severity after another, and labels.npy."""

    file: str  # its name, below ``data.root``
    folder: str  # of the arrays in it
    md5: str  # as its authors publish it
    size: int  # in bytes
    url: str  # https only


ARCHIVES: dict[str, CorruptionArchive] = {
    "cifar10": CorruptionArchive(
        "CIFAR-10-C.tar",
        "CIFAR-10-C",
        "56bf5dcef84df0e2308c6dcbcbbd8499",
        2_918_471_680,
        "https://zenodo.org/records/2535967/files/CIFAR-10-C.tar",
    ),
    "cifar100": CorruptionArchive(
        "CIFAR-100-C.tar",
        "CIFAR-100-C",
        "11f0ed0f1191edbf9fa23466ae6021d3",
        2_918_473_216,
        "https://zenodo.org/records/3555552/files/CIFAR-100-C.tar",
    ),
}


def unpublished(name: str) -> str:
    """Return why there are no corrupted images of a data set; empty if there are."""
    return "" if name in ARCHIVES else f"no corrupted images of {name} are published (only of {', '.join(ARCHIVES)})"


def file_state(path: Path) -> list[int] | None:
    """Return size and time of a file, to notice a change; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def planned_state(record: Path, archive: Path) -> list[int] | None:
    """Return the state of an archive for a plan; it changes only when another attempt is worthwhile.

    If the images are available by the record of ``fetch_corruptions`` it stays the recorded one, whatever happens to
    the archive. Otherwise it is the present one, so a new archive changes the plan.
    """
    found = read_object(record)
    return found.get("archive_state") if found.get("available") else file_state(archive)


def outlook(name: str, record: Mapping[str, Any], archive: Path | None) -> str:
    """Return in one line what a run can expect of corrupted images; empty if they are ready.

    ``record`` is that of ``fetch_corruptions``, empty if it has not run; ``archive`` None if none is published.
    """
    if archive is None:
        return f"left out: {unpublished(name)}"
    if record.get("available"):
        return ""
    state = file_state(archive)
    if record and state == record.get("archive_state"):
        return f"left out: {record.get('reason')}"
    if state is not None:
        return f"{archive} is there, to be checked"
    size = ARCHIVES[name].size / 1e9
    return f"{archive} ({size:.1f} GB) is to be downloaded; without internet only this part is left out"

"""Copying results into this project: each piece whole or not at all, with its times."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from vicinal.errors import VicinalError
from vicinal.files import atomic_directory, atomic_path, sha256
from vicinal.importing.state import Unit
from vicinal.verify.findings import size

# Left free on the disk, bytes.
RESERVE = 64_000_000


def unit_bytes(there: Path, unit: Unit) -> int:
    """Return the size of a unit's files, in bytes."""
    return sum((there / unit.place / file).stat().st_size for file in unit.files)


def check_disk(needed: int, here: Path) -> None:
    """Stop before the disk is full.

    Raises:
        VicinalError: there is less room than ``needed`` bytes.
    """
    free = shutil.disk_usage(here if here.exists() else here.parent).free
    if needed + RESERVE > free:
        raise VicinalError(f"{here}: {size(needed)} to import, {size(free)} free; make room and import again")


def copy_units(there: Path, here: Path, units: list[Unit]) -> Iterator[Unit]:
    """Copy units in their order; yield each one that is done.

    Outputs keep their times, but for those older than what they are made from here: these get its time, since
    Snakemake would make them anew.

    Raises:
        VicinalError: a file changed while it was copied.
        OSError: a file cannot be read or written.
    """
    for unit in units:
        if unit.whole:
            with atomic_directory(here / unit.place) as directory:
                for file in unit.files:
                    _copy(there / unit.place / file, directory / file)
                _shift(directory, unit, here)
        else:
            for file in sorted(unit.files, key=lambda file: file in unit.outputs):
                with atomic_path(here / unit.place / file) as temporary:
                    _copy(there / unit.place / file, temporary)
            _shift(here / unit.place, unit, here)
        if unit.plan is not None and not (here / unit.plan).exists():
            with atomic_path(here / unit.plan) as temporary:
                _copy(there / unit.plan, temporary)
        yield unit


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target, follow_symlinks=False)
    if sha256(source) != sha256(target):
        raise VicinalError(f"{source}: changed while it was copied; import again when nothing runs there")
    status = source.stat()
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _shift(directory: Path, unit: Unit, here: Path) -> None:
    upstream = [(here / path).stat().st_mtime_ns for path in unit.upstream if (here / path).exists()]
    outputs = [directory / file for file in unit.outputs]
    late = max(upstream, default=0) - min((path.stat().st_mtime_ns for path in outputs), default=0)
    if upstream and outputs and late > 0:
        for path in outputs:
            time = path.stat().st_mtime_ns + late
            os.utime(path, ns=(time, time))

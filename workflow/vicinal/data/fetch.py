"""Download the archives of the torchvision data sets: over https only, and kept only where the checksum is right."""

import hashlib
import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vicinal import files
from vicinal.data import catalogue
from vicinal.data.sources import verify_archive
from vicinal.errors import VicinalError
from vicinal.https import open_https
from vicinal.progress import Progress

BLOCK = 1 << 20


def fetch(name: str, root: Path | str, source: str = "auto", progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Make sure that the files of a data set are there and whole, downloading what can be.

    Only torchvision data sets are downloaded; for the others the files must be there.

    Returns:
        The record: ``name`` and what ``catalogue.resolve_source`` returns.

    Raises:
        VicinalError: a file is missing and cannot be downloaded, or is damaged.
    """
    identity = catalogue.resolve_source(name, root, source)
    if identity["source"] == "torchvision":
        for path in catalogue.source_files(name, root, "torchvision"):
            archive = catalogue.DATA_SETS[name].archives[path.name]
            if path.is_file():
                verify_archive(path, archive)
            else:
                _download(path, archive, progress)
    for file in identity["files"]:
        progress(f"{name}: {file} is there and whole")
    return {"name": name, **identity}


def _download(path: Path, archive: catalogue.Archive, progress: Callable[[str], None]) -> None:
    """Download a file, under another name until its checksum is right."""
    progress(f"downloading {archive.url} to {path}")
    try:
        with files.atomic_path(path) as temporary:
            found = _receive(archive, temporary)
            if found != archive.sha256:
                raise _failed(path, archive, f"another file came, {temporary.stat().st_size:,} bytes, SHA-256 {found}")
    except (OSError, http.client.HTTPException) as error:
        raise _failed(path, archive, str(error)) from error


def _receive(archive: catalogue.Archive, path: Path) -> str:
    """Write what the server sends, at most the published size and one block; return its SHA-256."""
    digest, received = hashlib.sha256(), 0
    meter = Progress(path.name, max(1, archive.size // 10**6), "MB")
    with open_https(archive.url) as answer, path.open("wb") as file:
        while received <= archive.size and (block := answer.read(BLOCK)):
            file.write(block)
            digest.update(block)
            received += len(block)
            meter.update(received // 10**6)
    return digest.hexdigest()


def _failed(path: Path, archive: catalogue.Archive, reason: str) -> VicinalError:
    return VicinalError(
        f"{path}: not there, and the download of {archive.url} failed ({reason}): copy the file "
        f"with SHA-256 {archive.sha256} there, run fetch_data.py where there is internet, or set data.root to a folder "
        "with the data set as Parquet files"
    )

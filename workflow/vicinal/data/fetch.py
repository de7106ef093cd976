"""Download the archives of the torchvision data sets."""

import http.client
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vicinal.data import catalogue
from vicinal.data.sources import verify_archive
from vicinal.errors import VicinalError

TIMEOUT = 30  # seconds without a byte; a cluster's compute node would wait for ever


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
            if not path.is_file():
                _download(path, archive, progress)
            verify_archive(path, archive)
    for file in identity["files"]:
        progress(f"{name}: {file} is there and whole")
    return {"name": name, **identity}


def _download(path: Path, archive: catalogue.Archive, progress: Callable[[str], None]) -> None:
    """Download a file through torchvision, under another name until its MD5 is right."""
    from torchvision.datasets.utils import download_url

    path.parent.mkdir(parents=True, exist_ok=True)
    progress(f"downloading {archive.url} to {path}")
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=path.parent) as scratch:
        try:
            download_url(archive.url, scratch, path.name, archive.md5)
        except (RuntimeError, OSError, http.client.HTTPException) as error:
            raise _failed(path, archive, str(error)) from error
        finally:
            socket.setdefaulttimeout(patience)
        (Path(scratch) / path.name).replace(path)


def _failed(path: Path, archive: catalogue.Archive, reason: str) -> VicinalError:
    return VicinalError(
        f"{path}: not there, and the download of {archive.url} failed ({reason}): copy the file "
        f"with MD5 {archive.md5} there, run fetch_data.py where there is internet, or set data.root to a folder with "
        "the data set as Parquet files"
    )

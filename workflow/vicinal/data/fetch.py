"""Make sure that the files of a data set are there, and download those of torchvision's data sets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vicinal.data import catalogue
from vicinal.jobs.download import provide


def fetch(name: str, root: Path | str, source: str = "auto", progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Make sure that the files of a data set are there and whole; only those of torchvision are downloaded.

    Returns ``name`` and what ``catalogue.resolve_source`` returns. Raises VicinalError: a file is missing and cannot be
    downloaded, or is damaged.
    """
    identity = catalogue.resolve_source(name, root, source)
    if identity["source"] == "torchvision":
        for file, path in catalogue.source_files(name, root, "torchvision").items():
            archive = catalogue.DATA_SETS[name].archives[file]
            remedy = (
                f"copy the file with SHA-256 {archive.sha256} there, run fetch_data.py where there is internet, or set "
                "data.root to a folder with the data set as Parquet files"
            )
            provide(archive.url, path, archive.size, "sha256", archive.sha256, remedy, progress)
    for file in identity["files"]:
        progress(f"{name}: {file} is there and whole")
    return {"name": name, **identity}

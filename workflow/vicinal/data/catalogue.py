"""The known data sets, and the identity of the files that hold them.

The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicinal.data.archive_urls import ARCHIVES, Archive
from vicinal.data.layout import parquet_files, shards
from vicinal.errors import VicinalError, check_text, nearest
from vicinal.files import remembered_sums
from vicinal.results import is_plain

SOURCES = ("auto", "digits", "parquet", "torchvision", "folder")
OTHER_VALIDATION = 0.1  # share of the training split, for data sets that are not in DATA_SETS


@dataclass(frozen=True)
class Known:
    """One known data set."""

    torchvision: str | None = None  # name of the class in ``torchvision.datasets`` that has the same archives, or None
    folder: str = ""  # where the archives lie below ``data.root``, torchvision's own layout
    archives: Mapping[str, Archive] = field(default_factory=dict)  # file name → checksum and address
    label_column: str | None = None  # the label column of the Parquet form
    test: int | None = None  # images held out for testing, if the source has no test split
    validation: int = 5_000  # images taken from the training split for validation
    train: int | None = None  # images trained on; None: all that are left


DATA_SETS: dict[str, Known] = {
    # 1,797 images and no official split; 150 to train on makes the methods differ.
    "digits": Known(test=900, validation=597, train=150),
    "cifar10": Known(torchvision="CIFAR10", archives=ARCHIVES["cifar10"], label_column="label"),
    "cifar100": Known(torchvision="CIFAR100", archives=ARCHIVES["cifar100"], label_column="fine_label"),
    "fashion_mnist": Known(torchvision="FashionMNIST", folder="FashionMNIST/raw", archives=ARCHIVES["fashion_mnist"]),
}

# Data sets that may not be redistributed, so no rule fetches them: name → what the folder must hold.
BY_HAND = {
    "imagenet": "train/CLASS/*.JPEG and val/CLASS/*.JPEG, or train-*.parquet and validation-*.parquet of the Hugging "
    "Face hub",
}

# CIFAR-100: the superclass (0 to 19, alphabetical) of each fine class (0 to 99, alphabetical).
CIFAR100_SUPERCLASS = (
    *(4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11),
    *(6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5),
    *(5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17),
    *(10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13),
    *(16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13),
)


def split_defaults(name: str, source: str) -> dict[str, int | float | None]:
    """Return the default split sizes: keys test, validation, train.

    ``test`` is None if the source has its own test split; ``validation`` is a count (≥ 1) or a share of the training
    split (< 1); ``train`` None means all that are left.
    """
    known = DATA_SETS.get(name)
    if known is None or (known.test is not None and source != "digits"):
        return {"test": None, "validation": OTHER_VALIDATION, "train": None}
    return {"test": known.test, "validation": known.validation, "train": known.train}


def resolve_source(
    name: str,
    root: Path | str,
    source: str = "auto",
    image_column: str | None = None,
    label_column: str | None = None,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Return the content identity of a data set: where it comes from and the hashes of its files.

    It holds no paths, so a copy of the data elsewhere is the same data: ``{"source": one of SOURCES but auto, "files":
    {file name: hash}}``, and for Parquet ``image_column`` and ``label_column`` if they are known (else the reader finds
    them). Hashes are SHA-256; for torchvision the published MD5, since the archive need not be there yet.

    Args:
        name: a known name, or that of a folder below ``root``.
        root: the folder of all data, ``data.root``.
        source: one of ``SOURCES``; ``auto`` prefers Parquet files that are there to a download.
        image_column: Parquet only: the column with the images.
        label_column: Parquet only: the column with the labels.
        cache: JSON file that remembers hashes by (path, size, mtime), or None.

    Raises:
        VicinalError: unknown name or source, or files missing or not named by split.
    """
    source = resolve_kind(name, root, source)
    columns = {"image_column": image_column, "label_column": label_column}
    for column, value in columns.items():
        check_text(f"data.{column}", value)
        if source != "parquet" and value is not None:
            raise VicinalError(
                f'data.{column}: "{value}" has no meaning for {name} from {source}: '
                "leave it out (columns are for Parquet files)"
            )
    if source == "folder":
        from vicinal.data.photos.folders import folder_identity

        return folder_identity(Path(root) / name, cache and cache.with_name("folders.json"))
    if source == "torchvision":
        hashes = {file: archive.md5 for file, archive in DATA_SETS[name].archives.items()}
    else:
        there = source_files(name, root, source)
        hashes = dict(zip(there, remembered_sums(there.values(), cache).values(), strict=True))
        _check_distinct(Path(root) / name, hashes)
    identity: dict[str, Any] = {"source": source, "files": hashes}
    if source == "parquet" and label_column is None and name in DATA_SETS:
        columns["label_column"] = DATA_SETS[name].label_column
    return identity | {key: value for key, value in columns.items() if value is not None}


def resolve_kind(name: str, root: Path | str, source: str = "auto") -> str:
    """Return the source that a data set is read from, one of ``SOURCES`` but ``auto``; see ``resolve_source``."""
    if source not in SOURCES:
        raise VicinalError(f"data.source: {source!r} is unknown{nearest(source, SOURCES)}")
    _check_name(name)
    check_text("data.root", str(root))
    folder = Path(root) / name
    try:
        if source == "parquet" or (source == "auto" and name != "digits" and parquet_files(folder)):
            return "parquet"
        if source == "folder" or (source == "auto" and (folder / "train").is_dir()):
            return "folder"
    except OSError as error:
        raise VicinalError(f"data.root: {folder} cannot be read ({str(error.strerror).lower()})") from None
    known = DATA_SETS.get(name)
    if name in BY_HAND and source == "auto":
        wrong = "has none of the photos" if folder.is_dir() else "no such folder"
        raise VicinalError(
            f"{folder}: {wrong}; {name} is not downloaded: put {BY_HAND[name]} there, or set data.root to the folder "
            f"in which {name}/ lies"
        )
    if known is None and name not in BY_HAND:
        raise VicinalError(
            f'data.name: "{name}" is no known data set{nearest(name, [*DATA_SETS, *BY_HAND])}, and for data of your '
            f"own {folder} must hold train-*.parquet and test-*.parquet, or folders train and test of photos"
        )
    kind = known and ("torchvision" if known.torchvision else "digits")
    if source not in ("auto", kind):
        valid = [n for n, k in DATA_SETS.items() if bool(k.torchvision) == (source == "torchvision")]
        raise VicinalError(f"data.source: {name} cannot be read from {source}, which has {', '.join(valid)} only")
    return kind


def source_files(name: str, root: Path | str, source: str) -> dict[str, Path]:
    """Return name → path of the files that a data set is read from, by its ``resolve_kind``; else of the archives.

    Raises VicinalError: the name is not valid, there are no such Parquet files, or scikit-learn is missing (digits).
    """
    _check_name(name)
    if source == "parquet":
        return {file: path for part in shards(Path(root) / name).values() for file, path in part.items()}
    if source == "folder":
        return {}  # too many to list and to read
    if source == "torchvision":
        return {file: Path(root) / DATA_SETS[name].folder / file for file in DATA_SETS[name].archives}
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise VicinalError("data.name: digits is part of scikit-learn, which is not installed")
    path = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    return {path.name: path}


def _check_name(name: Any) -> None:
    """Check that a data set's name is a plain folder name, so that no path leads elsewhere."""
    if not is_plain(name):
        raise VicinalError(f"data.name: {name!r} is not valid (letters, digits, dot, dash and underscore only)")


def _check_distinct(folder: Path, hashes: Mapping[str, str]) -> None:
    """Check that no file is there under two names: its images would count twice."""
    first: dict[str, str] = {}
    for file, sum_ in hashes.items():
        if (same := first.setdefault(sum_, file)) != file:
            raise VicinalError(f"{folder}: {same} and {file} are the same file: remove one of them")

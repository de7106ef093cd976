"""The known data sets, and the identity of the files that hold them.

The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicinal.data.archive_urls import ARCHIVES, Archive
from vicinal.errors import VicinalError, check_text, nearest
from vicinal.files import remembered_sums
from vicinal.results import is_plain

SOURCES = ("auto", "digits", "parquet", "torchvision", "folder")
OTHER_VALIDATION = 0.1  # share of the training split, for data sets that are not in DATA_SETS

_SHARD = re.compile(r"(train|test|validation|valid|val)(?:[-_.].*)?\.parquet")
_OF = re.compile(r"-(\d+)-of-(\d+)\.parquet$")


@dataclass(frozen=True)
class Known:
    """One known data set.

    Attributes:
        torchvision: name of the class in ``torchvision.datasets`` that has the same archives, or None.
        folder: where the archives lie below ``data.root``, torchvision's own layout.
        archives: file name → checksum and address.
        label_column: the label column of the Parquet form.
        test: images held out for testing, if the source has no test split.
        validation: images taken from the training split for validation.
        train: images trained on; None: all that are left.
    """

    torchvision: str | None = None
    folder: str = ""
    archives: Mapping[str, Archive] = field(default_factory=dict)
    label_column: str | None = None
    test: int | None = None
    validation: int = 5_000
    train: int | None = None


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
        hashes = {path.name: sum_ for path, sum_ in remembered_sums(source_files(name, root, source), cache).items()}
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
        if source == "parquet" or (source == "auto" and name != "digits" and any(folder.glob("*.parquet"))):
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


def source_files(name: str, root: Path | str, source: str) -> list[Path]:
    """Return the files on disk that a data set is read from (torchvision: the expected archives).

    ``source`` is as ``resolve_kind`` returns it.

    Raises:
        VicinalError: the name is not valid, there are no such Parquet files, or scikit-learn is missing (digits).
    """
    _check_name(name)
    if source == "parquet":
        return [path for paths in shards(Path(root) / name).values() for path in paths]
    if source == "folder":
        return []  # too many to list and to read
    if source == "torchvision":
        return [Path(root) / DATA_SETS[name].folder / file for file in DATA_SETS[name].archives]
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise VicinalError("data.name: digits is part of scikit-learn, which is not installed")
    return [Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")]


def shards(folder: Path | str) -> dict[str, list[Path]]:
    """Return the Parquet files of a folder by split (``train``, ``test``, ``validation``), sorted.

    Files are named by split as on the Hugging Face hub. A validation split without a test split is the test split,
    since it has the only held-out labels.

    Raises:
        VicinalError: no files, a name without a split, a missing shard, no train or no test split.
    """
    folder = Path(folder)
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise VicinalError(f"{folder}: expected train-*.parquet and test-*.parquet here, found none")
    found: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
    for path in paths:
        check_text(str(folder), path.name)
        match = _SHARD.fullmatch(path.name)
        if match is None:
            raise VicinalError(f"{path}: cannot tell its split: call it train-*, validation-* or test-*.parquet")
        split = match[1]
        found["validation" if split.startswith("val") else split].append(path)
    for part in found.values():
        _check_complete(part)
    if not found["test"]:
        found["test"], found["validation"] = found["validation"], []
    for split in ("train", "test"):
        if not found[split]:
            raise VicinalError(f"{folder}: no {split}-*.parquet here, only {paths[0].name} and such")
    return {split: part for split, part in found.items() if part}


def _check_complete(paths: list[Path]) -> None:
    """Check that no shard, numbered ``-00000-of-00002``, is missing."""
    numbers = [match for path in paths if (match := _OF.search(path.name))]
    if not numbers:
        return
    totals = {int(match[2]) for match in numbers}
    if len(totals) > 1:
        raise VicinalError(
            f"{paths[0].parent}: shards of different sets lie together "
            f"({numbers[0].string} and {numbers[-1].string}): keep one set"
        )
    missing = sorted(set(range(totals.pop())) - {int(match[1]) for match in numbers})
    if missing:
        raise VicinalError(f"{paths[0].parent}: shard {missing[0]:05d} of {numbers[0].string} and such is missing")


def _check_name(name: Any) -> None:
    """Check that a data set's name is a plain folder name, so that no path leads elsewhere."""
    if not is_plain(name):
        raise VicinalError(f"data.name: {name!r} is not valid (letters, digits, dot, dash and underscore only)")

"""Folders of image files: their photos and their content identity.

The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

import hashlib
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal import files
from vicinal.errors import VicinalError, check_text

if TYPE_CHECKING:
    import numpy as np

# Names of the folders of a split; the first that is there is taken.
SPLIT_FOLDERS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}
ENDINGS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".gif"}


def folder_identity(folder: Path | str, cache: Path | None = None) -> dict[str, Any]:
    """Return the content identity of an image folder, ``{"source": "folder", "files": {split: hash}}``.

    The hash is over the names and sizes of the files, as ImageNet is too large to be read whenever a run is planned.
    The checksum of the store is over the photos themselves.

    Args:
        folder: has ``train/CLASS/`` and ``val/CLASS/`` or ``test/CLASS/``.
        cache: JSON file that remembers the hashes by the times of the folders, or None. With it, a file that is
            rewritten under its old name is not noticed.

    Raises:
        VicinalError: it is no such folder.
    """
    folder = Path(folder)
    remembered = files.read_object(cache) if cache is not None else {}
    key = str(folder.resolve())
    entry = remembered.get(key)
    if not (entry and all(files.modified(Path(key, name)) == time for name, time in entry["folders"].items())):
        source = PhotoFolder(folder)
        entry = {"files": source.digests, "folders": source.folders}
        if cache is not None:
            files.write_cache(cache, {**remembered, key: entry})
    return {"source": "folder", "files": entry["files"]}


class PhotoFolder:
    """Photos as files, ``train/CLASS/*.JPEG`` and ``val/CLASS/*.JPEG`` or ``test/CLASS/*.JPEG``.

    It is a ``sources.PhotoSource``. Files in subfolders of a class count too. Classes are numbered in order of name,
    as in torchvision's ``ImageFolder``; hidden files and files with other endings are left out.

    Attributes:
        paths: of all photos, below the folder.
        folders: path of every folder that was read, below the folder → time of its last change, s since 1970.
        digests: split → SHA-256 over the names and sizes of its files.

    Raises:
        VicinalError: a split or its classes are missing, or the name of a class is not valid text.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        splits = _split_folders(self.folder)
        names = _classes(self.folder / splits["train"])
        if len(names) < 2:
            raise VicinalError(f"{self.folder / splits['train']}: expected one folder a class here, found {len(names)}")
        for name in names:
            check_text(f"{self.folder / splits['train']}: the name of a class", name)
        self.class_names: list[str] | None = names
        self.paths: list[str] = []
        self.folders = {name: files.modified(self.folder / name) for name in (".", *splits.values())}
        self.counts: dict[str, int] = {}
        self.digests: dict[str, str] = {}
        self._labels: list[int] = []
        for split, part in splits.items():
            digest = hashlib.sha256()
            for name in _classes(self.folder / part):
                if name not in names:
                    raise VicinalError(f"{self.folder / part}: {name!a} is no class of the train split")
                found = sorted(self._walk(f"{part}/{name}"))
                for path, size in found:
                    digest.update(os.fsencode(path.removeprefix(part)) + f"\0{size}\n".encode())
                self.paths += [path for path, _ in found]
                self._labels += [names.index(name)] * len(found)
            self.counts[split] = len(self._labels) - sum(self.counts.values())
            self.digests[split] = digest.hexdigest()

    @cached_property
    def labels(self) -> "np.ndarray":
        """The labels of all photos, (N,) int64."""
        import numpy as np

        return np.array(self._labels, dtype=np.int64)

    def _walk(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield path and size of the pictures in a folder and those below it."""
        self.folders[folder] = files.modified(self.folder / folder)
        for entry in os.scandir(self.folder / folder):
            path = f"{folder}/{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self._walk(path)
            elif path[path.rfind(".") :].lower() in ENDINGS and (entry.is_file() or entry.is_symlink()):
                # A broken link is an unreadable photo.
                yield path, entry.stat().st_size if entry.is_file() else -1

    def name(self, number: int) -> str:
        """Return the path of a photo below the folder; line breaks and bytes that are not UTF-8 are escaped."""
        return _one_line(self.paths[number])

    def read(self, numbers: "np.ndarray") -> Iterator[Path]:
        """Yield the files of photos."""
        return (self.folder / self.paths[number] for number in numbers.tolist())


def _one_line(text: str) -> str:
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else ascii(text)[1:-1]


def _split_folders(folder: Path) -> dict[str, str]:
    """Return split → name of its folder; a test split without classes is left out if there is a validation split."""
    found = {
        split: next(name for name in names if (folder / name).is_dir())
        for split, names in SPLIT_FOLDERS.items()
        if any((folder / name).is_dir() for name in names)
    }
    if {"validation", "test"} <= found.keys() and not _classes(folder / found["test"]):
        del found["test"]
    if "train" not in found or len(found) == 1:
        raise VicinalError(f"{folder}: expected train/CLASS/*.JPEG and val/CLASS/*.JPEG or test/CLASS/*.JPEG here")
    return found


def _classes(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))

"""Folders of image files: their photos and their content identity.

The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal import files
from vicinal.data.passed_over import PassedOver
from vicinal.data.photos.annotations import ANNOTATIONS, read_annotations
from vicinal.errors import VicinalError, check_text

if TYPE_CHECKING:
    import numpy as np

# Names of the folders of a split; the first that is there is taken.
SPLIT_FOLDERS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}
ENDINGS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".gif"}
_ENDING = re.compile(r"\.[a-z]\w{0,7}", re.IGNORECASE)
# How files of these formats begin.
_BEGINNING = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|BM.{4}\0{4}|RIFF.{4}WEBP|II\*\0|MM\0\*|P[56]\s|.{4}ftypavif", re.DOTALL
)
_RULES = 2  # of what counts as a photo: what older rules found is not remembered
_ONE_FOLDER = "images"  # of the photos of a split that is not sorted by class, in Tiny ImageNet


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
    known = entry and entry.get("rules") == _RULES
    if not (known and all(files.modified(Path(key, name)) == time for name, time in entry["folders"].items())):
        source = PhotoFolder(folder)
        entry = {"rules": _RULES, "files": source.digests, "folders": source.folders}
        if cache is not None:
            files.write_cache(cache, {**remembered, key: entry})
    return {"source": "folder", "files": entry["files"]}


class PhotoFolder:
    """Photos as files, ``train/CLASS/*.JPEG`` and ``val/CLASS/*.JPEG`` or ``test/CLASS/*.JPEG``.

    It is a ``sources.PhotoSource``. Files in subfolders of a class count too. Classes are numbered in order of name,
    as in torchvision's ``ImageFolder``. Files without an ending are photos if they begin like one; other files, and
    what ``passed_over`` lists, are left out. A held-out split whose photos lie in it or in its folder ``images`` alone
    has the classes of its ``val_annotations.txt``, as in Tiny ImageNet; without this file it is left out.

    Raises:
        VicinalError: a split or its classes are missing, or the name of a class is not valid text.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._passed_over = PassedOver()
        splits = _split_folders(self.folder)
        # Path of every folder that was read, below the folder → time of its last change, s since 1970.
        self.folders = {name: files.modified(self.folder / name) for name in (".", *splits.values())}
        names = self._subfolders(splits["train"])
        if len(names) < 2:
            raise VicinalError(f"{self.folder / splits['train']}: expected one folder a class here, found {len(names)}")
        for name in names:
            check_text(f"{self.folder / splits['train']}: the name of a class", name)
        self.class_names: list[str] | None = names
        self.paths: list[str] = []  # of all photos, below the folder
        self.counts: dict[str, int] = {}
        self.digests: dict[str, str] = {}  # split → SHA-256 over the names and sizes of its files
        self.notes: list[str] = []  # what a user should know, a line each
        self._labels: list[int] = []
        for split, part in splits.items():
            photos = self._by_class(part, names if split == "train" else self._subfolders(part), names)
            if photos is None:
                self.notes.append(f"the {split} split has no labels and is left out")
            else:
                self._add(split, part, photos, names)
        if len(self.counts) == 1:
            raise _no_set(self.folder)
        self.notes += self._passed_over.notes()

    def _subfolders(self, part: str) -> list[str]:
        """Return the names of the folders in a split's folder, sorted; count what else lies there."""
        found = []
        for entry in self._passed_over.entries(self.folder / part):
            if entry.is_dir():
                found.append(entry.name)
            elif entry.name != ANNOTATIONS:
                self._passed_over.counts["in no folder of a class"] += 1
        return sorted(found)

    def _by_class(self, part: str, inside: list[str], names: list[str]) -> dict[str, list[tuple[str, int]]] | None:
        """Return class → path and size of its photos in a split; None if the split has no labels."""
        if set(inside) <= {_ONE_FOLDER} and not set(inside) & set(names):
            annotations = self.folder / part / ANNOTATIONS
            if not annotations.is_file():
                return None
            self.folders[f"{part}/{ANNOTATIONS}"] = files.modified(annotations)
            photos = [photo for name in inside for photo in self._walk(f"{part}/{name}")]
            return read_annotations(annotations, photos, names)
        found = {name: list(self._walk(f"{part}/{name}")) for name in inside}
        for name, photos in found.items():
            if photos and name not in names:
                raise VicinalError(f"{self.folder / part}: {name!a} is no class of the train split")
        return {name: photos for name, photos in found.items() if name in names}

    def _add(self, split: str, part: str, photos: dict[str, list[tuple[str, int]]], names: list[str]) -> None:
        digest = hashlib.sha256()
        for name in sorted(photos):
            found = sorted(photos[name])
            for path, size in found:
                is_in_class = path.startswith(f"{part}/{name}/")
                known = path.removeprefix(part) if is_in_class else f"{path.removeprefix(part)}\0{name}"
                digest.update(os.fsencode(known) + f"\0{size}\n".encode())
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
        for entry in self._passed_over.entries(self.folder / folder):
            path = f"{folder}/{entry.name}"
            if entry.is_dir():
                yield from self._walk(path)
            elif _is_photo(entry):
                # A broken link is an unreadable photo.
                yield path, entry.stat().st_size if entry.is_file() else -1
            else:
                self._passed_over.add(entry.name)

    def name(self, number: int) -> str:
        """Return the path of a photo below the folder; line breaks and bytes that are not UTF-8 are escaped."""
        return _one_line(self.paths[number])

    def read(self, numbers: "np.ndarray") -> Iterator[Path]:
        """Yield the files of photos."""
        return (self.folder / self.paths[number] for number in numbers.tolist())


def _one_line(text: str) -> str:
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else ascii(text)[1:-1]


def _is_photo(entry: os.DirEntry) -> bool:
    _, dot, ending = entry.name.rpartition(".")
    if f".{ending}".lower() in ENDINGS:
        return entry.is_file() or entry.is_symlink()
    if dot and _ENDING.fullmatch(f".{ending}"):
        return False
    if not entry.is_file():
        return False
    with Path(entry.path).open("rb") as file:
        return _BEGINNING.match(file.read(16)) is not None


def _split_folders(folder: Path) -> dict[str, str]:
    """Return split → name of its folder."""
    found = {
        split: next(name for name in names if (folder / name).is_dir())
        for split, names in SPLIT_FOLDERS.items()
        if any((folder / name).is_dir() for name in names)
    }
    if "train" not in found or len(found) == 1:
        raise _no_set(folder)
    return found


def _no_set(folder: Path) -> VicinalError:
    return VicinalError(f"{folder}: expected train/CLASS/*.JPEG and val/CLASS/*.JPEG or test/CLASS/*.JPEG here")

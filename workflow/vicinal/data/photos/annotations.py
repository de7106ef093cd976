"""Classes of photos that are not sorted by class: ``val_annotations.txt``, as in Tiny ImageNet.

The workflow imports this module whenever it is parsed, so nothing heavy is imported here.
"""

from collections.abc import Iterable
from pathlib import Path

from vicinal.errors import VicinalError

ANNOTATIONS = "val_annotations.txt"


Photo = tuple[str, int]  # path and size


def read_annotations(path: Path, photos: Iterable[Photo], names: list[str]) -> dict[str, list[Photo]]:
    """Return class → its photos, by a text file: on each line the name of a photo, its class, and whatever, with tabs.

    Raises VicinalError: the file is no such file, or a photo is not in it.
    """
    classes = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        photo, _, rest = line.partition("\t")
        name = rest.partition("\t")[0].strip()
        if name not in names:
            raise VicinalError(f"{path}: line {number}: {name!a} is no class of the train split")
        classes[photo] = name
    found: dict[str, list[Photo]] = {}
    for photo in photos:
        name = photo[0].rpartition("/")[2]
        if name not in classes:
            raise VicinalError(f"{path}: {name!a} is not in it, so its class is not known")
        found.setdefault(classes[name], []).append(photo)
    return found

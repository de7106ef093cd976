"""How many images of which size a data set has: as recorded, or else as known or as its source says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vicinal.errors import VicinalError
from vicinal.files import read_json
from vicinal.planning.artefacts import DataSet
from vicinal.planning.sources import MISSING
from vicinal.spec import data_id

PHOTO = (1, 1, 3)
# Classes, image (height, width, channels), training and test images of the published sets. Digits have no test split.
_DIGITS = (10, (8, 8, 1), 1_797, 0)
_KNOWN = {
    "cifar10": (10, (32, 32, 3), 50_000, 10_000),
    "cifar100": (100, (32, 32, 3), 50_000, 10_000),
    "fashion_mnist": (10, (28, 28, 1), 60_000, 10_000),
    "imagenet": (1000, PHOTO, 1_281_167, 50_000),
}
_DIGITS_TEST = 900


@dataclass(frozen=True)
class Shape:
    """The size of a prepared data set; ``stored`` counts all images, also those in no split."""

    classes: int
    height: int
    width: int
    channels: int
    train: int
    validation: int
    test: int
    stored: int

    @property
    def image(self) -> tuple[int, int, int, int]:
        """Return what ``Costs.of`` takes after the architecture: classes, channels, height, width."""
        return self.classes, self.channels, self.height, self.width


def shape_of(store: DataSet, results: Path) -> Shape:
    """Return the shape of a data set, prepared or not. Raises VicinalError: its source cannot be read."""
    recorded = recorded_shape(store.spec, results)
    return recorded if recorded is not None else _expected(store)


def recorded_shape(spec: dict[str, Any], results: Path) -> Shape | None:
    """Return the shape of a prepared data set by its spec; None where it is not prepared."""
    path = results / "data" / data_id(spec) / "data.json"
    try:
        meta = read_json(path)
        # Photos have no common size; the recipe says what the networks see.
        height, width, channels = meta.get("image_shape", PHOTO)
        return Shape(len(meta["class_names"]), height, width, channels, **meta["counts"], stored=meta["images"])
    # Missing or damaged: the job that makes it again will say so.
    except (VicinalError, NotADirectoryError, AttributeError, KeyError, TypeError):
        return None


def _expected(store: DataSet) -> Shape:
    """Return the shape that a data set will have, by the rules of ``vicinal.data.split.make_splits``."""
    spec = store.spec
    classes, (height, width, channels), train, test, held = _source(store)
    stored = train + test + held
    if spec["source"] == "digits":
        test, train = _DIGITS_TEST, train - _DIGITS_TEST
    if (validation := spec.get("validation")) is not None:
        held = round(validation * train) if validation < 1 else int(validation)
        train -= held
    train = min(train, spec.get("limit_train", train))
    test = min(test, spec.get("limit_test", test))
    held = min(held, spec.get("limit_test", held))
    return Shape(classes, height, width, channels, max(train, 1), held, test, stored)


def _source(store: DataSet) -> tuple[int, tuple[int, int, int], int, int, int]:
    """Return classes, image, and the numbers of images in the source's own train, test and validation splits."""
    spec = store.spec
    if spec["source"] == "digits":
        return (*_DIGITS, 0)
    if spec["source"] in ("torchvision", MISSING):
        return (*_KNOWN[spec["name"]], 0)
    if spec["source"] == "folder":
        from vicinal.data.photos.folders import PhotoFolder  # looks into every folder

        folder = PhotoFolder(Path(store.root) / spec["name"])
        train, *others = (folder.counts.get(split, 0) for split in ("train", "test", "validation"))
        test, held = others if others[0] else reversed(others)
        return len(folder.class_names or ()), PHOTO, train, test, held
    from vicinal.data.parquet import open_parquet  # pyarrow and Pillow take a while to load

    folder = Path(store.root) / spec["name"]
    columns, viewed = (spec.get("image_column"), spec.get("label_column")), spec.get("as_viewed", False)
    source = open_parquet(folder, *columns, batch_size=1, viewed=viewed)
    first = next(source.chunks)
    counts = source.counts
    classes = len(source.class_names) if source.class_names else _KNOWN.get(spec["name"], (10,))[0]
    return classes, first.images.shape[1:], counts["train"], counts["test"], counts.get("validation", 0)

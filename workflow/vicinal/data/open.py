"""Open a data set of either form. The code of photos is loaded, and counts, only where there are photos."""

from importlib import import_module
from pathlib import Path

from vicinal.data.store import META, Store
from vicinal.files import read_object
from vicinal.spec import PHOTOS

STORE = "vicinal.data.photos.store"


def open_store(path: Path) -> Store:
    """Open the data set that a record, a JSON file in its folder, describes.

    Raises:
        VicinalError: it is no whole store.
    """
    spec = read_object(path.parent / META).get("spec")
    has_photos = isinstance(spec, dict) and spec.get("store") == PHOTOS
    return import_module(STORE).PhotoStore(path) if has_photos else Store(path)

"""Open a data store of either form. The code of photos is imported, and part of the fingerprint, only for photos."""

from importlib import import_module
from pathlib import Path

from vicinal.data.store import DataStore
from vicinal.files import read_object
from vicinal.results import META
from vicinal.spec import PHOTOS


def open_store(path: Path) -> DataStore:
    """Open a data store by its record, a JSON file in its folder. Raises VicinalError: it is no whole store."""
    spec = read_object(path.parent / META).get("spec")
    has_photos = isinstance(spec, dict) and spec.get("store") == PHOTOS
    return import_module("vicinal.data.photos.store").PhotoStore(path) if has_photos else DataStore(path)

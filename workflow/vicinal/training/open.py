"""Open the images of a split. The code of photos is imported, and part of the fingerprint, only for photos."""

from importlib import import_module
from typing import Any

import torch

from vicinal.data.store import DataStore
from vicinal.spec import PHOTOS
from vicinal.training.inputs import Images, window_of


def open_images(store: DataStore, split: str, device: torch.device, recipe: dict[str, Any]) -> Images:
    """Return the images of a split as a recipe wants them: on a device, or decoded on the way there."""
    if store.meta["spec"].get("store") == PHOTOS:
        photos = import_module("vicinal.training.photos").Photos
        return photos(store, split, device, size=recipe["crop"], threads=torch.get_num_threads())
    return Images(store, split, device, window_of(recipe))

"""Open a data set, of whichever form: the code of photos is loaded where there are photos, and counts only there."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.data.store import META, Store
from vicinal.files import read_object
from vicinal.spec import PHOTOS

if TYPE_CHECKING:
    import torch

    from vicinal.inputs import Images

INPUTS, STORE = "vicinal.data.photos.inputs", "vicinal.data.photos.store"


def open_store(path: Path) -> Store:
    """Open the data set that a record, a JSON file in its folder, describes.

    Raises:
        VicinalError: it is no whole store.
    """
    spec = read_object(path.parent / META).get("spec")
    has_photos = isinstance(spec, dict) and spec.get("store") == PHOTOS
    return import_module(STORE).PhotoStore(path) if has_photos else Store(path)


def open_images(store: Store, split: str, device: "torch.device", recipe: dict[str, Any]) -> "Images":
    """Return the images of a split as a recipe wants them, on a device, or decoded on the way there."""
    if store.meta["spec"].get("store") == PHOTOS:
        import torch

        photos = import_module(INPUTS).Photos
        return photos(store, split, device, size=recipe["crop"], threads=torch.get_num_threads())
    from vicinal.inputs import Images, window_of

    return Images(store, split, device, window_of(recipe))

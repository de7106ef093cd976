"""The data sets of an experiment: its own, of each seed, and others whose test images are told from its own."""

from collections.abc import Mapping

from vicinal.config import Data, Experiment
from vicinal.data.catalogue import split_defaults
from vicinal.errors import VicinalError
from vicinal.planning.artefacts import DataSet
from vicinal.spec import PHOTOS, data_id, normalise


def ood_stores(experiment: Experiment, contents: Mapping[str, dict]) -> dict[str, DataSet]:
    """Return the data of ``evaluation.ood`` by name; ``contents`` are the content identities (``resolve_source``)."""
    whole = {"source": "auto", "image_column": None, "label_column": None, "limit_train": None, "validation": None}
    return {
        name: prepared(experiment.data.model_copy(update={**whole, "name": name, "subset": "fixed"}), content, 0)
        for name, content in contents.items()
    }


def prepared(data: Data, content: dict, seed: int) -> DataSet:
    """Return the data of a seed, of this ``resolve_source``: the same for all, or each with its own training images.

    Raises VicinalError: a folder of photos is not to be stored as photos.
    """
    defaults = split_defaults(data.name, content["source"])
    limit_train = data.limit_train if data.limit_train is not None else defaults["train"]
    own = limit_train is not None and data.subset != "fixed"
    if any(file.startswith("val") for file in content["files"]):
        defaults["validation"] = None  # the source has a validation split of its own
    spec = {
        "stage": "data",
        "name": data.name,
        **content,
        "validation": data.validation if data.validation is not None else defaults["validation"],
        "split_seed": data.split_seed,
        "limit_train": limit_train,
        "subset_seed": seed if own else None,
        "limit_test": data.limit_test,
        "as_viewed": data.as_viewed and content["source"] in ("parquet", "folder"),  # others have pixels alone
    }
    if data.store == PHOTOS:
        spec |= {"store": PHOTOS, "shorter_side": data.shorter_side, "quality": data.quality}
        spec["bad_share"] = data.bad_share
        if data.name == "imagenet":
            spec["validation"] = data.validation  # 10,000 of its validation photos
    elif content["source"] == "folder":
        raise VicinalError(f"data.store: {data.name} is a folder of photos: set it to photos")
    return DataSet(data_id(spec), normalise(spec), data.root)

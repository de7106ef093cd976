"""A teacher that is not trained: a file of weights becomes a model, in the files that a training would write."""

from pathlib import Path
from typing import Any

from vicinal import files
from vicinal.data.store import DataStore
from vicinal.errors import VicinalError
from vicinal.jobs.provenance import Stopwatch, provenance
from vicinal.models import build_model
from vicinal.models.fitting import load_checkpoint
from vicinal.models.pretrained import CLASSES
from vicinal.spec import GIVEN
from vicinal.training.weights import save_model


def take_weights(directory: Path, wanted: dict[str, Any], store: DataStore, weights: Path | None) -> None:
    """Write the model of a given teacher, as a trained one is written, all or nothing.

    Args:
        directory: of the model.
        wanted: what its record must say (``save_model``); its ``spec`` names the weights.
        store: the data, whose classes the teacher must know.
        weights: the file; the last layer is used too.

    Raises:
        VicinalError: the file is missing, damaged, not the one that was planned with, or of another network or other
            classes; or the normalisation is of other channels.
    """
    watch, spec = Stopwatch(), wanted["spec"]
    given = spec[GIVEN]
    if weights is None:
        raise VicinalError(f"{wanted['id']}: its weights are given: name their file by --weights")
    if "name" in given and store.num_classes != CLASSES:
        raise VicinalError(
            f"{wanted['id']}: published weights know the {CLASSES:,} classes of ImageNet, the data have "
            f"{store.num_classes:,}: train the teacher (recipe.pretrained starts from these weights)"
        )
    if weights.is_file() and not (found := files.sha256(weights)).startswith(given["sha256"]):
        raise VicinalError(
            f"{weights}: not the file that this run was planned with (SHA-256 {found[:8]}…, planned "
            f"{given['sha256'][:8]}…): run ./reproduce again to use this file"
        )
    own = spec.get("normalisation")
    if own and len(own["mean"]) != len(store.mean):
        raise VicinalError(
            f"{wanted['id']}: its normalisation is of {len(own['mean'])} channels, the images have {len(store.mean)}: "
            "give as many numbers in grids.teachers.normalisation"
        )
    model = build_model(spec["model"], store.num_classes, len(store.mean))
    if load_checkpoint(model, weights):
        print(f"{wanted['id']}: {weights} has other names than ours: its layers were taken in their order", flush=True)
    save_model(directory, model.state_dict(), [], wanted, provenance(watch))  # without a history

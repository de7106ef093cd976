"""What the training jobs share: from wanted models to finished ones on disk."""

import json
import math
from pathlib import Path
from typing import Any

import torch

from vicinal.data.store import Store
from vicinal.engine import Learner, make_learner, train
from vicinal.errors import VicinalError
from vicinal.inputs import Images, to_device
from vicinal.models import build_model
from vicinal.progress import Progress
from vicinal.provenance import Stopwatch, provenance
from vicinal.weights import load_weights, save_model, save_state


def train_models(
    unit: str,
    wanted: dict[Path, dict[str, Any]],
    store: Store,
    device: torch.device,
    bad_folder: Path,
    teacher: tuple[Path, dict] | None = None,
) -> None:
    """Train models that share everything but temperature, logit scale and loss, and write each into its directory.

    Args:
        unit: id of the cohort or teacher, for messages.
        wanted: for each model's directory what its record must say: ``id``, ``spec``, ``code`` and checksums.
        store: the data.
        device: where to compute.
        bad_folder: where the last good weights of a diverged model go.
        teacher: directory of the teacher, and its spec.

    Raises:
        VicinalError: a loss became NaN or infinite. All models that did not diverge are trained to the end and
            written before.
    """
    watch = Stopwatch()
    data, validation = Images(store, "train", device), Images(store, "validation", device)
    learners = {directory: make_learner(record["id"], record["spec"], data) for directory, record in wanted.items()}
    spec = next(iter(wanted.values()))["spec"]
    progress = Progress(unit, spec["recipe"]["epochs"], "epochs", images=len(data))

    def report(epoch: int, active: list[Learner]) -> None:
        note = ", ".join(_status(learner) for learner in active)
        progress.update(epoch, note, {learner.id: _curves(learner) for learner in active})

    train(
        list(learners.values()),
        data,
        validation,
        recipe=spec["recipe"],
        seed=spec["seed"],
        alpha=spec.get("alpha"),
        teacher=_frozen(*teacher, data) if teacher else None,
        on_epoch=report,
        on_step=progress.within,
    )
    made = provenance(watch, device)
    problems = []
    for directory, learner in learners.items():
        if learner.diverged is None:
            save_model(directory, learner.model.state_dict(), learner.history, wanted[directory], made)
        else:
            problems.append(_keep_last_good(unit, learner, bad_folder))
    if problems:
        raise VicinalError("\n".join(problems))


def _curves(learner: Learner) -> dict[str, float | None]:
    """Return the last loss and, as far as there is one, the last validation accuracy, a fraction."""
    loss = learner.history[-1]["loss"]
    accuracies = (row["validation_accuracy"] for row in reversed(learner.history) if "validation_accuracy" in row)
    return {"loss": loss if math.isfinite(loss) else None, "accuracy": next(accuracies, None)}


def _status(learner: Learner) -> str:
    accuracy = _curves(learner)["accuracy"]
    shown = "" if accuracy is None else f" val {accuracy:.1%}"
    temperature = "" if learner.temperature is None else f"T={learner.temperature} "
    return f"{temperature}loss {learner.history[-1]['loss']:.4f}{shown}"


def _frozen(directory: Path, spec: dict, data: Images) -> torch.nn.Module:
    """Return a finished teacher, frozen, in evaluation mode, on the device of the data."""
    model = build_model(spec["model"], data.num_classes, data.channels)
    load_weights(directory, model)
    return to_device(model.requires_grad_(False).eval(), data.images.device)


def _keep_last_good(unit: str, learner: Learner, folder: Path) -> str:
    epoch, step = learner.diverged
    path = folder / f"{learner.id}.safetensors"
    save_state(path, learner.good_state, {"epoch": json.dumps(epoch - 1), "id": learner.id})
    return (
        f"{unit}: the loss of {learner.id} became NaN or infinite in epoch {epoch}, step {step}; its weights after "
        f"epoch {epoch - 1} are in {path}; try a lower recipe.lr"
    )

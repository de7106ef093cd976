"""From a trained network to its tables: its logits and features are computed once, every metric from them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from vicinal.data.store import DataStore
from vicinal.errors import VicinalError
from vicinal.evaluation import metrics
from vicinal.evaluation.confusion import (
    COLUMNS,
    confusion_table,
    similarity_matrices,
    similarity_table,
    similarity_tests,
)
from vicinal.evaluation.files import TABLES
from vicinal.evaluation.measures import (
    clean_metrics,
    fidelity_metrics,
    ood_metrics,
    predictions_table,
    representation_metrics,
    spread_table,
    vicinal_table,
)
from vicinal.evaluation.pairs import Pairs, vicinal_pairs
from vicinal.evaluation.projection import projection_table
from vicinal.models.features import penultimate
from vicinal.training.inputs import Images, mix
from vicinal.training.loop import logits_on
from vicinal.training.open import open_images

# Images a batch: what suits the caches of a CPU; more of small ones (pixels a side), to keep a GPU busy.
BATCH, GPU_BATCH, SMALL = 256, 1024, 64
# The splits of clean metrics, of vicinal pairs, of class similarity, and of features.
CLEAN_SPLITS = ("validation", "test")
PAIR_SPLITS = ("train", "test")
SIMILARITY_SPLIT = FEATURE_SPLIT = "test"
# A teacher's confidence gap is also measured with its logits times these: as a student sees it at that logit scale.
LOGIT_SCALES = (0.5, 0.75, 1.5, 2.0)


@dataclass
class Probe:
    """The inputs that all models of an experiment are measured on; ``ood``: the test images of other data sets."""

    data: dict[str, Images]
    labels: dict[str, np.ndarray]
    pairs: dict[str, Pairs]
    ood: dict[str, Images] = field(default_factory=dict)


@dataclass
class Logits:
    """One model's logits (N, K): on the clean images of each split, on the mixed inputs of its pairs, on other data.

    And its penultimate features (N, D) float32 on the test split, on the clean images and on the mixed inputs; and how
    many numbers (weights and biases) it has.
    """

    clean: dict[str, np.ndarray]
    mixed: dict[str, np.ndarray]
    clean_features: np.ndarray
    mixed_features: np.ndarray
    parameters: int
    ood: dict[str, np.ndarray] = field(default_factory=dict)


def make_probe(data: dict[str, Images], count: int, seed: int, ood: dict[str, Images] | None = None) -> Probe:
    """Return the inputs: the splits, ``count`` vicinal pairs each of the train and the test split, and other data."""
    labels = {split: images.labels.cpu().numpy() for split, images in data.items()}
    pairs = {split: vicinal_pairs(labels[split], count, seed) for split in PAIR_SPLITS}
    return Probe(data, labels, pairs, ood or {})


def other_images(store: DataStore, own: Images, recipe: dict[str, Any]) -> Images:
    """Return other data's test images, normalised like ``own``. Raises VicinalError: they have another shape."""
    images = open_images(store, "test", own.device, recipe)
    if (images.channels, images.side) != (own.channels, own.side):
        shapes = [f"{each.side} pixels a side and {each.channels} channels" for each in (images, own)]
        raise VicinalError(
            f"evaluation.ood: the images of {store.meta['name']} have {shapes[0]}, those of the data {shapes[1]}; "
            "name data of the same channels, and set recipe.resize and recipe.crop where sizes differ"
        )
    images.mean, images.scale = own.mean, own.scale
    return images


@torch.no_grad()
def image_logits(model: torch.nn.Module, images: Images) -> np.ndarray:
    """Return a network's logits (N, K) float32 on clean images, in evaluation mode."""
    return logits_on(model, images, _batch_size(images)).float().cpu().numpy()


@torch.no_grad()
def probe_logits(model: torch.nn.Module, probe: Probe) -> Logits:
    """Return a network's logits on all inputs, features on some, in evaluation mode; errors: ``penultimate``."""
    model.eval()
    clean, mixed = {}, {}
    for split, images in probe.data.items():
        clean[split] = _answers(model, images.clean_batches(_batch_size(images)), split == FEATURE_SPLIT)
    for split, pairs in probe.pairs.items():
        mixed[split] = _answers(model, _mixed_inputs(probe.data[split], pairs), split == FEATURE_SPLIT)
    logits = ({split: answers for split, (answers, _) in of_splits.items()} for of_splits in (clean, mixed))
    ood = {name: image_logits(model, images) for name, images in probe.ood.items()}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Logits(*logits, clean[FEATURE_SPLIT][1], mixed[FEATURE_SPLIT][1], parameters, ood)


def _answers(
    model: torch.nn.Module, batches: Iterable[torch.Tensor], with_features: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (N, K) and features, (N, D) or without them (N, 0), float32."""
    logits, features = [], []
    for inputs in batches:
        taken, answers = penultimate(model, inputs)
        logits.append(answers)
        features.append(taken if with_features else taken.new_empty(len(taken), 0))
    logits, features = (torch.cat(parts).float().cpu().numpy() for parts in (logits, features))
    return logits, features


def _batch_size(images: Images) -> int:
    return GPU_BATCH if images.device.type == "cuda" and images.side <= SMALL else BATCH


def _mixed_inputs(images: Images, pairs: Pairs) -> Iterator[torch.Tensor]:
    """Yield the mixed inputs of all pairs, a batch at a time."""
    device = images.labels.device
    first, second = torch.from_numpy(pairs.i).to(device), torch.from_numpy(pairs.j).to(device)
    lam = torch.from_numpy(pairs.lam).float().to(device)
    size = _batch_size(images)
    for start in range(0, len(pairs), size):
        here = slice(start, start + size)
        yield mix(images.clean(first[here]), images.clean(second[here]), lam[here])


def model_tables(
    logits: Logits, probe: Probe, teacher: Logits | None, target_entropy: float | None, *, is_teacher: bool = False
) -> dict[str, pd.DataFrame]:
    """Return the tables of one model.

    Args:
        teacher: logits of the teacher that the student is compared with, for fidelity, likeness of features and the
            imitation weight; None: there is none.
        target_entropy: mean entropy, in nats, on clean validation images, to which the model is rescaled for the
            temperature-matched non-linearity: that of this teacher; None: that measure is left out.
        is_teacher: add what is measured on teachers only: the confidence gap with scaled logits, the class-similarity
            matrices (3 K² rows), and how entropies and source masses spread over pairs.

    Returns:
        ``metrics``: split, metric, value. ``vicinal``: split, pairs, lam_low, lam_high, metric, value, count.
        ``confusion``: split, temperature, metric, value, count. ``predictions``: one row a test image.
        ``projection``: one row a point, see ``projection_table``.
        Of teachers also ``similarity``: kind, row, column, value; and ``spread``: split, lam_low, lam_high, metric,
        quantile, value, count.
    """
    split = SIMILARITY_SPLIT
    matrices = similarity_matrices(logits.clean[split], logits.mixed[split], probe.pairs[split], probe.labels[split])
    confusion = [
        confusion_table(logits.clean[split], logits.mixed[split], pairs, probe.labels[split]).assign(split=split)
        for split, pairs in probe.pairs.items()
    ]
    confusion.append(similarity_tests(matrices).assign(split=split))
    test = probe.labels["test"]
    matched = _matching_temperature(logits, target_entropy)

    def vicinal(split: str, *of_pairs: Any) -> pd.DataFrame:
        return vicinal_table(*of_pairs, teacher.mixed[split] if teacher else None, matched)

    vicinal_tables = [_by_split(vicinal, logits, probe), _of_mixed_features(logits, probe, teacher)]
    tables = {
        "metrics": _clean_table(logits, probe, teacher, is_teacher),
        "vicinal": pd.concat(vicinal_tables, ignore_index=True),
        "confusion": pd.concat(confusion, ignore_index=True)[["split", *COLUMNS]],
        "predictions": predictions_table(logits.clean["test"], test, np.arange(len(test))),
        "projection": projection_table(logits.clean_features, logits.mixed_features, test, probe.pairs[FEATURE_SPLIT]),
    }
    if is_teacher:
        spread = _by_split(lambda split, *of_pairs: spread_table(*of_pairs), logits, probe)
        tables |= {"similarity": similarity_table(matrices), "spread": spread}
    return tables


def _clean_table(logits: Logits, probe: Probe, teacher: Logits | None, is_teacher: bool) -> pd.DataFrame:
    posthoc = metrics.fit_temperature(logits.clean["validation"], probe.labels["validation"])
    rows = []
    for split in CLEAN_SPLITS:
        own, labels = logits.clean[split], probe.labels[split]
        values = clean_metrics(own, labels, posthoc)
        if teacher is not None:
            values |= fidelity_metrics(own, teacher.clean[split])
        if split == FEATURE_SPLIT:
            its = teacher.clean_features if teacher else None
            values |= representation_metrics(logits.clean_features, labels, its)
            values["parameters"] = float(logits.parameters)
        if split == "test":
            for name, others in logits.ood.items():
                values |= {f"ood_{metric}_{name}": value for metric, value in ood_metrics(own, others).items()}
        if is_teacher:
            for scale in LOGIT_SCALES:
                values[f"confidence_gap_c{scale:g}"] = metrics.confidence_gap(metrics.softmax(own, 1 / scale), labels)
        rows += [{"split": split, "metric": metric, "value": value} for metric, value in values.items()]
    return pd.DataFrame(rows)


def _of_mixed_features(logits: Logits, probe: Probe, teacher: Logits | None) -> pd.DataFrame:
    """Return the rows of ``vicinal`` on representations: of all pairs; a mixed input is of the class of larger λ."""
    pairs, labels = probe.pairs[FEATURE_SPLIT], probe.labels[FEATURE_SPLIT]
    nearer = labels[np.where(pairs.lam > 0.5, pairs.i, pairs.j)]
    values = representation_metrics(logits.mixed_features, nearer, teacher.mixed_features if teacher else None)
    rows = [(FEATURE_SPLIT, "all", 0.0, 1.0, name, value, len(pairs)) for name, value in values.items()]
    return pd.DataFrame(rows, columns=list(TABLES["vicinal"])).astype(TABLES["vicinal"])


def _by_split(measure: Callable[..., pd.DataFrame], logits: Logits, probe: Probe) -> pd.DataFrame:
    """Return the tables that ``measure`` makes from the split and its pairs, as one with a column ``split``."""
    tables = []
    for split, pairs in probe.pairs.items():
        clean = logits.clean[split]
        table = measure(split, clean[pairs.i], clean[pairs.j], logits.mixed[split], pairs, probe.labels[split])
        table.insert(0, "split", split)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _matching_temperature(logits: Logits, target_entropy: float | None) -> float | None:
    """Return the temperature that gives the target entropy; None if no temperature does (a collapsed model)."""
    if target_entropy is None:
        return None
    try:
        return metrics.entropy_matching_temperature(logits.clean["validation"], target_entropy)
    except metrics.MetricError as error:
        print(f"temperature-matched non-linearity left out: {error}", flush=True)
        return None


def mean_entropy(logits: Logits) -> float:
    """Return the mean entropy, in nats, of a model's predictions on clean validation images."""
    return metrics.entropy(metrics.softmax(logits.clean["validation"]))

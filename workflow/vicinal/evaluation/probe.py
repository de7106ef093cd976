"""From a trained network to its tables: logits once, every metric from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vicinal.evaluation import metrics
from vicinal.evaluation.confusion import (
    COLUMNS,
    confusion_table,
    similarity_matrices,
    similarity_table,
    similarity_tests,
)
from vicinal.evaluation.measures import clean_metrics, fidelity_metrics, predictions_table, spread_table, vicinal_table
from vicinal.evaluation.pairs import Pairs, vicinal_pairs
from vicinal.models import build_model
from vicinal.training.inputs import Images, adapt, mix, to_device
from vicinal.training.loop import logits_on
from vicinal.training.weights import load_weights

# Images asked about at once: what suits the caches of a CPU. A GPU is kept busy by more, if they are small.
BATCH, GPU_BATCH, SMALL = 256, 1024, 64
# Clean metrics are taken on these splits, vicinal pairs are drawn from those.
CLEAN_SPLITS = ("validation", "test")
PAIR_SPLITS = ("train", "test")
# A teacher's calibration is also taken with its logits times these: what a student sees of it at that logit scale.
LOGIT_SCALES = (0.5, 0.75, 1.5, 2.0)
# Class similarity is taken on this one.
SIMILARITY_SPLIT = "test"


@dataclass
class Probe:
    """The inputs that all models of an experiment are measured on."""

    data: dict[str, Images]
    labels: dict[str, np.ndarray]
    pairs: dict[str, Pairs]


@dataclass
class Logits:
    """One model's logits: on the clean images of each split and on the mixed inputs of its pairs, (N, K) each."""

    clean: dict[str, np.ndarray]
    mixed: dict[str, np.ndarray]


def make_probe(data: dict[str, Images], count: int, seed: int) -> Probe:
    """Return the inputs: the splits and ``count`` vicinal pairs of the train and of the test split."""
    labels = {split: images.labels.cpu().numpy() for split, images in data.items()}
    pairs = {split: vicinal_pairs(labels[split], count, seed) for split in PAIR_SPLITS}
    return Probe(data, labels, pairs)


def trained_network(directory: Path, spec: dict[str, Any], images: Images) -> torch.nn.Module:
    """Return the finished model in a directory, on the device of the images that it is to be measured on.

    Args:
        directory: of the model.
        spec: of the model.
        images: of the data that it was trained on, normalised as the data are.

    Raises:
        VicinalError: its weights are missing, damaged or of another network.
    """
    model = build_model(spec["model"], images.num_classes, images.channels)
    load_weights(directory, model)
    return to_device(adapt(model, spec, images), images.device)


@torch.no_grad()
def image_logits(model: torch.nn.Module, images: Images) -> np.ndarray:
    """Return a network's logits (N, K) float32 on images without random choices, in evaluation mode."""
    return logits_on(model, images, _batch_size(images)).float().cpu().numpy()


@torch.no_grad()
def probe_logits(model: torch.nn.Module, probe: Probe) -> Logits:
    """Return a network's logits on all inputs, in evaluation mode."""
    clean = {split: image_logits(model, images) for split, images in probe.data.items()}
    mixed = {split: _mixed_logits(model, probe.data[split], pairs) for split, pairs in probe.pairs.items()}
    return Logits(clean, mixed)


def _batch_size(images: Images) -> int:
    return GPU_BATCH if images.device.type == "cuda" and images.side <= SMALL else BATCH


def _mixed_logits(model: torch.nn.Module, images: Images, pairs: Pairs) -> np.ndarray:
    device = images.labels.device
    first, second = torch.from_numpy(pairs.i).to(device), torch.from_numpy(pairs.j).to(device)
    lam = torch.from_numpy(pairs.lam).float().to(device)
    parts, size = [], _batch_size(images)
    for start in range(0, len(pairs), size):
        here = slice(start, start + size)
        parts.append(model(mix(images.clean(first[here]), images.clean(second[here]), lam[here])))
    return torch.cat(parts).float().cpu().numpy()


def model_tables(
    logits: Logits,
    probe: Probe,
    teacher: Logits | None,
    target_entropy: float | None,
    *,
    is_teacher: bool = False,
) -> dict[str, pd.DataFrame]:
    """Return the tables of one model.

    Args:
        logits: of the model.
        probe: the inputs.
        teacher: logits of the student's teacher, for fidelity; None without one.
        target_entropy: mean entropy, in nats, on clean validation images that the model is rescaled to for the
            temperature-matched non-linearity: its teacher's own; None leaves that out.
        is_teacher: add what is asked of teachers only: the confidence gap under scaled logits, the
            class-similarity matrices (3 K² rows), and how entropies and source masses are distributed over pairs.

    Returns:
        ``metrics``: split, metric, value. ``vicinal``: split, pairs, lam_low, lam_high, metric, value, count.
        ``confusion``: split, temperature, metric, value, count. ``predictions``: one row a test image.
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
    tables = {
        "metrics": _clean_table(logits, probe, teacher, is_teacher),
        "vicinal": _vicinal_tables(logits, probe, teacher, _matching_temperature(logits, target_entropy)),
        "confusion": pd.concat(confusion, ignore_index=True)[["split", *COLUMNS]],
        "predictions": predictions_table(logits.clean["test"], test, np.arange(len(test))),
    }
    if is_teacher:
        tables |= {"similarity": similarity_table(matrices), "spread": _spread_tables(logits, probe)}
    return tables


def _clean_table(logits: Logits, probe: Probe, teacher: Logits | None, is_teacher: bool) -> pd.DataFrame:
    posthoc = metrics.fit_temperature(logits.clean["validation"], probe.labels["validation"])
    rows = []
    for split in CLEAN_SPLITS:
        own, labels = logits.clean[split], probe.labels[split]
        values = clean_metrics(own, labels, posthoc)
        if teacher is not None:
            values |= fidelity_metrics(own, teacher.clean[split])
        if is_teacher:
            for scale in LOGIT_SCALES:
                values[f"confidence_gap_c{scale:g}"] = metrics.confidence_gap(metrics.softmax(own, 1 / scale), labels)
        rows += [{"split": split, "metric": metric, "value": value} for metric, value in values.items()]
    return pd.DataFrame(rows)


def _vicinal_tables(logits: Logits, probe: Probe, teacher: Logits | None, matched: float | None) -> pd.DataFrame:
    tables = []
    for split, pairs in probe.pairs.items():
        clean = logits.clean[split]
        table = vicinal_table(
            clean[pairs.i],
            clean[pairs.j],
            logits.mixed[split],
            pairs,
            probe.labels[split],
            teacher_mixed_logits=teacher.mixed[split] if teacher else None,
            matched_temperature=matched,
        )
        table.insert(0, "split", split)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _spread_tables(logits: Logits, probe: Probe) -> pd.DataFrame:
    tables = []
    for split, pairs in probe.pairs.items():
        clean = logits.clean[split]
        table = spread_table(clean[pairs.i], clean[pairs.j], logits.mixed[split], pairs, probe.labels[split])
        table.insert(0, "split", split)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _matching_temperature(logits: Logits, target_entropy: float | None) -> float | None:
    """Return the temperature that gives the target entropy; None where no temperature does (a collapsed model)."""
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

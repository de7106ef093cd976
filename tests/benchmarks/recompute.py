#!/usr/bin/env python
"""Recompute the numbers of a teacher and its students from their weights, by other code than the pipeline's.

Networks (ResNets for small images) are run by plain calls of torch in float64, metrics are written out in NumPy from
their definitions. Only the list of pairs and λ, which all models share, is the pipeline's own. The models are those of
the lowest seed: the teacher with the most numbers, and its kd and kd_mixup student at the temperature nearest to 2.

    python tests/benchmarks/recompute.py results/cifar10-cpu

prints the stored value, the recomputed one and their difference, and exits with 1 where one is above 1e-4.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from vicinal.evaluation.pairs import vicinal_pairs

LIMIT = 1e-4
BATCH = 500


def network(folder: Path) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return a function from inputs (N, C, H, W) to the features and logits of a trained CIFAR ResNet."""
    weights = {
        name: w.double() if w.is_floating_point() else w
        for name, w in load_file(folder / "weights.safetensors").items()
    }

    def conv_bn(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        kernel = weights[f"{name}.0.weight"]
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        mean, var, gamma, beta = (
            weights[f"{name}.1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        scale = gamma / torch.sqrt(var + 1e-5)
        return (x - mean[:, None, None]) * scale[:, None, None] + beta[:, None, None]

    def run(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.relu(conv_bn(x, "stem"))
        for stage in range(3):
            block = 0
            while f"stages.{stage}.{block}.conv1.0.weight" in weights:
                name = f"stages.{stage}.{block}"
                stride = 2 if stage and not block else 1
                own = conv_bn(F.relu(conv_bn(x, f"{name}.conv1", stride)), f"{name}.conv2")
                x = F.relu(
                    own + (conv_bn(x, f"{name}.shortcut", stride) if f"{name}.shortcut.0.weight" in weights else x)
                )
                block += 1
        features = x.mean(dim=(2, 3))
        return features, features @ weights["fc.weight"].T + weights["fc.bias"]

    return run


class Data:
    """The test images of a data store, (N, C, H, W) normalised by the training images, their labels and pairs."""

    def __init__(self, store: Path, settings: dict) -> None:
        images, labels = np.load(store / "images.npy"), np.load(store / "labels.npy")
        splits = pd.read_parquet(store / "splits.parquet")
        of = {name: rows["index"].to_numpy() for name, rows in splits.groupby("split")}
        train = images[of["train"]].reshape(-1, images.shape[-1]) / 255
        self.images = (images[of["test"]] / 255 - train.mean(axis=0)) / train.std(axis=0)
        self.labels = labels[of["test"]].astype(np.int64)
        self.pairs = vicinal_pairs(self.labels, settings["pairs"], settings["pair_seed"])

    def inputs(self, mixed: bool) -> Iterator[torch.Tensor]:
        """Yield the test images, or the mixed inputs of the pairs."""
        number = len(self.pairs) if mixed else len(self.labels)
        for start in range(0, number, BATCH):
            here = slice(start, start + BATCH)
            if mixed:
                lam = self.pairs.lam[here, None, None, None]
                batch = lam * self.images[self.pairs.i[here]] + (1 - lam) * self.images[self.pairs.j[here]]
            else:
                batch = self.images[here]
            yield torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))


def answers(folder: Path, data: Data) -> dict[str, np.ndarray]:
    """Return features and probabilities on clean and on mixed inputs."""
    run, found = network(folder), {}
    with torch.no_grad():
        for name, mixed in (("clean", False), ("mixed", True)):
            parts = [run(inputs) for inputs in data.inputs(mixed)]
            features, logits = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            found |= {f"{name}_features": features, name: powers / powers.sum(axis=1, keepdims=True)}
    return found


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """Return the mean KL(p ‖ q) in nats."""
    return float(np.mean(np.sum(p * (np.log(np.maximum(p, 1e-12)) - np.log(np.maximum(q, 1e-12))), axis=1)))


def share_of_own_mixture(linear: np.ndarray, student: np.ndarray, teacher: np.ndarray) -> float:
    """Return the imitation weight by a search for the least KL: it has one minimum."""
    low, high = 0.0, 1.0
    for _ in range(60):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if kl(left * linear + (1 - left) * teacher, student) < kl(right * linear + (1 - right) * teacher, student):
            high = right
        else:
            low = left
    return (low + high) / 2


def alignment(x: np.ndarray, y: np.ndarray) -> float:
    """Return the linear CKA of features from their N × N Gram matrices, a block of rows at a time."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    sums = np.zeros(3)
    for start in range(0, len(x), BATCH):
        k, m = x[start : start + BATCH] @ x.T, y[start : start + BATCH] @ y.T
        sums += (k * m).sum(), (k * k).sum(), (m * m).sum()
    return float(sums[0] / np.sqrt(sums[1] * sums[2]))


def recomputed(own: dict[str, np.ndarray], teacher: dict[str, np.ndarray] | None, data: Data) -> dict[str, float]:
    """Return metric → value of a model, with that of its likeness to a teacher if there is one."""
    p, labels, pairs = own["clean"], data.labels, data.pairs
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    ece = oe = 0.0
    for number in range(15):  # bins (low, high], the first with its lower end
        inside = (np.ceil(confidence * 15).astype(int) - 1 == number) | ((confidence == 0) & (number == 0))
        if inside.any():
            gap = confidence[inside].mean() - right[inside].mean()
            ece += inside.mean() * abs(gap)
            oe += inside.mean() * confidence[inside].mean() * max(gap, 0)
    above = confidence[right][:, None] - np.sort(confidence[~right])[None, :]
    linear = pairs.lam[:, None] * p[pairs.i] + (1 - pairs.lam[:, None]) * p[pairs.j]
    found = {
        "accuracy": right.mean(),
        "ece": ece,
        "oe": oe,
        "confidence_gap": confidence.mean() - right.mean(),
        "auroc": np.mean((above > 0) + 0.5 * (above == 0)),
        "nonlinearity": kl(linear, own["mixed"]),
    }
    if teacher:
        found["agreement"] = np.mean(p.argmax(axis=1) == teacher["clean"].argmax(axis=1))
        found["cka_teacher"] = alignment(own["clean_features"], teacher["clean_features"])
        found["imitation_weight"] = share_of_own_mixture(linear, own["mixed"], teacher["mixed"])
    return {name: float(value) for name, value in found.items()}


def compare(folder: Path) -> pd.DataFrame:
    """Return stored and recomputed values of a teacher and two students; ``folder``: of an experiment's tables."""
    metrics, vicinal = (pd.read_parquet(folder / f"{name}.parquet") for name in ("metrics", "vicinal"))
    whole = vicinal[(vicinal["pairs"] == "all") & (vicinal["lam_low"] == 0) & (vicinal["lam_high"] == 1)]
    whole = whole[whole["metric"].isin(["nonlinearity", "imitation_weight"])]
    rows = pd.concat([table[table["split"] == "test"] for table in (metrics, whole)])
    stored = rows.set_index(["model_id", "metric"])["value"]

    models = metrics.drop_duplicates("model_id").set_index("model_id")
    models = models[models["seed"] == models["seed"].min()].astype({"temperature": "float64"})
    parameters = stored.xs("parameters", level="metric")
    teacher = max(models.index[models["role"] == "teacher"], key=lambda id_: parameters[id_])
    taught = models[(models["teacher_id"] == teacher) & (models["logit_scale"] == 1)]
    nearest = taught.assign(off=(taught["temperature"] - 2).abs()).sort_values("off").drop_duplicates("method")

    results, found, data, known = folder.parent, [], None, None
    for id_ in (teacher, *nearest.index):
        place = results / (f"teachers/{id_}/model" if id_ == teacher else f"students/{id_}")
        record = json.loads((place / "model.json").read_text())
        if data is None:
            sums = {path.parent: json.loads(path.read_text())["sha256"] for path in results.glob("data/*/meta.json")}
            [store] = [path for path, sha256 in sums.items() if sha256 == record["data_sha256"]]
            measured = next(results.glob(f"evaluations/*/{id_}/evaluation.json"))
            data = Data(store, json.loads(measured.read_text())["spec"])
        own = answers(place, data)
        known = known or own
        for metric, value in recomputed(own, known if own is not known else None, data).items():
            found.append((id_, metric, stored[id_, metric], value))
    table = pd.DataFrame(found, columns=["model", "metric", "stored", "recomputed"])
    return table.assign(difference=(table["recomputed"] - table["stored"]).abs())


def main() -> None:
    """Print the table; exit with 1 where a difference is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the experiment's tables, with its models beside it in results")
    table = compare(parser.parse_args().folder)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.6g}"))
    worst = table["difference"].max()
    print(f"largest difference {worst:.2g}, limit {LIMIT:g}")
    raise SystemExit(int(worst > LIMIT))


if __name__ == "__main__":
    main()

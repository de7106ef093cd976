"""Features of clean images and of mixed inputs between three classes, projected on the plane of the class means."""

import numpy as np
import pandas as pd

from vicinal.evaluation import metrics
from vicinal.evaluation.pairs import Pairs

# At most so many points of one class, and of mixed inputs.
CLEAN, MIXED = 100, 300
COLUMNS = {
    "kind": "category", "point": "int16", "label": "int16", "other": "int16", "lam": "float32", "x": "float32",
    "y": "float32",
}  # fmt: skip


def plane_classes(labels: np.ndarray, pairs: Pairs) -> list[int]:
    """Return three classes, the same for all models: the two with the most pairs between them, then the third.

    The third is the class with the most pairs with these two; of equal ones the lowest. In the order of their labels.
    With fewer than three classes: all.
    """
    classes, which = np.unique(labels, return_inverse=True)
    if len(classes) < 3:
        return classes.tolist()
    between = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(between, (which[pairs.i], which[pairs.j]), 1)
    between += between.T
    np.fill_diagonal(between, -1)
    two = list(np.unravel_index(between.argmax(), between.shape))
    with_these = between[two].sum(axis=0)
    with_these[two] = -2
    return sorted(classes[[*two, with_these.argmax()]].tolist())


def projection_table(clean: np.ndarray, mixed: np.ndarray, labels: np.ndarray, pairs: Pairs) -> pd.DataFrame:
    """Return points in the plane of three class means, in the units of the features; see ``metrics.class_plane``.

    Args:
        clean: features (N, D) of the clean images.
        mixed: features (P, D) of the mixed inputs λ·x_i + (1 − λ)·x_j.
        labels: of the clean images (N,).
        pairs: the P pairs (i, j, λ) of clean images.

    Returns:
        One row a point: kind (``mean`` of all images of a class, ``clean`` or ``mixed``), point (its number in its
        kind), label (of x_i), other (of x_j, else equal to ``label``), lam (λ, else 1), x and y. The first ``CLEAN``
        images of each class and the first ``MIXED`` pairs between two of them. Without a row, and with a line that says
        why, where there is no such plane: fewer than three classes, or means on a line.
    """
    classes = plane_classes(labels, pairs)
    first, second = labels[pairs.i], labels[pairs.j]
    parts = []
    try:
        plane = metrics.class_plane(clean, labels, classes)
    except metrics.MetricError as error:
        print(f"projection on the plane of three classes left out: {error}", flush=True)
    else:
        means = np.stack([clean[labels == label].mean(axis=0, dtype=np.float64) for label in classes])
        images = np.concatenate([np.flatnonzero(labels == label)[:CLEAN] for label in classes])
        between = (first != second) & np.isin(first, classes) & np.isin(second, classes)
        between = np.flatnonzero(between)[:MIXED]
        parts = [
            ("mean", classes, classes, 1.0, means),
            ("clean", labels[images], labels[images], 1.0, clean[images]),
            ("mixed", first[between], second[between], pairs.lam[between], mixed[between]),
        ]
    rows = []
    for kind, label, other, lam, features in parts:
        if len(features):
            x, y = plane.coordinates(features).T
            own = {"kind": kind, "point": np.arange(len(x)), "label": label, "other": other, "lam": lam, "x": x, "y": y}
            rows.append(pd.DataFrame(own))
    return pd.concat(rows or [pd.DataFrame(columns=list(COLUMNS))], ignore_index=True).astype(COLUMNS)

"""Where labels of points stand: beside their points, on nothing else."""

import numpy as np

# Distances (points, 1/72 in) from a point to the edge of its label, the nearest first, and directions (right first).
GAPS = (3.5, 7.0, 11.0, 16.0, 22.0, 29.0)
ANGLES = np.arange(16) * np.pi / 8
# What one point (1/72 in) further away costs, in units of the weights of what a label may cover.
DISTANCE = 1.0
ON_LABEL = 5.0  # a square point of another label
OUTSIDE = 1000.0
ROUNDS = 4


def beside(
    points: np.ndarray, sizes: np.ndarray, covered: np.ndarray, weights: np.ndarray, area: tuple[float, float]
) -> np.ndarray:
    """Return the centres of labels: near their points, clear of each other and of what is drawn.

    Each label takes the cheapest of a fixed set of places around its point, in turn, several rounds.

    Args:
        points: what is labelled, shape (n, 2), in points (1/72 in) from the lower left corner of the panel.
        sizes: width and height of each label, shape (n, 2), in points.
        covered: places that should stay visible, shape (m, 2), in points.
        weights: what it costs to cover each of them, shape (m,).
        area: width and height of the panel, in points; labels stay inside.

    Returns:
        Centres of the labels, shape (n, 2), in points.
    """
    directions = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    places, costs = [], []
    for point, size in zip(points, sizes, strict=True):
        gaps = np.repeat(GAPS, len(directions))
        turned = np.tile(directions, (len(GAPS), 1))
        centres = point + turned * (size / 2 + gaps[:, None])
        away = np.abs(covered[None] - centres[:, None])
        hidden = ((away < size / 2).all(axis=2) * weights).sum(axis=1)
        outside = ((centres < size / 2) | (centres > np.asarray(area) - size / 2)).any(axis=1)
        places.append(centres)
        costs.append(hidden + DISTANCE * gaps + OUTSIDE * outside)
    chosen: list[np.ndarray | None] = [None] * len(points)
    for _ in range(ROUNDS):
        for i, (centres, cost) in enumerate(zip(places, costs, strict=True)):
            total = cost.copy()
            for j, other in enumerate(chosen):
                if other is not None and j != i:
                    overlap = (sizes[i] + sizes[j]) / 2 - np.abs(centres - other)
                    total += ON_LABEL * np.maximum(overlap, 0).prod(axis=1)
            # Rounded: of places that are equally good the first is taken, on every machine.
            chosen[i] = centres[np.argmin(total.round(6))]
    return np.array(chosen, dtype=float).reshape(-1, 2)


def along(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return places along a straight line, about one a point (1/72 in), its ends included; shape (k, 2)."""
    steps = max(2, int(np.ceil(np.hypot(*(end - start)))) + 1)
    return np.linspace(start, end, steps)

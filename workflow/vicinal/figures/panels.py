"""Panels side by side, the further ones below: how figures with a panel a pair or a student are laid out."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicinal.figures import style
from vicinal.figures.runs import Pair


def wrapped(
    items: int, columns: int, head: float, height: float, rows: int = 1, **sharing: bool
) -> tuple[Figure, np.ndarray]:
    """Return a figure with ``rows`` panels, one above the other, for each of ``items``.

    Args:
        items: how many there are, at least one. A single one makes a figure of one column's width.
        columns: at most so many stand side by side; the others go below.
        head: height in inches that is there once, for the legend.
        height: height in inches of the panels of one item.
        rows: panels of an item.
        sharing: ``sharex`` and ``sharey`` of ``Figure.subplots``.

    Returns:
        The figure, and its axes, shape (items, rows).
    """
    columns = min(columns, items)
    blocks = math.ceil(items / columns)
    width = style.PAGE if columns > 1 else style.COLUMN
    figure = Figure(figsize=(width, head + height * blocks))
    grid = figure.subplots(blocks * rows, columns, squeeze=False, **sharing)
    axes = grid.reshape(blocks, rows, columns).swapaxes(1, 2).reshape(-1, rows)
    for ax in axes[items:].flat:
        ax.remove()
    return figure, axes[:items]


def one_a_pair(
    pairs: Sequence[Pair], columns: int, head: float, height: float, xlabel: str, ylabel: str, share: bool = True
) -> tuple[Figure, list[Axes]]:
    """Return a figure with one panel a pair, its title set, and the axis labels at the left and at the bottom.

    ``share``: all panels have the same axes, numbered at the left and at the bottom only. See ``wrapped`` for the rest.
    """
    figure, axes = wrapped(len(pairs), columns, head, height, sharex=share, sharey=share)
    panels = list(axes[:, 0])
    columns = min(columns, len(pairs))
    for place, (ax, pair) in enumerate(zip(panels, pairs, strict=True)):
        ax.set_title(style.pair_title(*pair))
        if place + columns >= len(pairs):
            ax.set_xlabel(xlabel)
            ax.tick_params(labelbottom=True)
        if place % columns == 0:
            ax.set_ylabel(ylabel)
    return figure, panels

"""Panels of a figure: how they are laid out, and how means are drawn with the intervals of our own tables.

seaborn draws lines and points of the means; the intervals come from the tables and are drawn as they are there.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from vicinal.analysis.figures import style

BAND = 0.15  # opacity of bands
LETTER = 0.064  # width of a digit, in inches
PALE = 0.45  # share of the colour in error bars that may lie below points


def grid(
    names: Collection[str], labels: Collection[str], xlabel: str, heights: Sequence[float] = (), **sharing: object
) -> tuple[Figure, np.ndarray]:
    """Return a figure, and its axes: a row for each of ``names``, its title, and a column for each of ``labels``.

    ``labels``: of the y axes. ``xlabel``: below the last row. ``heights``: of the rows, in inches; left out: rows that
    fill a page at most. ``sharing``: ``sharex`` and ``sharey`` of ``Figure.subplots``.
    """
    heights = heights or [max(1.25, min(1.7, 8.5 / len(names)))] * len(names)
    figure = Figure(figsize=(style.PAGE if len(labels) > 1 else style.COLUMN, 0.5 + sum(heights)))
    axes = figure.subplots(len(names), len(labels), squeeze=False, height_ratios=heights, **sharing)
    for row, name in zip(axes, names, strict=True):
        row[0].set_title(name, loc="left")
        for ax, label in zip(row, labels, strict=True):
            ax.set_ylabel(label)
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    return figure, axes


def wrapped(
    names: Collection[str], height: float, xlabel: str, ylabel: str, columns: int = 3, share: bool = True
) -> tuple[Figure, np.ndarray]:
    """Return a figure, and its axes: one for each of ``names``, at most ``columns`` side by side, the others below.

    ``height``: of a panel, in inches. ``share``: all have the same axes, numbered at the left and at the bottom only.
    """
    rows = math.ceil(len(names) / columns)
    columns = math.ceil(len(names) / rows)  # of four panels two and two rather than three and one
    figure = Figure(figsize=(style.PAGE if columns > 1 else style.COLUMN, 0.6 + height * rows))
    axes = figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False).ravel()
    for ax in axes[len(names) :]:
        ax.remove()
    for place, (ax, name) in enumerate(zip(axes, names, strict=False)):
        ax.set(title=name, ylabel="" if place % columns else ylabel)
        if place + columns >= len(names):
            ax.set_xlabel(xlabel)
            ax.tick_params(labelbottom=True)
    return figure, axes[: len(names)]


def cells(
    axes: np.ndarray, shown: Mapping[str, pd.DataFrame], column: str, values: Iterable[str]
) -> Iterator[tuple[Axes, pd.DataFrame]]:
    """Yield the panels of a ``grid`` with their rows: a row of panels for each table, one panel a value of a column."""
    for ax, (rows, value) in zip(axes.flat, product(shown.values(), values), strict=True):
        yield ax, rows[rows[column] == value]


@contextmanager
def own_labels(ax: Axes) -> Iterator[Axes]:
    """Keep the labels of the axes, the empty ones too: seaborn would fill in the names of columns."""
    labels = {"xlabel": ax.get_xlabel(), "ylabel": ax.get_ylabel()}
    yield ax
    ax.set(**labels)


def lines(
    ax: Axes, rows: pd.DataFrame, x: str, bars: bool = False, ends: tuple[str, str] = ("low", "high"), **look: object
) -> None:
    """Draw means against ``x``, a line a method, with the interval between ``ends`` as a band or as ``bars``."""
    rows = rows.dropna(subset="mean")
    if not len(rows):
        return
    methods = {"hue": "method", "palette": style.COLOURS, "dashes": style.DASHES, "markers": style.MARKERS}
    looks = {**methods, **style.EDGE, **look}
    with own_labels(ax):
        sns.lineplot(rows, x=x, y="mean", style=looks["hue"], estimator=None, legend=False, ax=ax, **looks)
    for name, own in rows.dropna(subset=list(ends)).groupby(looks["hue"]):
        low, high, colour = own[ends[0]], own[ends[1]], looks["palette"][name]
        if bars:
            ax.vlines(own[x], low, high, color=colour, linewidth=0.9)
        else:
            ax.fill_between(own[x], low, high, color=colour, alpha=BAND, linewidth=0)


def points(ax: Axes, rows: pd.DataFrame, x: str, y: str, hollow: Sequence[bool] = (), **look: object) -> None:
    """Draw a point a row in the look of its method; those that are ``hollow`` have a white core."""
    if not len(rows):
        return
    methods = {"hue": "method", "palette": style.COLOURS, "style": "method", "markers": style.MARKERS}
    with own_labels(ax):
        sns.scatterplot(rows, x=x, y=y, **methods, **{"s": 26, **look}, legend=False, zorder=3, ax=ax)
    cores = rows[list(hollow)] if len(hollow) else rows[:0]
    for method, own in cores.groupby("method"):
        ax.scatter(own[x], own[y], s=8, marker=style.MARKERS[method], color="white", linewidth=0, zorder=4)


def percent(ax: Axes, axes: str = "y") -> None:
    """Keep ``axes`` ("y" or "xy") between 0 and 100 %: intervals of a mean may leave the range of the quantity."""
    for name in axes:
        low, high = getattr(ax, f"get_{name}lim")()
        ax.set(**{f"{name}lim": (max(low, -1), min(high, 101))})


def named_ticks(ax: Axes, places: Mapping[str, float]) -> None:
    """Put a tick with its name at each place on the x axis; of names that would touch only some, the last among them.

    The axis has its final limits. Places are in rising order.
    """
    inches = ax.get_window_extent().width / ax.figure.dpi
    low, high = ax.get_xlim()
    named, edge = [], math.inf
    for name, place in reversed(places.items()):
        middle, half = (place - low) / (high - low) * inches, LETTER * len(name) / 2
        if middle + half <= edge:
            named, edge = [name, *named], middle - half - LETTER / 2
    ax.set_xticks(list(places.values()), [name if name in named else "" for name in places])


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Number a logarithmic axis from ``low`` to ``high`` so that at least one number is on it, and not too many."""
    locator = LogLocator(subs=(1, 2, 5) if high > 3 * low else (1, 1.5, 2, 3, 4, 5, 7))
    axis.set(major_locator=locator, major_formatter="{x:g}", minor_formatter="")


def levels(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw what depends on no x: a horizontal line a row, with the interval of a student as a band."""
    for row in rows.itertuples():
        look = style.line(row.method, marker=False)
        ax.axhline(row.mean, **look, zorder=1.5)
        if row.method != style.TEACHER and row.n > 1:
            ax.axhspan(row.low, row.high, color=look["color"], alpha=BAND, linewidth=0)


def crosses(ax: Axes, rows: pd.DataFrame, method: str, **look: object) -> None:
    """Draw points (mean_x, mean_y) of a method, joined in their order, and their intervals in both directions.

    The intervals, low_x to high_x and low_y to high_y, are pale: they must not hide points. NaN: none.
    """
    if not len(rows):
        return
    half = {f"{axis}err": ((rows[f"high_{axis}"] - rows[f"low_{axis}"]) / 2).fillna(0) for axis in "xy"}
    look = style.line(method) | look
    pale = style.tint(look["color"], PALE)
    ax.errorbar(rows["mean_x"], rows["mean_y"], **half, **look, ecolor=pale, elinewidth=0.8, zorder=2)


def of_methods(
    shown: Mapping[str, pd.DataFrame], metrics: Mapping[str, str]
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame, list[str]]]]:
    """Return a figure with a row for each table, a column a metric that is in one, and on its x axis the methods.

    Beside it each panel with its rows and its methods, whose places on the x axis are 0, 1 and so on.
    """
    data = pd.concat(shown.values())
    methods = {metric: style.ordered(data.loc[data["metric"] == metric, "method"]) for metric in metrics}
    methods = {metric: own for metric, own in methods.items() if own}
    labels = [metrics[metric] for metric in methods]
    widths = [len(own) + 1 for own in methods.values()]
    figure, axes = grid(shown, labels, "", sharex="col", sharey="col", width_ratios=widths)
    for column, own in zip(axes.T, methods.values(), strict=True):
        column[-1].set_xticks(range(len(own)), [style.LABELS[method].replace(" + ", " +\n") for method in own])
        column[-1].set_xlim(-0.6, len(own) - 0.4)
        for ax in column:
            ax.grid(visible=False, axis="x")
    figure.align_ylabels()
    orders = list(methods.values()) * len(shown)
    return figure, [(*part, own) for part, own in zip(cells(axes, shown, "metric", methods), orders, strict=True)]


def by_method(ax: Axes, rows: pd.DataFrame, methods: Sequence[str], beside: float = 0.0, hollow: bool = False) -> None:
    """Draw a mean with its interval (NaN: none) a method, ``beside`` the place of the method, see ``of_methods``."""
    rows = rows.assign(place=rows["method"].map(methods.index) + beside)
    for method, own in rows.dropna(subset=["low", "high"]).groupby("method"):
        ax.vlines(own["place"], own["low"], own["high"], color=style.COLOURS[method], linewidth=1.2, zorder=2.5)
    points(ax, rows, "place", "mean", hollow=[hollow] * len(rows), s=22)

"""Panels of a figure: how they are laid out, and how means are drawn with the intervals of our own tables.

seaborn lays the panels out and draws lines and points of the means; the intervals are drawn as the tables have them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from vicinal.analysis.figures import runs, style

BAND = 0.15  # opacity of bands
PALE = 0.45  # share of the colour in error bars that may lie below points
Draw = Callable[[Axes, pd.DataFrame], None]
METHODS = {"hue": "method", "style": "method", "palette": style.COLOURS, "markers": style.MARKERS, "legend": False}
Drawn = tuple[Figure, str]  # a figure and its caption


def facets(
    shown: Mapping[str, pd.DataFrame],
    draw: Draw,
    xlabel: str = "",
    ylabel: str = "",
    columns: Mapping[str, str] | None = None,
    by: str = "metric",
    wrap: int = 3,
    height: float | Sequence[float] = 0.0,
    **sharing: bool | str,
) -> Figure:
    """Return a figure in which ``draw`` draws each table of ``shown`` in a panel, below its title.

    With ``columns``, a table is a row of panels: for each value of its column ``by`` one, with its label of the y axis.
    Else at most ``wrap`` panels stand side by side. ``height``: of a panel, or of each row, in inches; 0: rows fill a
    page at most. ``sharing``: ``sharex`` and ``sharey`` as seaborn's FacetGrid has them, False where left out.
    """
    number = len(shown)
    wide = len(columns) if columns else math.ceil(number / math.ceil(number / wrap))  # of four panels two and two
    heights = np.broadcast_to(height or max(1.25, min(1.7, 8.5 / number)), number if columns else -(-number // wide))
    places = {"col": "panel", "col_order": range(number), "col_wrap": wide}
    if columns:
        places = {"row": "panel", "row_order": range(number), "col": by, "col_order": list(columns)}
        places["gridspec_kws"] = {"height_ratios": heights}
    data = pd.concat(shown.values(), keys=range(number), names=["panel"]).reset_index("panel")
    grid = sns.FacetGrid(data, **places, **{"sharex": False, "sharey": False, **sharing})
    figure = grid.figure
    plt.close(figure)  # else pyplot keeps it
    figure.set_size_inches(style.PAGE if wide > 1 else style.COLUMN, (0.5 if columns else 0.6) + sum(heights))
    figure.set_layout_engine("constrained")
    for ax, (_, rows) in zip(grid.axes.flat, grid.facet_data(), strict=True):
        draw(ax, rows)
    labels = list(columns.values()) if columns else [ylabel] + [""] * (wide - 1)
    for place, ax in enumerate(grid.axes.flat):  # after all are drawn: seaborn writes labels of its own
        ax.set_ylabel(labels[place % wide], visible=True)
        ax.set(xlabel=xlabel if place + wide >= grid.axes.size else "", title="")
    for ax, title in zip(grid.axes.flat[:: wide if columns else 1], shown, strict=True):
        ax.set_title(title, loc="left" if columns else "center")
    figure.align_ylabels()
    return figure


def clip(ax: Axes, axes: str) -> None:
    """Keep ``axes`` ("x", "y" or both) between 0 and 100 %: intervals of a mean may leave the range of the quantity.

    After all is drawn: set limits do not grow any more.
    """
    for name in axes:
        low, high = getattr(ax, f"get_{name}lim")()
        ax.set(**{f"{name}lim": (max(low, -1), min(high, 101))})


def of_methods(data: pd.DataFrame, draw: Draw, metrics: Mapping[str, str]) -> Figure:
    """Return ``facets`` of a row a pair and a column a metric, with the methods on the x axis.

    ``place`` in the rows that ``draw`` gets: 0, 1 and so on, or ``beside`` it where the data have this.
    """
    methods = {metric: style.ordered(own) for metric, own in data.groupby("metric")["method"]}
    columns = {metric: label for metric, label in metrics.items() if metric in methods}
    places = [methods[metric].index(method) for metric, method in zip(data["metric"], data["method"], strict=True)]
    shown = runs.by_pair(data.assign(place=np.array(places) + data.get("beside", 0.0)), with_temperature=True)
    figure = facets(shown, draw, columns=columns, sharex="col", sharey="col")
    figure.axes[0].get_gridspec().set_width_ratios([len(methods[metric]) + 1 for metric in columns])
    for ax, metric in zip(figure.axes, cycle(columns)):
        names = [style.LABELS[method].replace(" + ", " +\n") for method in methods[metric]]
        ax.set(xticks=range(len(names)), xticklabels=names, xlim=(-0.6, len(names) - 0.4))
        ax.grid(visible=False, axis="x")
    return figure


def lines(
    ax: Axes, rows: pd.DataFrame, x: str, bars: bool = False, ends: Sequence[str] = ("low", "high"), **look: object
) -> None:
    """Draw means against ``x``, a line a method, with the interval between ``ends`` as a band or as ``bars``."""
    rows, look = rows.dropna(subset="mean"), {**METHODS, "dashes": style.DASHES, **style.EDGE, **look}
    if len(rows):
        sns.lineplot(rows, x=x, y="mean", estimator=None, ax=ax, **look)
    for name, own in rows.dropna(subset=ends).groupby(look["hue"]):
        low, high, colour = own[ends[0]], own[ends[1]], look["palette"][name]
        if bars:
            ax.vlines(own[x], low, high, color=colour, linewidth=0.9)
        else:
            ax.fill_between(own[x], low, high, color=colour, alpha=BAND, linewidth=0)


def points(ax: Axes, rows: pd.DataFrame, x: str, y: str, bars: str = "", **look: object) -> None:
    """Draw a point a row in the look of its method, with a white core if it is ``hollow``.

    ``bars``: along which axis ("x" or "y") its interval is drawn, none if empty.
    """
    rows = rows.dropna(subset=[x, y])
    if len(rows):
        sns.scatterplot(rows, x=x, y=y, **METHODS, **{"s": 26, **look}, zorder=3, ax=ax)
    for method, own in rows.groupby("method"):
        if bars:
            draw, place = (ax.hlines, own[y]) if bars == "x" else (ax.vlines, own[x])
            draw(place, own["low"], own["high"], color=style.COLOURS[method], linewidth=1.2, zorder=2.5)
        if "hollow" in own and own["hollow"].any():
            core = own[own["hollow"]]
            ax.scatter(core[x], core[y], s=8, marker=style.MARKERS[method], color="white", linewidth=0, zorder=4)


def levels(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw what depends on no x: a horizontal line a row, with the interval of a student as a band."""
    for row in rows.itertuples():
        ax.axhline(row.mean, **style.LOOKS[row.method] | {"marker": ""}, zorder=1.5)
        if row.method != style.TEACHER and row.n > 1:
            ax.axhspan(row.low, row.high, color=style.COLOURS[row.method], alpha=BAND, linewidth=0)


def crosses(ax: Axes, rows: pd.DataFrame, method: str, **look: object) -> None:
    """Draw points (mean_x, mean_y) of a method, joined in their order, and their intervals in both directions.

    The intervals, low_x to high_x and low_y to high_y, are pale: they must not hide points. NaN: none.
    """
    half = {f"{axis}err": ((rows[f"high_{axis}"] - rows[f"low_{axis}"]) / 2).fillna(0) for axis in "xy"}
    pale = {"ecolor": style.tint(style.COLOURS[method], PALE), "elinewidth": 0.8, "zorder": 2}
    ax.errorbar(rows["mean_x"], rows["mean_y"], **half, **style.LOOKS[method] | pale | look)


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Number a logarithmic axis from ``low`` to ``high`` so that at least one number is on it, and not too many."""
    locator = LogLocator(subs=(1, 2, 5) if high > 3 * low else (1, 1.5, 2, 3, 4, 5, 7))
    axis.set(major_locator=locator, major_formatter="{x:g}", minor_formatter="")

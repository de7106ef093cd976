"""Calibration against accuracy: what the temperature of distillation trades for what."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vicinal.analysis.figures import panels, runs, sentences, style
from vicinal.words import number

TABLES = ("metrics",)
CAPTION = (
    "Expected calibration error (ECE, 15 bins) against accuracy, on the test split at T = 1; further right is more "
    "accurate, further down better calibrated. Points of KD and KD + mixup grow with their distillation temperature T "
    "and are joined in its order. {std}Single points: students trained without a teacher, and the teacher. "
    "{mixup}{interval}"
)
MISSING = runs.ONE_TEMPERATURE
ALONE = (style.TEACHER, "ce", "ce_mixup")
SMALLEST, LARGEST, SINGLE = 3.5, 9.5, 5.5  # sizes of points (1/72 in): from the lowest T to the highest, and others
NAMES = {"accuracy": "accuracy", "ece": "ECE"}
SIZES = 8  # at most so many sizes are in the legend


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of accuracy and ECE, in %, by pair, method and temperature.

    The pairs and columns are those of the figure ``temperature``.
    """
    return runs.over_temperatures(tables["metrics"], ("accuracy", "ece"))


@sentences.each_pair
def takeaway(rows: pd.DataFrame) -> str:
    """Return what comes first in the caption, of one pair: accuracy and ECE, from the lowest T to the highest."""
    found = []
    for method, own in rows[rows["temperature"].notna() & (rows["temperature"] != "std")].groupby("method"):
        changes = own.groupby("metric")["mean"].agg(lambda means: means.iloc[-1] - means.iloc[0])
        words = [f"{name} {number(changes[key], '+.1f')}" for key, name in NAMES.items() if key in changes]
        low, high = own["temperature"].iloc[[0, -1]]
        found.append(f"{style.LABELS[method]} from T = {low} to {high} {', '.join(words)} points")
    return sentences.joined(found)


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the mixup strength and the seeds of this figure."""
    std = runs.STD + "Its points are open and stand alone. " if (data["temperature"] == "std").any() else ""
    return runs.fill_caption(CAPTION, data, "Error bars in both directions", std=std)


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a panel a pair, all on the same axes where there is one student."""
    shown = runs.by_pair(data)
    share = data["student"].nunique() == 1
    figure, axes = panels.wrapped(shown, 2.5, style.SCORES["accuracy"], style.SCORES["ece"], share=share)
    sizes = _sizes(data["temperature"].dropna().unique())
    for ax, rows in zip(axes, shown.values(), strict=True):
        _panel(ax, rows, sizes)
    for ax in axes:  # after all: axes with set limits do not grow any more
        panels.percent(ax, "xy")
    entries = style.handles(set(data["method"]) & set(ALONE), linestyle="none")
    entries += style.handles(set(data["method"]) - set(ALONE))
    style.legend_below(figure, entries)
    look = {"linestyle": "none", "marker": "o", "markeredgecolor": "0.5"}
    faces = {temperature: "white" if temperature == "std" else "0.5" for temperature in sizes}
    shown_sizes = [list(sizes)[i] for i in np.linspace(0, len(sizes) - 1, min(len(sizes), SIZES)).round().astype(int)]
    grown = [Line2D([], [], label=t, markersize=sizes[t], markerfacecolor=faces[t], **look) for t in shown_sizes]
    figure.legend(handles=grown, title="T", loc="outside right center", handlelength=1.2)
    return figure


def _sizes(temperatures: list[str]) -> dict[str, float]:
    """Return the size of the points of each temperature: growing from one to the next, that of ``std`` by itself."""
    numbers = sorted((t for t in temperatures if t != "std"), key=runs.position)
    sizes = dict(zip(numbers, np.linspace(SMALLEST, LARGEST, len(numbers)), strict=True))
    return sizes | ({"std": SINGLE} if "std" in temperatures else {})


def _panel(ax: Axes, rows: pd.DataFrame, sizes: dict[str, float]) -> None:
    both = [rows[rows["metric"] == metric] for metric in ("accuracy", "ece")]
    points = both[0].merge(both[1], on=["method", "temperature"], suffixes=("_x", "_y"))
    points = points.dropna(subset=["mean_x", "mean_y"])
    std = points["temperature"] == "std"
    points = points.assign(area=points["temperature"].map(sizes).astype(float).fillna(SINGLE) ** 2)
    for method in style.ordered(points["method"]):
        own = points["method"] == method
        line = {"linestyle": "none"} if method in ALONE else {}
        for part in (points[own & ~std], points[own & std]):  # std is another kind of temperature: no line leads to it
            panels.crosses(ax, part, method, marker="none", **line)
    # The largest first: points that lie on each other are all seen.
    points = points.sort_values("area", ascending=False, kind="stable")
    areas = {"size": "area", "sizes": {area: area for area in points["area"]}}
    panels.points(ax, points, "mean_x", "mean_y", hollow=points["temperature"] == "std", **areas)

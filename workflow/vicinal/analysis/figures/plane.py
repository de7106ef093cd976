"""Calibration against accuracy: what the temperature of distillation trades for what."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vicinal.analysis.figures import panels, runs, sentences, style
from vicinal.words import number

TABLES = ("metrics",)
MISSING = sentences.ONE_TEMPERATURE
SMALLEST, LARGEST, SINGLE = 3.5, 9.5, 5.5  # sizes of points (1/72 in): from the lowest T to the highest, and others
NAMES = {"accuracy": "accuracy", "ece": "ECE"}
SIZES = 8  # at most so many sizes are in the legend


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return accuracy and ECE as ``runs.over_temperatures`` does."""
    return runs.over_temperatures(tables["metrics"], NAMES)


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a panel a pair, all on the same axes where there is one student, and its caption."""
    temperatures = sorted(data["temperature"].dropna().unique(), key=runs.position)
    numbers = [t for t in temperatures if t != "std"]
    sizes = dict.fromkeys(temperatures, SINGLE)
    sizes |= dict(zip(numbers, np.linspace(SMALLEST, LARGEST, len(numbers)), strict=True))
    options = dict.fromkeys(("sharex", "sharey"), data["student"].nunique() == 1) | {"height": 2.5}
    labels = [style.SCORES[name] for name in NAMES]
    figure = panels.facets(runs.by_pair(data), partial(_panel, sizes=sizes), *labels, **options)
    for ax in figure.axes:
        panels.clip(ax, "xy")
    methods, alone = set(data["method"]), set(style.ALONE)
    entries = style.handles(methods & alone, linestyle="none") + style.handles(methods - alone)
    style.legend_below(figure, entries)
    look = {"linestyle": "none", "marker": "o", "markeredgecolor": "0.5"}
    entries = [
        Line2D([], [], label=t, markersize=sizes[t], markerfacecolor="white" if t == "std" else "0.5", **look)
        for t in np.array(temperatures)[np.linspace(0, len(sizes) - 1, min(len(sizes), SIZES)).round().astype(int)]
    ]
    figure.legend(handles=entries, title="T", loc="outside right center", handlelength=1.2)
    std = sentences.std(data)
    return figure, (
        f"{sentences.each_pair(data, _changes)}\nExpected calibration error (ECE, 15 bins) against accuracy, on the "
        "test split at T = 1; further right is more accurate, further down better calibrated. Points of KD and KD + "
        "mixup grow with their distillation temperature T and are joined in its order. "
        f"{std and f'{std}Its points are open and stand alone. '}Single points: students trained without a teacher, "
        f"and the teacher. {sentences.mixup(data)}{sentences.interval(data['n'], 'Error bars in both directions')}"
    )


def _changes(rows: pd.DataFrame) -> str:
    """Return what changes from the lowest T to the highest."""
    found = []
    for method, own in rows[rows["temperature"].notna() & (rows["temperature"] != "std")].groupby("method"):
        changes = own.groupby("metric")["mean"].agg(lambda means: means.iloc[-1] - means.iloc[0])
        words = [f"{name} {number(changes[key], '+.1f')}" for key, name in NAMES.items() if key in changes]
        low, high = own["temperature"].iloc[[0, -1]]
        found.append(f"{style.LABELS[method]} from T = {low} to {high} {', '.join(words)} points")
    return sentences.joined(found)


def _panel(ax: Axes, rows: pd.DataFrame, sizes: dict[str, float]) -> None:
    both = [rows[rows["metric"] == metric].dropna(subset="mean") for metric in NAMES]
    points = both[0].merge(both[1], on=["method", "temperature"], suffixes=("_x", "_y"))
    points = points.assign(area=points["temperature"].map(sizes).astype(float).fillna(SINGLE) ** 2)
    std = (points["temperature"] == "std").rename("std")  # another kind of temperature: no line leads to it
    for (method, _), own in points.groupby(["method", std], sort=False):
        panels.crosses(ax, own, method, marker="none", **({"linestyle": "none"} if method in style.ALONE else {}))
    # The largest first: points that lie on each other are all seen.
    points = points.assign(hollow=std).sort_values("area", ascending=False, kind="stable")
    panels.points(ax, points, "mean_x", "mean_y", size="area", sizes={area: area for area in points["area"]})

"""Accuracy and calibration on the test split against the temperature of distillation."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("metrics",)
MISSING = sentences.ONE_TEMPERATURE
APART = 0.018  # by how much of the axis the points of KD and KD + mixup are moved
BEST = {"accuracy": "the highest accuracy", "ece": "the lowest ECE", "oe": "the lowest OE"}
MANY = 8  # with more temperatures than this bars would hide each other: bands, and nothing is moved
LETTER = 0.064  # width of a digit, in inches


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return accuracy, ECE and OE as ``runs.over_temperatures`` does."""
    return runs.over_temperatures(tables["metrics"], style.SCORES)


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a row a pair and a column a metric, and its caption."""
    options = {
        "columns": style.SCORES,
        "sharey": "col" if data["student"].nunique() == 1 else False,
    }  # else levels differ
    figure = panels.facets(runs.by_pair(data), _panel, "Distillation temperature T", **options)
    for ax in figure.axes:
        panels.clip(ax, "y")
    style.legend_below(figure, style.handles(data["method"], plain=style.ALONE))
    moved = ", moved apart a little along T" if data["temperature"].nunique() <= MANY else ""
    return figure, (
        f"{sentences.each_pair(data, _best)}\nTest accuracy, expected calibration error (ECE, 15 bins) and "
        "overconfidence error (OE) against the distillation temperature T (logarithmic axis), evaluated at T = 1. "
        f"Points: students of KD and KD + mixup{moved}. Horizontal lines: students trained without a teacher (with "
        "band), and the mean of the teachers. "
        f"{sentences.std(data)}{sentences.mixup(data)}{sentences.interval(data['n'])}"
    )


def _best(rows: pd.DataFrame) -> str:
    method = "kd_mixup" if "kd_mixup" in set(rows["method"]) else "kd"
    where = []
    for name, own in rows[rows["method"] == method].groupby("metric", sort=False):
        best = own.loc[(own["mean"] * (1 if name == "accuracy" else -1)).idxmax()]
        where.append(f"{BEST[name]} at T = {best['temperature']} ({best['mean']:.1f} %)")
    return f"{style.LABELS[method]} has {', '.join(where)}"


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    alone = rows["method"].isin(style.ALONE)
    panels.levels(ax, rows[alone])
    temperatures = sorted(rows["temperature"].dropna().unique(), key=runs.position)
    numbers = [runs.position(t) for t in temperatures if t != "std"] or [0.0]
    apart = numbers[-1] + max(1.0, 0.25 * (numbers[-1] - numbers[0]))  # std stands at the right
    places = {t: min(runs.position(t), apart) for t in temperatures}
    low, high = min(places.values(), default=0.0), max(places.values(), default=1.0)
    margin = 0.08 * (high - low) or 0.5
    moved = APART * (high - low + 2 * margin) * (len(places) <= MANY)
    place = rows["temperature"].map(places) + rows["method"].map({"kd": -moved, "kd_mixup": moved})
    students, std = rows.assign(place=place)[~alone], rows.loc[~alone, "temperature"] == "std"
    for part in (students[~std], students[std]):  # std is another kind of temperature: no line leads to it
        panels.lines(ax, part, "place", bars=len(places) <= MANY or len(part) < MANY)
    if "std" in places and len(places) > 1:
        ax.axvline((numbers[-1] + apart) / 2, color="0.6", linewidth=0.6)
    ax.grid(visible=False, axis="x")
    ax.set_xlim(low - margin, high + margin)
    _named_ticks(ax, places)


def _named_ticks(ax: Axes, places: Mapping[str, float]) -> None:
    """Put a tick with its name at each place, from left to right; of names that would touch only some, and the last."""
    inches, (left, right) = ax.get_window_extent().width / ax.figure.dpi, ax.get_xlim()
    named, edge = set(), math.inf
    for name, place in reversed(places.items()):
        middle, half = (place - left) / (right - left) * inches, LETTER * len(name) / 2
        if middle + half <= edge:
            named.add(name)
            edge = middle - half - LETTER / 2
    ax.set_xticks(list(places.values()), [name if name in named else "" for name in places])

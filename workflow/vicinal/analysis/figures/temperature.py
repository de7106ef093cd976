"""Accuracy and calibration on the test split against the temperature of distillation."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("metrics",)
CAPTION = (
    "Test accuracy, expected calibration error (ECE, 15 bins) and overconfidence error (OE) against the distillation "
    "temperature T (logarithmic axis), evaluated at T = 1. Points: students of KD and KD + mixup{moved}. "
    "Horizontal lines: students trained without a teacher (with band), and the mean of the teachers. "
    "{std}{mixup}{interval}"
)
MISSING = runs.ONE_TEMPERATURE
ALONE = (style.TEACHER, "ce", "ce_mixup")  # have no temperature
APART = 0.018  # by how much of the axis the points of KD and KD + mixup are moved
WORDS = {"accuracy": "the highest accuracy", "ece": "the lowest ECE", "oe": "the lowest OE"}
MANY = 8  # with more temperatures than this bars would hide each other: bands, and nothing is moved


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of each metric, in %, by pair, method and temperature.

    ``alpha`` is the mixup strength of the methods with mixup. Pairs that were distilled at one temperature only are
    left out. Without a pair the table is empty.
    """
    return runs.over_temperatures(tables["metrics"], style.SCORES)


@sentences.each_pair
def takeaway(rows: pd.DataFrame) -> str:
    """Return what comes first in the caption, of one pair: where students of KD + mixup (else KD) are best."""
    method = "kd_mixup" if "kd_mixup" in set(rows["method"]) else "kd"
    where = []
    for name, own in rows[rows["method"] == method].groupby("metric", sort=False):
        best = own.loc[(own["mean"] * (1 if name == "accuracy" else -1)).idxmax()]
        where.append(f"{WORDS[name]} at T = {best['temperature']} ({best['mean']:.1f} %)")
    return f"{style.LABELS[method]} has {', '.join(where)}"


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the seeds of this figure."""
    moved = ", moved apart a little along T" if data["temperature"].nunique() <= MANY else ""
    return runs.fill_caption(CAPTION, data, std=runs.STD if (data["temperature"] == "std").any() else "", moved=moved)


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row a pair, a column a metric."""
    shown = runs.by_pair(data)
    sharing = {"sharey": "col" if data["student"].nunique() == 1 else False}  # students differ in their level
    figure, axes = panels.grid(shown, style.SCORES.values(), "Distillation temperature T", **sharing)
    for ax, rows in panels.cells(axes, shown, "metric", style.SCORES):
        _panel(ax, rows, _places(rows["temperature"].dropna().unique()))
    for ax in axes.flat:  # after all: axes with set limits do not grow any more
        panels.percent(ax)
    figure.align_ylabels()
    style.legend_below(figure, style.handles(data["method"], plain=ALONE))
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, places: dict[str, float]) -> None:
    alone = rows["method"].isin(ALONE)
    panels.levels(ax, rows[alone])
    low, high = min(places.values(), default=0.0), max(places.values(), default=1.0)
    margin = 0.08 * (high - low) or 0.5
    length = high - low + 2 * margin
    many = len(places) > MANY
    apart = rows["method"].map({"kd": -APART * length, "kd_mixup": APART * length}) * (not many)
    students = rows.assign(place=rows["temperature"].map(places) + apart)[~alone]
    number = students["temperature"] != "std"
    for part in (students[number], students[~number]):  # std is another kind of temperature: no line leads to it
        panels.lines(ax, part, "place", bars=not many or len(part) < MANY)
    if "std" in places and len(places) > 1:
        ax.axvline((sorted(places.values())[-2] + high) / 2, color="0.6", linewidth=0.6)
    ax.grid(visible=False, axis="x")
    ax.set_xlim(low - margin, high + margin)
    panels.named_ticks(ax, places)


def _places(temperatures: list[str]) -> dict[str, float]:
    """Return where each temperature stands: log2 T, and ``std`` apart at the right."""
    numbers = sorted(runs.position(t) for t in temperatures if t != "std") or [0.0]
    apart = numbers[-1] + max(1.0, 0.25 * (numbers[-1] - numbers[0]))
    return {t: apart if t == "std" else runs.position(t) for t in sorted(temperatures, key=runs.position)}

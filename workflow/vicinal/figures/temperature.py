"""Accuracy and calibration on the test split against the temperature of distillation."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicinal.figures import panels, runs, style

TABLES = ("metrics",)
CAPTION = (
    "Test accuracy, expected calibration error (ECE, 15 bins) and overconfidence error (OE) against the distillation "
    "temperature T (logarithmic axis), evaluated at T = 1. Points: students of KD and KD + mixup, moved apart a little "
    "along T. Horizontal lines: students trained without a teacher (with band), and the mean of the teachers. "
    "{std}{mixup}{interval}"
)
MISSING = runs.ONE_TEMPERATURE

ROWS = {"accuracy": "Accuracy (%)", "ece": "ECE (%)", "oe": "OE (%)"}
COLUMNS = 4  # panels side by side; more pairs go below


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of each metric, in %, by pair, method and temperature.

    ``alpha`` is the mixup strength of the methods with mixup. Pairs that were distilled at one temperature only are
    left out. Without a pair the table is empty.
    """
    return runs.over_temperatures(tables["metrics"], ROWS)


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the seeds of this figure."""
    if not len(data):
        return MISSING
    return runs.fill_caption(CAPTION, data, std=runs.STD if (data["temperature"] == "std").any() else "")


@style.styled
def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row a metric, a column a pair."""
    if not len(data):
        return style.message(MISSING)
    pairs = runs.pairs_in(data)
    figure, grid = panels.wrapped(len(pairs), COLUMNS, head=0.5, height=1.45 * len(ROWS), rows=len(ROWS))
    one_student = len({pair.student for pair in pairs}) == 1
    for place, (axes, pair) in enumerate(zip(grid, pairs, strict=True)):
        column = place % COLUMNS
        for row, (ax, metric) in enumerate(zip(axes, ROWS, strict=True)):
            if one_student and column:
                ax.sharey(grid[place - column, row])
                ax.tick_params(labelleft=False)
            _panel(ax, runs.of_pair(data[data["metric"] == metric], pair))
            if column == 0:
                ax.set_ylabel(ROWS[metric])
            ax.tick_params(labelbottom=row == len(ROWS) - 1)
        axes[0].set_title(style.pair_title(*pair))
        axes[-1].set_xlabel("Distillation temperature T")
    figure.align_ylabels()
    style.legend_below(figure, [style.handle(m, m not in FLAT) for m in style.ordered(data["method"])])
    return figure


FLAT = (style.TEACHER, "ce", "ce_mixup")


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    temperatures = sorted(rows["temperature"].dropna().unique(), key=runs.position)
    places = _places(temperatures)
    low, high = min(places.values()), max(places.values())
    margin = 0.08 * (high - low)
    for method in style.ordered(rows["method"]):
        own = rows[rows["method"] == method]
        look = style.line(method, method not in FLAT)
        if method in FLAT:
            ax.axhline(own["mean"].iloc[0], **look, zorder=1.5)
            if method != style.TEACHER and own["n"].iloc[0] > 1:
                ax.axhspan(own["low"].iloc[0], own["high"].iloc[0], color=look["color"], alpha=0.15, lw=0)
            continue
        moved = (-0.15 if method == "kd" else 0.15) * margin
        # Numbers are joined by a line; ``std`` is another kind of temperature and stands alone.
        for part in (own[own["temperature"] != "std"], own[own["temperature"] == "std"]):
            x = np.array([places[t] for t in part["temperature"]]) + moved
            error = (part["high"] - part["low"]).to_numpy() / 2
            ax.errorbar(x, part["mean"], None if np.isnan(error).all() else error, **look, capsize=2, elinewidth=0.8)
    if "std" in places and len(places) > 1:
        ax.axvline((sorted(places.values())[-2] + high) / 2, color="0.6", linewidth=0.6)
    ax.grid(False, axis="x")
    ax.set_xlim(low - margin, high + margin)
    ax.set_xticks(list(places.values()), list(places))


def _places(temperatures: list[str]) -> dict[str, float]:
    """Return where each temperature stands: log2 T, and ``std`` apart at the right."""
    places = {t: runs.position(t) for t in temperatures if t != "std"}
    if "std" in temperatures:
        spread = max(places.values()) - min(places.values()) if places else 0.0
        places["std"] = (max(places.values()) if places else 0.0) + max(1.0, 0.25 * spread)
    return places

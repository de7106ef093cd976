"""Calibration against accuracy: what the temperature of distillation trades for what."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from vicinal.figures import labels, panels, runs, style

TABLES = ("metrics",)
CAPTION = (
    "Expected calibration error (ECE, 15 bins) against accuracy, on the test split at T = 1; further right is more "
    "accurate, further down better calibrated. Points of KD and KD + mixup bear their distillation temperature and are "
    "joined in its order. {std}Single points: students trained without a teacher, and the teacher. {mixup}{interval}"
)
MISSING = runs.ONE_TEMPERATURE
METRICS = ("accuracy", "ece")
AXES = {"xlabel": "Accuracy (%)", "ylabel": "ECE (%)"}
COLUMNS = 3  # panels side by side; more pairs go below
SINGLE = (style.TEACHER, "ce", "ce_mixup")
# Weights of what a label of a temperature should not cover, see ``labels.beside``; bars are thin and may be.
ON_POINT, ON_CURVE, ON_BAR = 4.0, 1.0, 0.1
TIED = 5.0  # points (1/72 in) from which on a line ties a label to its point
BAR = 0.45  # strength of the colour of error bars, which must not hide points and labels
FONT = 7


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of accuracy and ECE, in %, by pair, method and temperature.

    The pairs and columns are those of the figure ``temperature``.
    """
    return runs.over_temperatures(tables["metrics"], METRICS)


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the mixup strength and the seeds of this figure."""
    if not len(data):
        return MISSING
    std = runs.STD + "Its points stand alone. " if (data["temperature"] == "std").any() else ""
    return runs.fill_caption(CAPTION, data, "Error bars in both directions", std=std)


@style.styled
def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a panel a pair, all on the same axes where there is one student."""
    if not len(data):
        return style.message(MISSING)
    pairs = runs.pairs_in(data)
    share = len({pair.student for pair in pairs}) == 1
    figure, axes = panels.one_a_pair(pairs, COLUMNS, head=0.6, height=2.2, share=share, **AXES)
    shown = [_wide(runs.of_pair(data, pair)) for pair in pairs]
    for ax, rows in zip(axes, shown, strict=True):
        for method, part in _parts(rows):
            look = _look(method)
            pale = style.tint(look["color"], BAR)
            ax.errorbar(part["accuracy"], part["ece"], **_bars(part), ecolor=pale, elinewidth=0.8, linestyle="none")
            ax.plot(part["accuracy"], part["ece"], **look, zorder=3)
        # Intervals may leave the range of the quantity; the axes do not.
        (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
        ax.set(xlim=(max(left, 0), min(right, 101)), ylim=(max(low, 0), min(high, 101)))
    methods = style.ordered(data["method"])
    handles = [style.handle(method) for method in methods]
    for method, handle in zip(methods, handles, strict=True):
        handle.set(**_look(method))
    style.legend_below(figure, handles)
    figure.draw_without_rendering()  # labels are placed by what is drawn, so the panels must have their sizes
    for ax, rows in zip(axes, shown, strict=True):
        _write_temperatures(ax, rows)
    return figure


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a method and temperature: means (accuracy, ece) and ends of the intervals (ece_low, …)."""
    parts = []
    for metric in METRICS:
        own = rows[rows["metric"] == metric]
        names = {"mean": metric, "low": f"{metric}_low", "high": f"{metric}_high"}
        parts.append(own.rename(columns=names)[["method", "temperature", *names.values()]])
    return parts[0].merge(parts[1], on=["method", "temperature"]).dropna(subset=list(METRICS))


def _parts(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield method and rows of each set of points that are joined: numeric temperatures upwards; std stands alone."""
    for method in style.ordered(rows["method"]):
        own = rows[rows["method"] == method]
        for part in (own[own["temperature"] != "std"], own[own["temperature"] == "std"]):
            if len(part):
                yield method, part


def _bars(part: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return half the intervals as keywords of ``errorbar``; none where there is one seed."""
    bars = {}
    for side, metric in (("xerr", "accuracy"), ("yerr", "ece")):
        half = ((part[f"{metric}_high"] - part[f"{metric}_low"]) / 2).to_numpy()
        if not np.isnan(half).all():
            bars[side] = half
    return bars


def _look(method: str) -> dict:
    return style.line(method) | ({"linestyle": "none"} if method in SINGLE else {})


def _write_temperatures(ax: Axes, rows: pd.DataFrame) -> None:
    """Write T beside each point of a distilled student, where it covers least, tied to it if it stands far off."""
    named = rows[~rows["method"].isin(SINGLE)]
    if not len(named):
        return
    means = named[list(METRICS)].to_numpy(dtype=float)
    points = _in_points(ax, means)
    texts = [str(temperature) for temperature in named["temperature"]]
    sizes = np.array([[0.64 * FONT * len(text), FONT] for text in texts])
    covered, weights = _covered(ax, rows)
    scale = ax.figure.dpi / 72
    box = ax.get_window_extent()
    centres = labels.beside(points, sizes, covered, weights, (box.width / scale, box.height / scale))
    shifts = centres - points
    far = np.hypot(*np.maximum(np.abs(shifts) - sizes / 2, 0).T) > TIED
    for text, method, mean, shift, tied in zip(texts, named["method"], means, shifts, far, strict=True):
        colour = style.COLOURS[method]
        arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2}
        note = ax.annotate(
            text,
            xy=mean,
            xytext=shift,
            textcoords="offset points",
            color=colour,
            fontsize=FONT,
            ha="center",
            va="center_baseline",
            arrowprops=arrow if tied else None,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
            zorder=4,
        )
        note.set_in_layout(False)


def _in_points(ax: Axes, values: np.ndarray) -> np.ndarray:
    """Return places on the axes, shape (n, 2), in points (1/72 in) from the panel's lower left corner."""
    box = ax.get_window_extent()
    return (ax.transData.transform(values) - [box.x0, box.y0]) * 72 / ax.figure.dpi


def _covered(ax: Axes, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return what labels should not cover, shape (m, 2) in points, and its weights, shape (m,)."""
    places, weights = [], []
    for _, part in _parts(rows):
        means = part[list(METRICS)].to_numpy(dtype=float)
        marks = _in_points(ax, means)
        lines = [(start, end, ON_CURVE) for start, end in pairwise(marks)]
        for metric in METRICS:
            ends = []
            for side in ("low", "high"):
                end = means.copy()
                end[:, METRICS.index(metric)] = part[f"{metric}_{side}"]
                ends.append(_in_points(ax, end))
            lines += [(low, high, ON_BAR) for low, high in zip(*ends, strict=True) if np.isfinite([low, high]).all()]
        # A marker is about 4 points wide.
        square = np.array([(x, y) for x in (-2, 0, 2) for y in (-2, 0, 2)])
        places.append((marks[:, None] + square).reshape(-1, 2))
        weights.append(np.full(len(places[-1]), ON_POINT))
        for start, end, weight in lines:
            places.append(labels.along(start, end))
            weights.append(np.full(len(places[-1]), weight))
    return np.concatenate(places), np.concatenate(weights)

"""How many times less overconfident are students distilled with mixup? A forest plot against the other methods."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("metrics",)
CAPTION = (
    "Overconfidence error (OE, 15 bins, test split, at T = 1) of students trained by other methods, divided by that of "
    "students of KD + mixup, at each distillation temperature T; right of 1×, KD + mixup is the less overconfident. "
    "KD: from the same teacher at the same T. Points: exp of the mean over seeds of ln(OE / OE of KD + mixup), paired "
    "by seed (ratio axis). Vertical lines: 1× (solid), √10× (dashed), 10× (dotted). Mixup with α = {alpha:g}. "
    "{zero}{cut}{interval}"
)
ZERO = "Open symbols: seeds with an OE of 0, which have no ratio, are left out (ratios left out: {number}{empty}). "
MISSING = "No student was distilled with mixup at a numeric temperature beside a student of another method."
BASELINES = ("ce", "ce_mixup", "kd")
LINES = {1.0: "-", 10**0.5: "--", 10.0: ":"}
BAND = 0.25  # between baselines at one temperature, where temperatures are 1 apart
REACH = 100.0  # the axis ends at most this factor beyond the means and the lines


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of ln(OE(baseline) / OE(kd_mixup)) by pair, temperature and baseline.

    ``method`` is the baseline, ``zero`` the number of seeds left out because an OE is 0; where that is all of them, n
    is 0 and the mean NaN. ``alpha`` is the mixup strength.
    """
    students = runs.main_students(runs.models_of(tables["metrics"])).rename(columns={"model": "student"})
    values = runs.scores(students, tables["metrics"], ["oe"])[[*runs.PANEL, "seed", "value"]]
    own = values[(values["method"] == "kd_mixup") & (values["temperature"] != "std")].drop(columns="method")
    own = own.rename(columns={"value": "own"})
    parts = []
    for method in BASELINES:
        keys = ["student", "seed", *(["teacher", "temperature"] if method == "kd" else [])]
        parts.append(own.merge(values.loc[values["method"] == method, [*keys, "method", "value"]], on=keys))
    ratios = pd.concat(parts, ignore_index=True)
    there = (ratios["own"] > 0) & (ratios["value"] > 0)
    ratios["value"] = np.log((ratios["value"] / ratios["own"]).astype(float).where(there))
    zero = runs.over_seeds(ratios.assign(value=~there), runs.PANEL)
    result = runs.over_seeds(ratios, runs.PANEL)
    return result.assign(zero=zero["n"] - result["n"], unit="ln ratio", alpha=runs.mixup_alpha(students))


@sentences.each_pair
def takeaway(rows: pd.DataFrame) -> str:
    """Return what comes first in the caption, of one pair: at how many T its interval shows KD + mixup ahead."""
    groups = rows.dropna(subset="low").groupby("method", sort=False)
    less = [f"{style.LABELS[method]} at {(own['low'] > 0).sum()} of {len(own)} T" for method, own in groups]
    return f"KD + mixup is less overconfident, by the whole bar, than {', '.join(less)}" if less else ""


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the mixup strength, the seeds and what was left out of this figure."""
    number, nothing = int(data["zero"].sum()), int((data["n"] == 0).sum())
    empty = f"; places empty because no seed is left: {nothing}" if nothing else ""
    low, high = _limits(data)
    shown = data.loc[data["n"] > 0, "n"]
    return CAPTION.format(
        alpha=data["alpha"].iloc[0],
        zero=ZERO.format(number=number, empty=empty) if number else "",
        cut="Bars that leave the axis are cut. " if data["low"].min() < low or data["high"].max() > high else "",
        interval=runs.interval_text(shown, "Bars (of the logarithms)") if len(shown) else "",
    ).rstrip()


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a panel a pair, a row a temperature, in it a point and a bar a baseline."""
    shown = runs.by_pair(data)
    temperatures = sorted(data["temperature"].unique(), key=runs.position)
    height = 0.5 + 0.42 * len(temperatures)
    figure, axes = panels.wrapped(shown, height, "OE / OE of KD + mixup", "T of distillation")
    methods = [method for method in BASELINES if method in set(data["method"])]
    axes[0].set(xscale="log", xlim=np.exp(_limits(data)))
    for ax, rows in zip(axes, shown.values(), strict=True):
        _panel(ax, rows, temperatures, methods)
    locator = LogLocator(numticks=8 // min(3, len(shown)) + 1)
    axes[0].xaxis.set(major_locator=locator, major_formatter="{x:g}×", minor_formatter=NullFormatter())
    style.legend_below(figure, style.handles(methods, linestyle="-"), columns=3)
    return figure


def _limits(data: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis, as logarithms: all intervals, unless they reach very far."""
    means = [*data["mean"].dropna(), *np.log(list(LINES))]
    ends = [*means, *data["low"].dropna(), *data["high"].dropna()]
    reach, margin = np.log(REACH), 0.2
    low = max(min(ends), min(means) - reach) - margin
    high = min(max(ends), max(means) + reach) + margin
    return min(low, -np.log(10) - margin), high


def _panel(ax: Axes, rows: pd.DataFrame, temperatures: list[str], methods: list[str]) -> None:
    for ratio, line in LINES.items():
        ax.axvline(ratio, color="0.3", linestyle=line, linewidth=0.8, zorder=1)
    for border in range(1, len(temperatures)):
        ax.axhline(border - 0.5, color="0.85", linewidth=0.5, zorder=0.5)
    rows = rows[rows["n"] > 0].copy()
    rows[["mean", "low", "high"]] = np.exp(rows[["mean", "low", "high"]].astype(float))
    beside = rows["method"].map(methods.index) - (len(methods) - 1) / 2
    rows["place"] = rows["temperature"].map(temperatures.index) + BAND * beside
    for method, own in rows.dropna(subset="low").groupby("method"):
        ax.hlines(own["place"], own["low"], own["high"], color=style.COLOURS[method], linewidth=1.2, zorder=2)
    panels.points(ax, rows, "mean", "place", hollow=rows["zero"] > 0)
    ax.set_yticks(range(len(temperatures)), temperatures)
    ax.set_ylim(len(temperatures) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)

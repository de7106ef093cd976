"""How many times less overconfident are students distilled with mixup? A forest plot against the other methods."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from vicinal.figures import panels, runs, style

TABLES = ("metrics",)
CAPTION = (
    "Overconfidence error (OE, 15 bins, test split, at T = 1) of students trained by other methods, divided by that of "
    "students of KD + mixup, at each distillation temperature T; right of 1×, KD + mixup is the less overconfident. "
    "KD: from the same teacher at the same T. Points: exp of the mean over seeds of ln(OE / OE of KD + mixup), paired "
    "by seed (ratio axis). Vertical lines: 1× (solid), √10× (dashed), 10× (dotted). Mixup with α = {alpha:g}. "
    "{zero}{cut}{interval}"
)
MISSING = "No student was distilled with mixup at a numeric temperature beside a student of another method."
BASELINES = ("ce", "ce_mixup", "kd")
LINES = {1.0: "-", 10**0.5: "--", 10.0: ":"}
COLUMNS = 3  # panels side by side; more pairs go below
REACH = 100.0  # the axis ends at most this factor beyond the means and the lines
BAND = 0.25  # between baselines at one temperature, where temperatures are 1 apart


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of ln(OE(baseline) / OE(kd_mixup)) by pair, temperature and baseline.

    ``method`` is the baseline, ``zero`` the number of seeds left out because an OE is 0; where that is all of them, n
    is 0 and the mean NaN. ``alpha`` is the mixup strength.
    """
    table = tables["metrics"]
    students = runs.main_students(runs.models_of(table))
    table = table[(table["split"] == "test") & (table["metric"] == "oe")]
    values = runs.with_values(students.rename(columns={"model": "student"}), table, ["value"])
    values = values[[*runs.PANEL, "seed", "value"]]
    own = values[(values["method"] == "kd_mixup") & (values["temperature"] != "std")].drop(columns="method")
    own = own.rename(columns={"value": "own"})
    parts = []
    for method in BASELINES:
        keys = ["student", "seed"] + (["teacher", "temperature"] if method == "kd" else [])
        other = values.loc[values["method"] == method, [*keys, "value"]]
        parts.append(own.merge(other, on=keys).assign(method=method))
    ratios = pd.concat(parts, ignore_index=True)
    there = (ratios["own"] > 0) & (ratios["value"] > 0)
    ratios["zero"] = (~there).astype("int64")
    ratios["value"] = np.log((ratios["value"] / ratios["own"]).astype(float).where(there))
    zero = ratios.groupby(runs.PANEL)["zero"].sum().reset_index()
    result = runs.over_seeds(ratios, runs.PANEL)
    result = result.merge(zero.astype(dict.fromkeys(runs.PANEL, object)), on=runs.PANEL, how="left")
    return result.assign(unit="ln ratio", alpha=runs.mixup_alpha(students))


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the mixup strength, the seeds and what was left out of this figure."""
    if not len(data):
        return MISSING
    number, nothing = int(data["zero"].sum()), int((data["n"] == 0).sum())
    zero = ""
    if number:
        zero = f"Open symbols: seeds with an OE of 0, which have no ratio, are left out (ratios left out: {number}"
        zero += f"; places empty because no seed is left: {nothing}). " if nothing else "). "
    low, high = _limits(data)
    cut = "Bars that leave the axis are cut. " if data["low"].min() < low or data["high"].max() > high else ""
    shown = data.loc[data["n"] > 0, "n"]
    interval = runs.interval_text(shown, "Bars (of the logarithms)") if len(shown) else ""
    return CAPTION.format(alpha=data["alpha"].iloc[0], zero=zero, cut=cut, interval=interval).rstrip()


@style.styled
def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a panel a pair, a row a temperature, in it a bar a baseline."""
    if not len(data):
        return style.message(MISSING)
    pairs = runs.pairs_in(data)
    temperatures = sorted(data["temperature"].unique(), key=runs.position)
    labels = {"xlabel": "OE / OE of KD + mixup", "ylabel": ""}
    figure, axes = panels.one_a_pair(pairs, COLUMNS, head=0.6, height=0.5 + 0.42 * len(temperatures), **labels)
    methods = [method for method in BASELINES if method in set(data["method"])]
    for ax, pair in zip(axes, pairs, strict=True):
        _panel(ax, runs.of_pair(data, pair), temperatures, methods)
    low, high = np.exp(_limits(data))
    ax = axes[0]
    ax.set(xscale="log", xlim=(low, high), ylim=(len(temperatures) - 0.5, -0.5))
    ax.set_yticks(range(len(temperatures)), [f"T = {t}" for t in temperatures])
    ax.set_xticks(_decades(low, high, 8 // min(COLUMNS, len(pairs))))
    ax.xaxis.set_major_formatter(FuncFormatter("{:g}×".format))
    ax.xaxis.set_minor_formatter(NullFormatter())
    handles = []
    for method in methods:
        look = style.line(method) | {"linestyle": "-"}
        handles.append(Line2D([], [], label=style.LABELS[method], **look))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _limits(data: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis, as logarithms: all intervals, unless they reach very far."""
    means = [*data["mean"].dropna(), *np.log(list(LINES))]
    ends = [*means, *data["low"].dropna(), *data["high"].dropna()]
    reach, margin = np.log(REACH), 0.2
    low = max(min(ends), min(means) - reach) - margin
    high = min(max(ends), max(means) + reach) + margin
    return min(low, -np.log(10) - margin), high


def _decades(low: float, high: float, number: int) -> np.ndarray:
    """Return powers of ten from ``low`` to ``high``, 1 among them, about ``number`` steps at most."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    step = max(1, math.ceil((last - first) / number))
    return 10.0 ** np.array([power for power in range(first, last + 1) if power % step == 0])


def _panel(ax: Axes, rows: pd.DataFrame, temperatures: list[str], methods: list[str]) -> None:
    for ratio, line in LINES.items():
        ax.axvline(ratio, color="0.3", linestyle=line, linewidth=0.8, zorder=1)
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)
    for border in range(1, len(temperatures)):
        ax.axhline(border - 0.5, color="0.85", linewidth=0.5, zorder=0.5)
    for row in rows[rows["n"] > 0].itertuples():
        y = temperatures.index(row.temperature) + BAND * (methods.index(row.method) - (len(methods) - 1) / 2)
        look = style.line(row.method) | {"linestyle": "-"}
        if row.n > 1:
            ax.plot(np.exp([row.low, row.high]), [y, y], color=look["color"], linewidth=1.2, zorder=2)
        face = "white" if row.zero else look["color"]
        ax.plot([np.exp(row.mean)], [y], **look, markerfacecolor=face, markeredgewidth=0.9, zorder=3)

"""How many times less overconfident are students distilled with mixup? A forest plot against the other methods."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("metrics",)
MISSING = "No student was distilled with mixup at a numeric temperature beside a student of another method."
BASELINES = ("ce", "ce_mixup", "kd")
LINES = {1.0: "-", 10**0.5: "--", 10.0: ":"}
BAND = 0.25  # between baselines at one temperature, where temperatures are 1 apart
REACH, MARGIN = np.log(100), 0.2  # the axis ends at most this far beyond the means and the lines
FARTHEST = np.log(100)  # means farther from 1× are drawn at the edge: they would press all others together


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of ln(OE(baseline) / OE(kd_mixup)) by pair, temperature and baseline.

    ``method`` is the baseline, ``zero`` the number of seeds left out because an OE is 0; n may be 0, the mean NaN.
    """
    metrics = tables["metrics"]
    values = runs.scores(runs.all_panels(runs.models_of(metrics)), metrics, ["oe"]).drop(columns=["model_id", "metric"])
    own = values[(values["method"] == "kd_mixup") & (values["temperature"] != "std")].drop(columns="method")
    others = values.loc[values["method"].isin(BASELINES), [*runs.PANEL, "seed", "value"]]
    pairs = own.merge(others, on=[*runs.PAIR, "seed"], suffixes=("", "_other"))
    alone = pairs["temperature_other"].isna()
    pairs = pairs[alone | (pairs["temperature_other"] == pairs["temperature"])].drop(columns="temperature_other")
    other = pairs.pop("value_other")
    there = (pairs["value"] > 0) & (other > 0)
    ratios = pairs.assign(value=np.log((other / pairs["value"]).astype(float).where(there)))
    result, zero = runs.over_seeds(ratios), runs.over_seeds(pairs.assign(value=~there))["n"]
    return result.assign(zero=zero - result["n"], unit="ln ratio")


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a panel a pair, in it a row a temperature with a bar a baseline, and its caption."""
    shown = runs.by_pair(data)
    temperatures = sorted(data["temperature"].unique(), key=runs.position)
    methods = [method for method in BASELINES if method in set(data["method"])]
    far = data["mean"].abs() > FARTHEST
    means = pd.Series([*data["mean"].clip(-FARTHEST, FARTHEST), *np.log(list(LINES))])
    reach = 0.0 if far.any() else REACH  # the edge is where points beyond it are drawn
    ends = pd.concat([means, data["low"], data["high"]]).clip(means.min() - reach, means.max() + REACH)
    low, high = min(ends.min(), -np.log(10)) - MARGIN, ends.max() + MARGIN
    panel = partial(_panel, temperatures=temperatures, methods=methods, edges=(low + MARGIN, high - MARGIN))
    options = {"height": 0.5 + 0.42 * len(temperatures), "sharex": True, "sharey": True}
    figure = panels.facets(shown, panel, "OE / OE of KD + mixup", "T of distillation", **options)
    style.legend_below(figure, style.handles(methods, linestyle="-"), columns=3)
    figure.axes[0].set(xscale="log", xlim=np.exp([low, high]))
    locator = LogLocator(numticks=8 // min(3, len(shown)) + 1)
    figure.axes[0].xaxis.set(major_locator=locator, major_formatter="{x:g}×", minor_formatter=NullFormatter())

    zero, empty, there = int(data["zero"].sum()), int((data["n"] == 0).sum()), data.loc[data["n"] > 0, "n"]
    nothing = f"; places empty because no seed is left: {empty}" if empty else ""
    left_out = "Open symbols: seeds with an OE of 0, which have no ratio, are left out (ratios left out: "
    cut = "Bars that leave the axis are cut. " if data["low"].min() < low or data["high"].max() > high else ""
    cut += "Points at its edge lie beyond: their ratio is below 1/100 or above 100. " if far.any() else ""
    return figure, (
        f"{sentences.each_pair(data, _ahead)}\nOverconfidence error (OE, 15 bins, test split, at T = 1) of students "
        "trained by other methods, divided by that of students of KD + mixup, at each distillation temperature T; "
        "right of 1×, KD + mixup is the less overconfident. KD: from the same teacher at the same T. Points: exp of "
        "the mean over seeds of ln(OE / OE of KD + mixup), paired by seed (ratio axis). Vertical lines: 1× (solid), "
        f"√10× (dashed), 10× (dotted). Mixup with α = {data['alpha'].iloc[0]:g}. "
        f"{f'{left_out}{zero}{nothing}). ' if zero else ''}{cut}"
        f"{sentences.interval(there, 'Bars (of the logarithms)') if len(there) else ''}"
    )


def _ahead(rows: pd.DataFrame) -> str:
    """Return at how many T the interval shows KD + mixup ahead."""
    groups = rows.dropna(subset="low").groupby("method", sort=False)
    less = [f"{style.LABELS[method]} at {(own['low'] > 0).sum()} of {len(own)} T" for method, own in groups]
    return f"KD + mixup is less overconfident, by the whole bar, than {', '.join(less)}" if less else ""


def _panel(
    ax: Axes, rows: pd.DataFrame, temperatures: list[str], methods: list[str], edges: tuple[float, float]
) -> None:
    for ratio, line in LINES.items():
        ax.axvline(ratio, color="0.3", linestyle=line, linewidth=0.8, zorder=1)
    for border in range(1, len(temperatures)):
        ax.axhline(border - 0.5, color="0.85", linewidth=0.5, zorder=0.5)
    rows = rows.assign(mean=rows["mean"].clip(*edges))
    rows = rows.assign(**np.exp(rows[["mean", "low", "high"]].astype(float)))
    beside = rows["method"].map(methods.index) - (len(methods) - 1) / 2
    rows = rows.assign(place=rows["temperature"].map(temperatures.index) + BAND * beside, hollow=rows["zero"] > 0)
    panels.points(ax, rows, "mean", "place", bars="x")
    ax.set(yticks=range(len(temperatures)), yticklabels=temperatures, ylim=(len(temperatures) - 0.5, -0.5))
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)

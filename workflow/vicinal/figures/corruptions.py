"""Accuracy and calibration on corrupted test images: by severity, and by corruption."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicinal.data.corruptions import CORRUPTIONS, EXTRA, NAMES, SEVERITIES
from vicinal.figures import runs, style

TABLES = ("corruptions", "metrics")
CAPTION = (
    "Test accuracy, expected calibration error (ECE, 15 bins) and overconfidence error (OE) on corrupted images "
    "(Hendrycks and Dietterich 2019), evaluated at T = 1. {above}: against the severity of the corruption, mean over "
    "{benchmark} corruptions of the benchmark; 0: clean images. Below: by corruption, mean over the {severities} "
    "severities and over seeds{pair}; lines part kinds of corruption, those below the last one are not of the "
    "benchmark. {pairs}{distilled}{mixup}{interval}"
)
MISSING = "No model of the main comparison was measured on corrupted images."

METRICS = {"accuracy": "Accuracy (%)", "ece": "ECE (%)", "oe": "OE (%)"}
BENCHMARK = tuple(name for kind, names in CORRUPTIONS.items() if kind != EXTRA for name in names)
# In the data: what is a mean over the corruptions of the benchmark, and what over all severities.
MEAN, ALL = "benchmark", -1


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of each metric, in %, by pair, method, corruption and severity.

    ``corruption`` is ``benchmark`` for the mean over the corruptions of the benchmark, by severity (0: clean). Of each
    corruption by itself the severity is -1: the mean over all. Without corrupted images the table is empty.
    """
    models = runs.models_of(tables["metrics"])
    members = runs.main_panels(models)
    table = tables["corruptions"]
    members = members[members["model_id"].isin(set(table["model_id"].astype(object)))]
    found = runs.with_values(members, table, ["corruption", "severity", "metric", "value"])
    keys = [*runs.PANEL, "model_id", "seed", "metric"]
    # Sorted as drawn: what has equal places in the figures' order keeps this one.
    found["corruption"] = pd.Categorical(found["corruption"].astype(object), NAMES)
    found = found.dropna(subset="corruption").sort_values(["corruption", "severity"], kind="stable")
    found["corruption"] = found["corruption"].astype(object)
    clean = tables["metrics"]
    clean = clean[(clean["split"] == "test") & clean["metric"].isin(list(METRICS))]
    clean = runs.with_values(members, clean, ["metric", "value"]).assign(corruption=MEAN, severity=0)
    by_severity = _means(found[found["corruption"].isin(BENCHMARK)], [*keys, "severity"]).assign(corruption=MEAN)
    by_corruption = _means(found, [*keys, "corruption"]).assign(severity=ALL)
    columns = [*keys, "corruption", "severity", "value"]
    values = pd.concat([part[columns] for part in (clean, by_severity, by_corruption)], ignore_index=True)
    values["value"] = 100 * values["value"].astype(float)
    summary = runs.over_seeds(values, [*runs.PANEL, "metric", "corruption", "severity"])
    return summary.assign(unit="%", alpha=runs.mixup_alpha(runs.main_students(models)))


def _means(values: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return values.groupby(keys, dropna=False, observed=True, sort=False)["value"].mean().reset_index()


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the seeds of this figure."""
    if not len(data):
        return MISSING
    pairs = runs.pairs_in(data)
    several = len(pairs) > 1
    found = set(data["corruption"])
    return runs.fill_caption(
        CAPTION,
        data,
        "Bands above",
        above="Rows above, a pair each" if several else "Above",
        pair=f", of {style.pair_title(*pairs[0])}" if several else "",
        benchmark=str(len(found.intersection(BENCHMARK))),
        severities=str(len(SEVERITIES)),
    )


@style.styled
def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a column a metric; a row of panels a pair, and below one with a line a corruption."""
    if not len(data):
        return style.message(MISSING)
    pairs = runs.pairs_in(data)
    names = [name for name in NAMES if name in set(data["corruption"])]
    heights = [1.5] * len(pairs) + [0.5 + 0.125 * len(names)]
    figure = Figure(figsize=(style.PAGE, 0.5 + sum(heights)))
    grid = figure.subplots(len(heights), len(METRICS), height_ratios=heights, squeeze=False)
    for place, (axes, pair) in enumerate(zip(grid[:-1], pairs, strict=True)):
        rows = runs.of_pair(data, pair)
        for ax, metric in zip(axes, METRICS, strict=True):
            _by_severity(ax, rows[(rows["metric"] == metric) & (rows["corruption"] == MEAN)])
            ax.set_ylabel(METRICS[metric])
            ax.set_xlabel("Severity" if place == len(pairs) - 1 else "")
        axes[1].set_title(style.pair_title(*pair))
    rows = runs.of_pair(data, pairs[0])
    for ax, metric in zip(grid[-1], METRICS, strict=True):
        _by_corruption(ax, rows[rows["metric"] == metric], names)
        ax.set_xlabel(METRICS[metric])
        ax.tick_params(labelleft=ax is grid[-1, 0])
    if len(pairs) > 1:
        grid[-1, 1].set_title(style.pair_title(*pairs[0]))
    style.legend_below(figure, [style.handle(method) for method in style.ordered(data["method"])])
    return figure


def _by_severity(ax: Axes, rows: pd.DataFrame) -> None:
    for method in style.ordered(rows["method"]):
        own = rows[rows["method"] == method].sort_values("severity")
        look = style.line(method)
        ax.plot(own["severity"], own["mean"], **look)
        if own["low"].notna().any():
            ax.fill_between(own["severity"], own["low"], own["high"], color=look["color"], alpha=0.15, linewidth=0)
    ax.set_xticks([0, *SEVERITIES])
    ax.grid(False, axis="x")


def _by_corruption(ax: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    places = {name: place for place, name in enumerate(names)}
    methods = style.ordered(rows["method"])
    for method in methods:
        own = rows[(rows["method"] == method) & (rows["severity"] == ALL)]
        look = style.line(method) | {"linestyle": "none", "markersize": 3.5}
        ax.plot(own["mean"], [places[name] for name in own["corruption"]], **look)
    ends = np.cumsum([sum(name in names for name in kind) for kind in CORRUPTIONS.values()])[:-1]
    for end in ends:
        if 0 < end < len(names):
            ax.axhline(end - 0.5, color="0.6", linewidth=0.6)
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)

"""Reliability diagrams: accuracy against confidence on the test split, and how often each confidence occurs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vicinal.analysis.figures import panels, runs, sentences, style
from vicinal.words import number

TABLES = ("metrics", "reliability")
MISSING = "No model of the main comparison was evaluated on test images."
SPARSE = 10  # bins with fewer images than this, all seeds together, say little about accuracy
RATES = ["confidence", "accuracy"]
GAP = {"facecolor": "none", "edgecolor": "0.25", "hatch": "//////", "linewidth": 0.5}
DIAGONAL = {"color": "0.3", "linestyle": "--", "linewidth": 0.8}


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a panel × bin of confidence, pooled over seeds.

    low_edge and high_edge of the bin; count (images, all seeds together), share (%); confidence and accuracy (pooled
    means in %, NaN in an empty bin); accuracy_min and accuracy_max over seeds; n (seeds); ece and gap (means, in %).
    """
    members = runs.main_panels(tables["reliability"])
    bins = runs.with_values(members, tables["reliability"], ["low", "high", "count", *RATES])
    bins = bins.rename(columns={"low": "low_edge", "high": "high_edge"})
    bins[RATES] = 100 * bins[RATES].astype(float)
    keys = [*runs.PANEL, "alpha"]
    groups = {"by": [*keys, "low_edge", "high_edge"], "dropna": False, "observed": True, "sort": False}
    pooled = bins.assign(**bins[RATES].mul(bins["count"], axis="index")).groupby(**groups)[["count", *RATES]].sum()
    pooled[RATES] = pooled[RATES].div(pooled["count"].where(pooled["count"] > 0), axis="index")
    ends = {"accuracy_min": ("accuracy", "min"), "accuracy_max": ("accuracy", "max"), "n": ("model_id", "nunique")}
    pooled = runs.in_order(pd.concat([pooled, bins.groupby(**groups).agg(**ends)], axis="columns").reset_index())
    pooled["share"] = 100 * pooled["count"] / pooled.groupby(keys, dropna=False)["count"].transform("sum")
    scores = runs.scores(members, tables["metrics"], ("ece", "confidence_gap"))
    for name, metric in {"ece": "ece", "gap": "confidence_gap"}.items():
        own = runs.over_seeds(scores[scores["metric"] == metric])[[*runs.PANEL, "mean"]]
        pooled = pooled.merge(own.rename(columns={"mean": name}), on=runs.PANEL, how="left")
    return pooled


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, two rows a pair (diagram, histogram) and a column a method, and its caption."""
    shown, methods = runs.by_pair(data), style.ordered(data["method"])
    size = (style.PAGE if len(methods) > 2 else style.COLUMN, 0.3 + 2.6 * len(shown))
    figure = Figure(figsize=size, layout="constrained")
    for part, (title, rows) in zip(np.atleast_1d(figure.subfigures(len(shown), 1)), shown.items(), strict=True):
        part.suptitle(title, fontsize="medium", fontweight="bold")
        part.supxlabel("Confidence (%)", fontsize="medium")
        axes = part.subplots(2, len(methods), sharex=True, sharey="row", squeeze=False, height_ratios=[3, 1])
        for (above, below), method in zip(axes.T, methods, strict=True):
            _panel(above, below, rows[rows["method"] == method])
        axes[0, 0].set(ylabel="Accuracy (%)", ylim=(0, 100), yticks=[0, 50, 100])
        top = 1.18 * data["share"].max()
        axes[1, 0].set(ylabel="Images (%)", ylim=(0, top), xlim=(0, 100), xticks=[0, 50, 100])
        part.align_ylabels()
    bar = Patch(facecolor=style.tint("0.5", 0.75), label="Accuracy")
    diagonal = Line2D([], [], **DIAGONAL, label="Perfect calibration")
    style.legend_below(figure, [bar, Patch(**GAP, label="Gap to confidence"), diagonal])

    what = ("mean confidence − accuracy:", "+.1f", " pp", "gap")
    spread = f"Error bars: lowest to highest seed, {sentences.seeds(data['n'])}, not in pale bins."
    return figure, (
        f"{sentences.each_pair(data, sentences.by_method, *what)}\nReliability diagrams on the test split at T = 1, 15 "
        "bins of equal width. Bars: accuracy of the images in a bin, counts pooled over seeds (pale: fewer than "
        f"{SPARSE} images). Hatched: gap to their mean confidence; the diagonal is perfect calibration. Below: share "
        "of images in each bin. Numbers: means over seeds of the expected calibration error (ECE) and of mean "
        "confidence − accuracy (gap, positive where overconfident; pp: percentage points). "
        f"{sentences.trained(data)}{spread if data['n'].max() > 1 else 'One seed: no spread is shown.'}"
    )


def _panel(above: Axes, below: Axes, rows: pd.DataFrame) -> None:
    if not len(rows):
        above.set_axis_off()
        below.set_axis_off()
        return
    first = rows.iloc[0]
    at = f", T = {first['temperature']}" if pd.notna(first["temperature"]) else ""
    above.set_title(style.LABELS[first["method"]] + at, pad=22)
    numbers = f"ECE {number(first['ece'], '.1f') or '–'} %\ngap {number(first['gap'], '+.1f') or '–'} pp"
    above.text(0.5, 1.03, numbers, transform=above.transAxes, ha="center", va="bottom", linespacing=1.2)
    colour = "0.5" if first["method"] == style.TEACHER else style.COLOURS[first["method"]]

    rows = rows.assign(left=100 * rows["low_edge"], width=100 * (rows["high_edge"] - rows["low_edge"]))
    dense, sparse = rows[rows["count"] >= SPARSE], rows[rows["count"].between(1, SPARSE - 1)]
    bars = {"align": "edge", "edgecolor": "white", "linewidth": 0.4, "zorder": 2}
    for own, share, edge in ((dense, 0.75, "0.25"), (sparse, 0.25, "0.7")):
        above.bar(own["left"], own["accuracy"], own["width"], color=style.tint(colour, share), **bars)
        gap = {**bars, **GAP, "edgecolor": edge}
        above.bar(own["left"], own["confidence"] - own["accuracy"], own["width"], bottom=own["accuracy"], **gap)
    below.bar(rows["left"], rows["share"], rows["width"], color=style.tint(colour, 0.75), **bars)
    above.plot([0, 100], [0, 100], **DIAGONAL, zorder=3)
    if rows["n"].max() > 1:
        middle = dense["left"] + dense["width"] / 2
        above.vlines(middle, dense["accuracy_min"], dense["accuracy_max"], color="0.15", linewidth=0.6, zorder=4)

"""Reliability diagrams: accuracy against confidence on the test split, and how often each confidence occurs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vicinal.analysis.figures import runs, sentences, style
from vicinal.words import number

TABLES = ("metrics", "reliability")
SPARSE = 10  # bins with fewer images than this, all seeds together, say little about accuracy
CAPTION = (
    "Reliability diagrams on the test split at T = 1, 15 bins of equal width. Bars: accuracy of the images in a bin, "
    "counts pooled over seeds (pale: fewer than {sparse} images). Hatched: gap to their mean confidence; the diagonal "
    "is perfect calibration. Below: share of images in each bin. Numbers: means over seeds of the expected calibration "
    "error (ECE) and of mean confidence − accuracy (gap, positive where overconfident; pp: percentage points). "
    "{pairs}{distilled}{mixup}{spread}"
)
MISSING = "No model of the main comparison was evaluated on test images."


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a panel × bin of confidence, pooled over seeds.

    Columns: teacher, student, method, temperature; low_edge, high_edge (of the bin); count (images, all seeds
    together), share (%); confidence and accuracy (pooled means in %, NaN in an empty bin); accuracy_min and
    accuracy_max over the seeds that have images in the bin; n (seeds); ece and gap (means over seeds, in %).
    """
    models = runs.models_of(tables["reliability"])
    members = runs.main_panels(models)
    bins = runs.with_values(members, tables["reliability"], ["low", "high", "count", "confidence", "accuracy"])
    bins = bins.rename(columns={"low": "low_edge", "high": "high_edge"})
    for name in ("confidence", "accuracy"):
        bins[name] = 100 * bins[name].astype(float)
        bins[f"{name}_sum"] = (bins[name] * bins["count"]).fillna(0.0)
    sums = {"count": ("count", "sum"), "confidence": ("confidence_sum", "sum"), "accuracy": ("accuracy_sum", "sum")}
    ends = {"accuracy_min": ("accuracy", "min"), "accuracy_max": ("accuracy", "max")}
    groups = bins.groupby([*runs.PANEL, "low_edge", "high_edge"], dropna=False, observed=True, sort=False)
    pooled = runs.in_order(groups.agg(**sums, **ends, n=("model_id", "nunique")).reset_index())
    for name in ("confidence", "accuracy"):
        pooled[name] /= pooled["count"].where(pooled["count"] > 0)
    images = pooled.groupby(runs.PANEL, dropna=False, sort=False)["count"].transform("sum")
    pooled["share"] = 100 * pooled["count"] / images
    alpha = runs.mixup_alpha(runs.main_students(models))
    return pooled.merge(_scores(members, tables["metrics"]), on=runs.PANEL, how="left").assign(alpha=alpha)


def _scores(members: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over seeds of ECE and gap of each panel, in %."""
    names = {"ece": "ece", "confidence_gap": "gap"}
    scores = runs.scores(members, metrics, names).groupby([*runs.PANEL, "metric"], dropna=False)["value"].mean()
    scores = scores.unstack().reindex(columns=list(names)).rename(columns=names).reset_index()
    scores = scores.astype(dict.fromkeys(runs.PANEL, object))  # a column without a teacher or temperature is not text
    return members[runs.PANEL].drop_duplicates().merge(scores, on=runs.PANEL, how="left")


@sentences.each_pair
def takeaway(rows: pd.DataFrame) -> str:
    """Return what comes first in the caption, of one pair: the gap of each method."""
    return sentences.by_method(rows, "mean confidence − accuracy:", "+.1f", " pp", "gap")


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    spread = f"Error bars: lowest to highest seed, {runs.seeds_text(data['n'])}, not in pale bins."
    spread = "One seed: no spread is shown." if data["n"].max() == 1 else spread
    return runs.fill_caption(CAPTION, data, spread=spread, sparse=str(SPARSE))


GAP = {"facecolor": "none", "edgecolor": "0.25", "hatch": "//////", "linewidth": 0.5}
DIAGONAL = {"color": "0.3", "linestyle": "--", "linewidth": 0.8}


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: two rows a pair (diagram, histogram), a column a method."""
    shown = runs.by_pair(data)
    methods = style.ordered(data["method"])
    figure = Figure(figsize=(style.PAGE if len(methods) > 2 else style.COLUMN, 0.3 + 2.6 * len(shown)))
    parts = np.atleast_1d(figure.subfigures(len(shown), 1))
    for part, (title, rows) in zip(parts, shown.items(), strict=True):
        part.suptitle(title, fontsize="medium", fontweight="bold")
        _of_pair(part, rows, methods, 1.18 * data["share"].max())
    entries = [
        Patch(facecolor=style.tint("0.5", 0.75), label="Accuracy"),
        Patch(**GAP, label="Gap to confidence"),
        Line2D([], [], **DIAGONAL, label="Perfect calibration"),
    ]
    style.legend_below(figure, entries)
    return figure


def _of_pair(part: SubFigure, rows: pd.DataFrame, methods: list[str], top: float) -> None:
    grid = part.subplots(2, len(methods), sharex=True, sharey="row", squeeze=False, height_ratios=[3, 1])
    for (above, below), method in zip(grid.T, methods, strict=True):
        own = rows[rows["method"] == method]
        if len(own):
            _panel(above, below, own)
        else:
            above.set_axis_off()
            below.set_axis_off()
    grid[0, 0].set(ylabel="Accuracy (%)", ylim=(0, 100), yticks=[0, 50, 100])
    grid[1, 0].set(ylabel="Images (%)", ylim=(0, top), xlim=(0, 100), xticks=[0, 50, 100])
    part.supxlabel("Confidence (%)", fontsize="medium")
    part.align_ylabels()


def _panel(above: Axes, below: Axes, rows: pd.DataFrame) -> None:
    first = rows.iloc[0]
    at = f", T = {first['temperature']}" if pd.notna(first["temperature"]) else ""
    above.set_title(style.LABELS[first["method"]] + at, pad=22)
    numbers = f"ECE {number(first['ece'], '.1f') or '–'} %\ngap {number(first['gap'], '+.1f') or '–'} pp"
    above.text(0.5, 1.03, numbers, transform=above.transAxes, ha="center", va="bottom", linespacing=1.2)
    colour = "0.5" if first["method"] == style.TEACHER else style.COLOURS[first["method"]]

    rows = rows.assign(left=100 * rows["low_edge"], width=100 * (rows["high_edge"] - rows["low_edge"]))
    sparse = rows["count"] < SPARSE
    bars = {"align": "edge", "edgecolor": "white", "linewidth": 0.4, "zorder": 2}
    for own, share, edge in ((rows[~sparse], 0.75, "0.25"), (rows[sparse & (rows["count"] > 0)], 0.25, "0.7")):
        above.bar(own["left"], own["accuracy"], own["width"], color=style.tint(colour, share), **bars)
        gap = {**bars, **GAP, "edgecolor": edge}
        above.bar(own["left"], own["confidence"] - own["accuracy"], own["width"], bottom=own["accuracy"], **gap)
    below.bar(rows["left"], rows["share"], rows["width"], color=style.tint(colour, 0.75), **bars)
    above.plot([0, 100], [0, 100], **DIAGONAL, zorder=3)
    if rows["n"].max() > 1:
        own = rows[~sparse]
        centre = own["left"] + own["width"] / 2
        above.vlines(centre, own["accuracy_min"], own["accuracy_max"], color="0.15", linewidth=0.6, zorder=4)

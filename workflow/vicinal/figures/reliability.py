"""Reliability diagrams: accuracy against confidence on the test split, and how often each confidence occurs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vicinal.figures import runs, style

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
    groups = bins.groupby([*runs.PANEL, "low_edge", "high_edge"], dropna=False, observed=True, sort=False)
    pooled = groups.agg(
        count=("count", "sum"),
        confidence=("confidence_sum", "sum"),
        accuracy=("accuracy_sum", "sum"),
        accuracy_min=("accuracy", "min"),
        accuracy_max=("accuracy", "max"),
        n=("model_id", "nunique"),
    ).reset_index()
    for name in ("confidence", "accuracy"):
        pooled[name] = pooled[name] / pooled["count"].where(pooled["count"] > 0)
    pooled = runs.in_order(pooled)
    images = pooled.groupby(runs.PANEL, dropna=False, sort=False)["count"].transform("sum")
    pooled["share"] = 100 * pooled["count"] / images
    alpha = runs.mixup_alpha(runs.main_students(models))
    return pooled.merge(_scores(members, tables["metrics"]), on=runs.PANEL, how="left").assign(alpha=alpha)


def _scores(members: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over seeds of ECE and gap of each panel, in %."""
    names = {"ece": "ece", "confidence_gap": "gap"}
    rows = metrics[(metrics["split"] == "test") & metrics["metric"].isin(list(names))]
    scores = runs.over_seeds(runs.with_values(members, rows, ["metric", "value"]), [*runs.PANEL, "metric"])
    table = members[runs.PANEL].drop_duplicates()
    for metric, name in names.items():
        own = scores.loc[scores["metric"] == metric, [*runs.PANEL, "mean"]]
        table = table.merge(own.rename(columns={"mean": name}), on=runs.PANEL, how="left")
        table[name] = 100 * table[name].astype(float)
    return table


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    if not len(data):
        return MISSING
    spread = f"Error bars: lowest to highest seed, {runs.seeds_text(data['n'])}, not in pale bins."
    if data["n"].max() == 1:
        spread = "One seed: no spread is shown."
    return runs.fill_caption(CAPTION, data, spread=spread, sparse=str(SPARSE))


@style.styled
def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: two rows a pair (diagram, histogram), a column a method."""
    if not len(data):
        return style.message(MISSING)
    pairs = runs.pairs_in(data)
    methods = style.ordered(data["method"])
    width = style.PAGE if len(methods) > 2 else style.COLUMN
    figure = Figure(figsize=(width, 0.3 + 2.6 * len(pairs)))
    parts = np.atleast_1d(figure.subfigures(len(pairs), 1))
    top = 1.18 * data["share"].max()
    for part, pair in zip(parts, pairs, strict=True):
        part.suptitle(style.pair_title(*pair), fontweight="bold")
        grid = part.subplots(2, len(methods), sharex=True, sharey="row", squeeze=False, height_ratios=[3, 1])
        for column, method in enumerate(methods):
            rows = runs.of_pair(data[data["method"] == method], pair)
            if len(rows):
                _panel(*grid[:, column], rows)
            else:
                for ax in grid[:, column]:
                    ax.set_axis_off()
        grid[0, 0].set(ylabel="Accuracy (%)", ylim=(0, 100), yticks=[0, 50, 100])
        grid[1, 0].set(ylabel="Images (%)", ylim=(0, top), xlim=(0, 100), xticks=[0, 50, 100])
        part.supxlabel("Confidence (%)", fontsize=8)
        part.align_ylabels()
    style.legend_below(figure, _legend())
    return figure


GAP = {"facecolor": "none", "edgecolor": "0.25", "hatch": "//////", "linewidth": 0.5}
PALE_GAP = {**GAP, "edgecolor": "0.7"}


def _legend() -> list:
    return [
        Patch(facecolor=style.tint("0.5", 0.75), label="Accuracy"),
        Patch(**GAP, label="Gap to confidence"),
        Line2D([], [], color="0.3", linestyle="--", linewidth=0.8, label="Perfect calibration"),
    ]


def _panel(above: Axes, below: Axes, rows: pd.DataFrame) -> None:
    method, temperature = rows["method"].iloc[0], rows["temperature"].iloc[0]
    above.set_title(style.LABELS[method] + (f", T = {temperature}" if pd.notna(temperature) else ""), pad=22)
    above.text(0.5, 1.03, _numbers(rows), transform=above.transAxes, ha="center", va="bottom", linespacing=1.2)
    colour = "0.5" if method == style.TEACHER else style.COLOURS[method]

    edges = 100 * rows["low_edge"].to_numpy()
    width = 100 * (rows["high_edge"] - rows["low_edge"]).to_numpy()
    count, accuracy, confidence = (rows[name].to_numpy() for name in ("count", "accuracy", "confidence"))
    for some, share in ((count >= SPARSE, 0.75), ((count > 0) & (count < SPARSE), 0.25)):
        x, y, wide = edges[some], accuracy[some], width[some]
        box = {"align": "edge", "zorder": 2}
        above.bar(x, y, wide, color=style.tint(colour, share), edgecolor="white", linewidth=0.4, **box)
        gap = GAP if share > 0.5 else PALE_GAP
        above.bar(x, confidence[some] - y, wide, bottom=y, **gap, **box)
    above.plot([0, 100], [0, 100], color="0.3", linestyle="--", linewidth=0.8, zorder=3)
    if rows["n"].max() > 1:
        shown = rows[count >= SPARSE]
        reach = np.array([shown["accuracy"] - shown["accuracy_min"], shown["accuracy_max"] - shown["accuracy"]])
        centre = (edges + width / 2)[count >= SPARSE]
        look = {"linestyle": "none", "color": "0.15", "elinewidth": 0.6, "capsize": 1.2, "zorder": 4}
        above.errorbar(centre, shown["accuracy"], np.maximum(reach, 0.0), **look)
    shares = {"color": style.tint(colour, 0.75), "edgecolor": "white", "linewidth": 0.4, "zorder": 2}
    below.bar(edges, rows["share"], width, align="edge", **shares)


def _numbers(rows: pd.DataFrame) -> str:
    """Return ECE and gap as they stand above a panel."""
    ece, gap = rows["ece"].iloc[0], rows["gap"].iloc[0]
    return f"ECE {ece:.1f} %\ngap {gap:+.1f} pp".replace("-", "−")

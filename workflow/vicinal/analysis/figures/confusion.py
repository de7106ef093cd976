"""What teachers make of mixed inputs: how entropy and source mass are distributed, by the share of the first image."""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("spread",)
CAPTION = (
    "How a teacher's answers to mixed inputs are distributed over test pairs of different classes: quantiles over "
    "pairs of their entropy and of the probability of the two source classes (source mass), at T = 1, against the "
    "share λ of the first image ({bins} bins, drawn at their centres); {averaged}. Mixed image: "
    "p(λ·x_i + (1 − λ)·x_j); circles: median, dark band: 25 % to 75 %, light band: 5 % to 95 %. Linear mixture: "
    "λ·p(x_i) + (1 − λ)·p(x_j), the answer of a model that is linear between the images; squares: median, dashed "
    "lines: 25 % and 75 %, dotted lines: 5 % and 95 %. At the right of each panel the same over all "
    "λ, clean images first; dot: median, bar: 25 % to 75 %, line: 5 % to 95 %. Clean images: p(x_i) and p(x_j) of the "
    "same pairs, each image by itself, the source mass being the probability of its own class. {mixup}{interval}"
)
MISSING = "No teacher was evaluated on mixed test pairs of different classes."
# Metrics by quantity: of each, which input it is of.
ROWS = {
    "entropy": {"clean": "entropy_clean", "mixed": "entropy_mixed", "linear": "entropy_linear"},
    "source_mass": {"clean": "own_mass_clean", "mixed": "source_mass_mixed", "linear": "source_mass_linear"},
}
AXES = {"entropy": "Entropy (nats)", "source_mass": "Source mass"}
UNITS = {"entropy": "nat", "source_mass": "1"}
LABELS = {"clean": "Clean images", "mixed": "Mixed image", "linear": "Linear mixture"}
# Colours that no method has. The line of the mixed image is a darker shade, to stand out on its bands.
COLOURS = {"clean": "#000000", "mixed": "#8C3B6B", "linear": "#009E73"}
BAND = "#CC79A7"
MARKERS = {"mixed": "o", "linear": "s"}
DASHES = {"mixed": "", "linear": (4, 1, 1, 1)}
MEDIAN, RANGES = 0.5, {"5 % to 95 %": (0.05, 0.95), "25 % to 75 %": (0.25, 0.75)}
# Of each range the shade of the band, the dashes of the lines, and the width of the bar over all λ.
LOOKS = dict(zip(RANGES, ((0.25, ":", 0.8), (0.6, "--", 3.5)), strict=True))
DOT = {"marker": "o", "linestyle": "none", "markersize": 3, "markerfacecolor": "white", "markeredgewidth": 0.7}
PLACES = {"clean": 1.06, "mixed": 1.13, "linear": 1.2}  # on the axis of λ, of what is over all λ
RIGHT = 1.25
MANY = 4  # more teachers than this stand two side by side


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of quantiles over test pairs, by teacher, metric and range of λ.

    Columns besides those of ``runs.over_seeds``: alpha (of the teacher's own mixup, NaN without), lam_low and lam_high
    (a bin, or 0 and 1), quantile, quantity (``entropy``, in nats, or ``source_mass``) and input (``clean``, ``mixed``
    or ``linear``).
    """
    table = tables["spread"]
    models = runs.models_of(table)
    teachers = models.loc[models["role"] == style.TEACHER, ["model_id", "model", "alpha"]]
    teachers = teachers.rename(columns={"model": "teacher"})
    kinds = {metric: (name, kind) for name, metrics in ROWS.items() for kind, metric in metrics.items()}
    table = table[(table["split"] == "test") & table["metric"].isin(list(kinds))]
    keys = ["metric", "lam_low", "lam_high", "quantile"]
    values = runs.with_values(teachers, table, [*keys, "value"])
    values = values.sort_values(["alpha", *keys], na_position="first", kind="stable")
    result = runs.over_seeds(values, ["teacher", "alpha", *keys])
    result["quantity"] = result["metric"].map({metric: name for metric, (name, _) in kinds.items()})
    result["input"] = result["metric"].map({metric: kind for metric, (_, kind) in kinds.items()})
    return result.assign(unit=result["quantity"].map(UNITS))


def takeaway(data: pd.DataFrame) -> str:
    """Return the caption's first sentence: the medians over all λ."""

    medians = data[_whole(data) & (data["quantile"] == MEDIAN)]
    found = {}
    for teacher, rows in list(medians[medians["alpha"].isna()].groupby("teacher", sort=False))[: runs.MAIN_PAIRS]:
        parts = []
        for name, own in rows.groupby("quantity", sort=False):
            values = [f"{LABELS[row.input].lower()} {row.mean:.2f}" for row in own.itertuples()]
            parts.append(f"median {AXES[name].lower()} {', '.join(values)}")
        found[teacher] = sentences.joined(parts)
    return sentences.each(found)


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the bins and the seeds of this figure."""
    several = data["n"].max() > 1
    return CAPTION.format(
        bins=data.loc[~_whole(data), "lam_low"].nunique(),
        averaged="each quantile is the mean over seeds" if several else "of one seed",
        mixup="α: of the mixup that a teacher was itself trained with. " if data["alpha"].notna().any() else "",
        interval=runs.interval_text(data["n"], "Error bars of the medians"),
    )


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: panels for entropy and source mass of each teacher."""
    # As text, so that equal are equal: without mixup alpha is NaN.
    titles = data["teacher"] + data["alpha"].map(lambda alpha: "" if np.isnan(alpha) else f"\nmixup α = {alpha:g}")
    quantities = [name for name in ROWS if name in set(data["quantity"])]
    shown = list(product(dict.fromkeys(titles), quantities))
    many = titles.nunique() > MANY
    columns = len(quantities) * (2 if many else 1)
    names, label = [title for title, _ in shown], "Share λ" if many else "Share λ of the first image"
    figure, axes = panels.wrapped(names, 1.9, label, "", columns, share=False)
    # Intervals of a mean may leave the range of the quantity; the axis does not.
    top = {"entropy": 1.04 * data.loc[data["quantity"] == "entropy", "mean"].max() or 1.0, "source_mass": 1.02}
    for ax, (title, name) in zip(axes, shown, strict=True):
        _panel(ax, data[(titles == title) & (data["quantity"] == name)])
        ax.set(xlim=(0, RIGHT), ylim=(-0.02 * top[name], top[name]), ylabel=AXES[name])  # markers at 0 are drawn whole
    style.legend_below(figure, _legend(), columns=3)
    return figure


def _whole(data: pd.DataFrame) -> pd.Series:
    """Return which rows are over all λ."""
    return (data["lam_low"] == 0) & (data["lam_high"] == 1)


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    whole = _whole(rows)
    rows = rows.assign(lam=((rows["lam_low"] + rows["lam_high"]) / 2).round(6).mask(whole, rows["input"].map(PLACES)))
    # Of each input the quantiles, a column each, by λ or where they stand beside it; NaN where one is missing.
    tables = {kind: own.pivot(index="lam", columns="quantile", values="mean") for kind, own in rows.groupby("input")}
    for kind, table in tables.items():
        colour, table = COLOURS[kind], table.reindex(columns=[MEDIAN, *sum(RANGES.values(), ())])
        bins, beside = table[table.index < 1], table[table.index > 1]
        for name, (low, high) in RANGES.items():
            shade, dashes, width = LOOKS[name]
            if kind == "mixed":
                ax.fill_between(bins.index, bins[low], bins[high], color=style.tint(BAND, shade), linewidth=0)
            elif kind == "linear":
                ax.plot(bins[[low, high]], color=colour, linestyle=dashes, linewidth=0.8)
            ax.vlines(beside.index, beside[low], beside[high], color=colour, linewidth=width)
        ax.plot(beside[MEDIAN], color=colour, **DOT)
    medians = rows[(rows["quantile"] == MEDIAN) & (rows["input"] != "clean") & ~whole]
    look = {"hue": "input", "palette": COLOURS, "dashes": DASHES, "markers": MARKERS, "markersize": 3.5}
    panels.lines(ax, medians, "lam", bars=True, **look)
    ax.axvline(1, color="0.6", linewidth=0.6)
    ticks = np.linspace(0, 1, 5)
    ax.set_xticks([*ticks, PLACES["mixed"]], [*(f"{tick:g}" for tick in ticks), "all"])


def _legend() -> list:
    """Return what marks the quantiles, a column an input, the median first."""
    entries = []
    for kind, colour in COLOURS.items():
        median = DOT if kind == "clean" else {"marker": MARKERS[kind], "linestyle": style.linestyle(DASHES[kind])}
        entries.append(Line2D([], [], color=colour, label=f"{LABELS[kind]}, median", **(style.EDGE | median)))
        for name, (shade, dashes, width) in reversed(LOOKS.items()):
            label = f"{LABELS[kind]}, {name}"
            if kind == "mixed":
                entries.append(Patch(color=style.tint(BAND, shade), label=label))
            else:
                line = {"linewidth": width} if kind == "clean" else {"linewidth": 0.8, "linestyle": dashes}
                entries.append(Line2D([], [], color=colour, label=label, **line))
    return entries

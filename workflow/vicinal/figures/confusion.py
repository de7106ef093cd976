"""What teachers make of mixed inputs: entropy and source mass against the share of the first image."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vicinal.figures import runs, style

TABLES = ("vicinal",)
CAPTION = (
    "What a teacher makes of mixed inputs: entropy of its answer and the probability of the two source classes "
    "(source mass), at T = 1, against the share λ of the first image ({bins} bins, drawn at their centres), on test "
    "pairs of different classes. Mixed: p(λ·x_i + (1 − λ)·x_j). Linear mixture: λ·p(x_i) + (1 − λ)·p(x_j), the answer "
    "of a model that is linear between the images. Clean: mean of the entropies of p(x_i) and p(x_j). Teachers of the "
    "pairs with the most methods and temperatures, trained without mixup. {interval}"
)
MISSING = "No teacher trained without mixup was evaluated on mixed test pairs of different classes."
# Metrics by quantity: of each, which input it is of.
ROWS = {
    "entropy": {"clean": "entropy_clean", "mixed": "entropy_mixed", "linear": "entropy_linear"},
    "source_mass": {"mixed": "source_mass_mixed", "linear": "source_mass_linear"},
}
AXES = {"entropy": "Entropy (nats)", "source_mass": "Source mass"}
UNITS = {"entropy": "nat", "source_mass": "1"}
LABELS = {"clean": "Clean images", "mixed": "Mixed image", "linear": "Linear mixture"}
# Okabe and Ito's colours that no method has.
LOOKS = {
    "clean": {"color": "#000000", "linestyle": ":", "marker": "x"},
    "mixed": {"color": "#CC79A7", "linestyle": "-", "marker": "o"},
    "linear": {"color": "#009E73", "linestyle": "--", "marker": "s"},
}


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds by teacher, metric and λ (centre of the bin).

    Columns besides those of ``runs.over_seeds``: quantity (``entropy``, in nats, or ``source_mass``) and input
    (``clean``, ``mixed`` or ``linear``).
    """
    table = tables["vicinal"]
    models = runs.models_of(table)
    teachers = [pair.teacher for pair in runs.main_pairs(runs.main_students(models)) if pair.teacher]
    members = runs.plain_teachers(models)
    members = members.loc[members["model"].isin(teachers), ["model_id", "model"]].rename(columns={"model": "teacher"})
    kinds = {metric: (name, kind) for name, metrics in ROWS.items() for kind, metric in metrics.items()}
    table = table[(table["split"] == "test") & (table["pairs"] == "different") & table["metric"].isin(list(kinds))]
    width = table["lam_high"] - table["lam_low"]
    # The table also has wider ranges of λ: all of it, and the peak.
    table = table[np.isclose(width, width.min())]
    table = table.assign(lam=((table["lam_low"] + table["lam_high"]) / 2).round(6))
    values = runs.with_values(members, table, ["metric", "lam", "value"])
    result = runs.over_seeds(values, ["teacher", "metric", "lam"])
    result["quantity"] = result["metric"].map({metric: name for metric, (name, _) in kinds.items()})
    result["input"] = result["metric"].map({metric: kind for metric, (_, kind) in kinds.items()})
    return result.assign(unit=result["quantity"].map(UNITS))


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the bins and the seeds of this figure."""
    if not len(data):
        return MISSING
    return CAPTION.format(bins=data["lam"].nunique(), interval=runs.interval_text(data["n"], "Bands"))


@style.styled
def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row each for entropy and source mass, a column a teacher."""
    if not len(data):
        return style.message(MISSING)
    teachers = list(dict.fromkeys(data["teacher"]))
    rows = [name for name in ROWS if name in set(data["quantity"])]
    figure = Figure(figsize=(style.PAGE if len(teachers) > 1 else style.COLUMN, 0.5 + 1.9 * len(rows)))
    grid = figure.subplots(len(rows), len(teachers), sharex=True, sharey="row", squeeze=False)
    for teacher, axes in zip(teachers, grid.T, strict=True):
        for ax, name in zip(axes, rows, strict=True):
            _panel(ax, data[(data["teacher"] == teacher) & (data["quantity"] == name)])
        axes[0].set_title(f"Teacher {teacher}")
        axes[-1].set_xlabel("Share λ of the first image")
    for ax, name in zip(grid[:, 0], rows, strict=True):
        ax.set_ylabel(AXES[name])
        # Intervals of a mean may leave the range of the quantity; the axis does not.
        ax.set_ylim(0, 1.02 if name == "source_mass" else None)
    # Short labels: those at the ends of neighbouring panels must not touch.
    ticks = np.linspace(0, 1, 5)
    grid[0, 0].set(xlim=(0, 1), xticks=ticks, xticklabels=[f"{tick:g}" for tick in ticks])
    figure.align_ylabels()
    shown = [kind for kind in LABELS if kind in set(data["input"])]
    style.legend_below(figure, [Line2D([], [], label=LABELS[kind], **LOOKS[kind]) for kind in shown])
    return figure


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    for kind, look in LOOKS.items():
        own = rows[rows["input"] == kind].sort_values("lam")
        ax.plot(own["lam"], own["mean"], **look, markersize=3)
        ax.fill_between(own["lam"], own["low"], own["high"], color=look["color"], alpha=0.2, linewidth=0)

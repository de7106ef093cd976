"""How far from linear models are between two images, against the share of the first one."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicinal.figures import runs, style

TABLES = ("vicinal",)
CAPTION = (
    "Non-linearity L_NL = KL(λ·p(x_i) + (1 − λ)·p(x_j) ‖ p(λ·x_i + (1 − λ)·x_j)) between images x_i and x_j of "
    "different classes, at T = 1, against the share λ of x_i (20 bins, drawn at their centres): 0 for a model that is "
    "linear between them. The pairs are the same for all models. {pairs}{distilled}{mixup}{interval}"
)
MISSING = "No model of the main comparison was evaluated on mixed pairs of different classes."
SPLITS = {"test": "Test pairs", "train": "Training pairs"}


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of L_NL, in nats, by pair, method, split and λ (centre of the bin)."""
    table = tables["vicinal"]
    models = runs.models_of(table)
    table = table[(table["pairs"] == "different") & (table["metric"] == "nonlinearity")]
    width = table["lam_high"] - table["lam_low"]
    # The table also has wider ranges of λ: all of it, and the peak.
    table = table[np.isclose(width, width.min())]
    table = table.assign(lam=((table["lam_low"] + table["lam_high"]) / 2).round(6))
    values = runs.with_values(runs.main_panels(models), table, ["split", "lam", "value"])
    alpha = runs.mixup_alpha(runs.main_students(models))
    return runs.over_seeds(values, [*runs.PANEL, "split", "lam"]).assign(unit="nat", alpha=alpha)


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    return runs.fill_caption(CAPTION, data, "Bands") if len(data) else MISSING


@style.styled
def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row a pair, a column a split."""
    if not len(data):
        return style.message(MISSING)
    pairs = runs.pairs_in(data)
    splits = [split for split in SPLITS if split in set(data["split"])]
    width = style.PAGE if len(splits) > 1 else style.COLUMN
    figure = Figure(figsize=(width, 0.45 + 2.1 * len(pairs)))
    grid = figure.subplots(len(pairs), len(splits), sharex=True, sharey=True, squeeze=False)
    for axes, pair in zip(grid, pairs, strict=True):
        for ax, split in zip(axes, splits, strict=True):
            _panel(ax, runs.of_pair(data[data["split"] == split], pair))
            ax.set_title(f"{SPLITS[split]}, {style.pair_title(*pair)}")
        axes[0].set(ylabel="Non-linearity $L_\\mathrm{NL}$ (nats)")
    grid[0, 0].set(xlim=(0, 1), ylim=(0, None))
    for ax in grid[-1]:
        ax.set_xlabel("Share λ of the first image")
    style.legend_below(figure, [style.handle(method) for method in style.ordered(data["method"])])
    return figure


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    for method in style.ordered(rows["method"]):
        own = rows[rows["method"] == method].sort_values("lam")
        look = style.line(method)
        ax.plot(own["lam"], own["mean"], **look, markersize=3)
        ax.fill_between(own["lam"], own["low"], own["high"], color=look["color"], alpha=0.15, linewidth=0)

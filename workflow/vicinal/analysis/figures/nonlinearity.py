"""How far from linear models are between two images, against the share of the first one."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("vicinal",)
CAPTION = (
    "Non-linearity L_NL = KL(λ·p(x_i) + (1 − λ)·p(x_j) ‖ p(λ·x_i + (1 − λ)·x_j)) between images x_i and x_j of "
    "different classes, at T = 1, against the share λ of x_i (20 bins, drawn at their centres): 0 for a model that is "
    "linear between them. The pairs are the same for all models. {pairs}{distilled}{mixup}{interval}"
)
MISSING = "No model of the main comparison was evaluated on mixed pairs of different classes."
SPLITS = {"test": "$L_\\mathrm{NL}$, test pairs (nats)", "train": "$L_\\mathrm{NL}$, training pairs (nats)"}


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


@sentences.each_pair
def takeaway(rows: pd.DataFrame) -> str:
    """Return what comes first in the caption, of one pair: the mean over λ by method."""
    return sentences.by_method(rows[rows["split"] == "test"], "L_NL on test pairs, mean over λ:", ".2f", " nats")


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    return runs.fill_caption(CAPTION, data, "Bands")


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row a pair, a column a split."""
    shown = runs.by_pair(data)
    labels = {split: label for split, label in SPLITS.items() if split in set(data["split"])}
    figure, axes = panels.grid(shown, labels.values(), "Share λ of the first image", sharex=True, sharey=True)
    for ax, rows in panels.cells(axes, shown, "split", labels):
        panels.lines(ax, rows, "lam", markersize=3.5)
    axes[0, 0].set(xlim=(0, 1), ylim=(0, None))
    style.legend_below(figure, style.handles(data["method"]))
    return figure

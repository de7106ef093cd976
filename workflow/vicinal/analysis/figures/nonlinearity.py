"""How far from linear models are between two images, against the share of the first one."""

from functools import partial

import numpy as np
import pandas as pd

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("vicinal",)
MISSING = "No model of the main comparison was evaluated on mixed pairs of different classes."
SPLITS = {"test": "$L_\\mathrm{NL}$, test pairs (nats)", "train": "$L_\\mathrm{NL}$, training pairs (nats)"}


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of L_NL, in nats, by pair, method, split and λ (centre of the bin)."""
    table = tables["vicinal"]
    table = table[(table["pairs"] == "different") & (table["metric"] == "nonlinearity")]
    width = table["lam_high"] - table["lam_low"]
    table = table[np.isclose(width, width.min())]  # the others are over all λ, or the peak
    table = table.assign(lam=((table["lam_low"] + table["lam_high"]) / 2).round(6))
    values = runs.with_values(runs.main_panels(tables["vicinal"]), table, ["split", "lam", "value"])
    return runs.over_seeds(values).assign(unit="nat")


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a row a pair and a column a split, and its caption."""
    columns = {split: label for split, label in SPLITS.items() if split in set(data["split"])}
    options = {"columns": columns, "by": "split", "sharex": True, "sharey": True}
    lines = partial(panels.lines, x="lam", markersize=3.5)
    figure = panels.facets(runs.by_pair(data), lines, "Share λ of the first image", **options)
    figure.axes[0].set(xlim=(0, 1), ylim=(0, None))
    style.legend_below(figure, style.handles(data["method"]))
    test, what = data[data["split"] == "test"], ("L_NL on test pairs, mean over λ:", ".2f", " nats")
    return figure, (
        f"{sentences.each_pair(test, sentences.by_method, *what)}\nNon-linearity L_NL = KL(λ·p(x_i) + (1 − λ)·p(x_j) ‖ "
        "p(λ·x_i + (1 − λ)·x_j)) between images x_i and x_j of different classes, at T = 1, against the share λ of x_i "
        "(20 bins, drawn at their centres): 0 for a model that is linear between them. The pairs are the same for all "
        f"models. {sentences.trained(data)}{sentences.interval(data['n'], 'Bands')}"
    )

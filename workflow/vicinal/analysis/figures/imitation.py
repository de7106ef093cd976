"""Is a student more linear than its teacher by more than imitation? Imitation weight and non-linearity by method."""

import pandas as pd
from matplotlib.figure import Figure

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("vicinal",)
CAPTION = (
    "Left: imitation weight: the share of the student's own linear mixture λ·p(x_i) + (1 − λ)·p(x_j) in the mixture "
    "of it and the teacher's answer that is nearest to the student's answer on λ·x_i + (1 − λ)·x_j; 0 for a student "
    "that repeats the teacher, 1 for one that is linear by itself. Middle: mean non-linearity L_NL of all methods, 0 "
    "for a linear model. Right: the same at the temperature at which a model's mean entropy on clean images is that "
    "of the teacher (matched). Students without a teacher are compared with that of the others. All on test pairs of "
    "all kinds and λ, the same for all models. Pale points: one a seed. {pairs}{distilled}{mixup}{interval}"
)
MISSING = "No student of the main comparison has an imitation weight: no teacher was measured with it."
WEIGHT = "imitation_weight"
METRICS = {
    WEIGHT: "Imitation weight\n(0: repeats the teacher)",
    "nonlinearity": "$L_\\mathrm{NL}$ (nats)",
    "nonlinearity_matched": "$L_\\mathrm{NL}$, matched (nats)",
}
SEEDS = -0.18  # where the points of the seeds are, beside the mean of their method


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return ``value`` of each seed, and mean, interval and n over seeds, by pair, method and metric.

    Imitation weights are shares, non-linearities are in nats. Only pairs with an imitation weight are in it.
    """
    table = tables["vicinal"]
    models = runs.models_of(table)
    whole = (table["lam_low"] == 0) & (table["lam_high"] == 1)
    table = table[(table["split"] == "test") & (table["pairs"] == "all") & whole & table["metric"].isin(list(METRICS))]
    values = runs.with_values(runs.main_panels(models), table, ["metric", "value"])
    weighed = values.loc[values["metric"] == WEIGHT, ["teacher", "student"]].drop_duplicates()
    values = values.merge(weighed, on=["teacher", "student"])
    keys = [*runs.PANEL, "metric"]
    units = values["metric"].map(lambda metric: "share" if metric == WEIGHT else "nat")
    seeds = values.assign(unit=units)[[*keys, "seed", "value", "unit"]].astype({"seed": "Int64"})
    means = runs.over_seeds(values, keys).merge(seeds.sort_values("seed"), on=keys)
    return means.assign(alpha=runs.mixup_alpha(runs.main_students(models)))


@sentences.each_pair
def takeaway(rows: pd.DataFrame) -> str:
    """Return what comes first in the caption, of one pair: imitation weights and non-linearities by method."""
    weight, plain = (rows[rows["metric"] == metric] for metric in (WEIGHT, "nonlinearity"))
    words = (sentences.by_method(weight, "imitation weight", ".2f"), sentences.by_method(plain, "L_NL", ".2f", " nats"))
    return sentences.joined(words)


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    return runs.fill_caption(CAPTION, data, "Error bars")


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row a pair, a column a metric, in it a mean with its interval a method."""
    figure, parts = panels.of_methods(runs.by_pair(data, with_temperature=True), METRICS)
    for ax, rows, methods in parts:
        for method, seeds in rows.groupby("method"):
            place = methods.index(method) + SEEDS
            colour = style.tint(style.COLOURS[method], panels.PALE)
            ax.scatter([place] * len(seeds), seeds["value"], s=5, color=[colour], linewidth=0, zorder=2)
        panels.by_method(ax, rows.drop_duplicates("method"), methods)
    for ax in figure.axes:  # after all: axes with set limits do not grow any more
        ax.set_ylim(min(0, ax.get_ylim()[0]), None)
    return figure

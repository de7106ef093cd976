"""Is a student more linear than its teacher by more than imitation? Imitation weight and non-linearity by method."""

import pandas as pd
from matplotlib.axes import Axes

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("vicinal",)
MISSING = "No student of the main comparison has an imitation weight: no teacher was measured with it."
WEIGHT = "imitation_weight"
METRICS = {
    WEIGHT: "Imitation weight\n(0: repeats the teacher)",
    "nonlinearity": "$L_\\mathrm{NL}$ (nats)",
    "nonlinearity_matched": "$L_\\mathrm{NL}$, matched (nats)",
}
SEEDS = -0.18  # where the points of the seeds are, beside the mean of their method


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return ``value`` of each seed, and ``runs.over_seeds``, by metric, of pairs with an imitation weight."""
    table = tables["vicinal"]
    chosen = (table["split"] == "test") & (table["pairs"] == "all") & runs.whole(table)
    table = table[chosen & table["metric"].isin(list(METRICS))]
    values = runs.with_values(runs.main_panels(tables["vicinal"]), table, ["metric", "value"])
    weighed = values.loc[values["metric"] == WEIGHT, ["teacher", "student"]].drop_duplicates()
    values = values.merge(weighed, on=["teacher", "student"]).astype({"seed": "Int64"})
    values["unit"] = values["metric"].map(lambda metric: "share" if metric == WEIGHT else "nat")
    seeds = values.drop(columns="model_id").sort_values("seed")
    return runs.over_seeds(values).merge(seeds, on=[*runs.PANEL, "metric", "alpha", "unit"])


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a row a pair, a column a metric, in it a mean with its interval a method, and its caption."""
    figure = panels.of_methods(data, _panel, METRICS)
    for ax in figure.axes:
        ax.set_ylim(min(0, ax.get_ylim()[0]), None)
    what = {WEIGHT: ("imitation weight", ".2f"), "nonlinearity": ("L_NL", ".2f", " nats")}
    return figure, (
        f"{sentences.each_pair(data, sentences.by_metric, what)}\nLeft: imitation weight: the share of the student's "
        "own linear mixture λ·p(x_i) + (1 − λ)·p(x_j) in the mixture of it and the teacher's answer that is nearest to "
        "the student's answer on λ·x_i + (1 − λ)·x_j; 0 for a student that repeats the teacher, 1 for one that is "
        "linear by itself. Middle: mean non-linearity L_NL of all methods, 0 for a linear model. Right: the same at "
        "the temperature at which a model's mean entropy on clean images is that of the teacher (matched). Students "
        "without a teacher are compared with that of the others. All on test pairs of all kinds and λ, the same for "
        f"all models. Pale points: one a seed. {sentences.trained(data)}{sentences.interval(data['n'], 'Error bars')}"
    )


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    pale = [style.tint(style.COLOURS[method], panels.PALE) for method in rows["method"]]
    ax.scatter(rows["place"] + SEEDS, rows["value"], s=5, color=pale, linewidth=0, zorder=2)
    panels.points(ax, rows.drop_duplicates("method"), "place", "mean", bars="y", s=22)

"""Is the geometry of the features inherited? Likeness to the teacher's, and spread within classes, by method."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("metrics", "vicinal")
CAPTION = (
    "Penultimate features on clean test images (filled) and on mixed inputs of test pairs of all kinds and λ (open). "
    "CKA: linear CKA of a distilled student's features with its teacher's; 1: the same up to rotation and scale. "
    "NC1 = tr(Σ_W Σ_B⁺)/C, the scatter of features within classes over that of the C class means (log axis); 0: "
    "each class is one point. A mixed input counts to the class of its larger share. {cut}{pairs}{distilled}{mixup}"
    "{interval}"
)
MISSING = "No model of the main comparison has measures of its features."
METRICS = {"cka_teacher": "CKA with the teacher", "nc1": "NC1"}
INPUTS = {"clean": -0.17, "mixed": 0.17}  # and where their points are, beside the name of their method


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of CKA and NC1, without a unit, by pair, method, inputs and metric.

    ``inputs``: clean or mixed.
    """
    mixed = tables["vicinal"]
    models = runs.models_of(tables["metrics"])
    mixed = mixed[(mixed["pairs"] == "all") & (mixed["lam_low"] == 0) & (mixed["lam_high"] == 1)]
    parts = []
    for inputs, table in zip(INPUTS, (tables["metrics"], mixed), strict=True):
        table = table[(table["split"] == "test") & table["metric"].isin(list(METRICS))]
        parts.append(runs.with_values(runs.main_panels(models), table, ["metric", "value"]).assign(inputs=inputs))
    means = runs.over_seeds(pd.concat(parts, ignore_index=True), [*runs.PANEL, "metric", "inputs"])
    return means.assign(unit="1", alpha=runs.mixup_alpha(runs.main_students(models)))


@sentences.each_pair
def takeaway(rows: pd.DataFrame) -> str:
    """Return what comes first in the caption, of one pair: both measures on clean images by method."""
    groups = rows[rows["inputs"] == "clean"].groupby("metric")
    return sentences.joined(sentences.by_method(own, METRICS[metric], ".2f") for metric, own in groups)


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    nc1 = data[data["metric"] == "nc1"]
    cut = "Bars that leave the axis are cut. " if (nc1["low"] < _limits(nc1)[0]).any() else ""
    return runs.fill_caption(CAPTION, data, "Error bars", cut=cut)


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row a pair, a column a metric, in it two means a method: on clean and on mixed inputs."""
    figure, parts = panels.of_methods(runs.by_pair(data, with_temperature=True), METRICS)
    for ax, rows, methods in parts:
        for inputs, beside in INPUTS.items():
            panels.by_method(ax, rows[rows["inputs"] == inputs], methods, beside, hollow=inputs == "mixed")
    limits = _limits(data[data["metric"] == "nc1"])
    for ax in (ax for ax, rows, _ in parts if (rows["metric"] == "nc1").any()):
        ax.set(yscale="log", ylim=limits)
        panels.log_ticks(ax.yaxis, *limits)
    look = {"linestyle": "none", "marker": "o", "markeredgecolor": "0.3"}
    faces = {"Clean images": "0.3", "Mixed inputs": "white"}
    entries = [Line2D([], [], label=label, markerfacecolor=face, **look) for label, face in faces.items()]
    style.legend_below(figure, entries)
    return figure


def _limits(nc1: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the log axis: it holds all means and intervals, down to a tenth of the lowest mean."""
    least = nc1.loc[nc1["mean"] > 0, "mean"].min()
    low = max(least / 10, min(least, nc1["low"].min()))  # in this order: NaN where there is no interval loses
    return low / 1.2, max(nc1["mean"].max(), nc1["high"].max()) * 1.2

"""Is the geometry of the features inherited? Likeness to the teacher's, and spread within classes, by method."""

from functools import partial

import pandas as pd
from matplotlib.lines import Line2D

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("metrics", "vicinal")
MISSING = "No model of the main comparison has measures of its features."
METRICS = {"cka_teacher": "CKA with the teacher", "nc1": "NC1"}
INPUTS = {"clean": -0.17, "mixed": 0.17}  # and where their points are, beside the name of their method


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of CKA and NC1, without a unit, by method, metric and kind of inputs."""
    clean, mixed = (tables[name][tables[name]["metric"].isin(list(METRICS))] for name in TABLES)
    mixed = mixed[(mixed["pairs"] == "all") & runs.whole(mixed)]
    table = pd.concat([clean.assign(inputs="clean"), mixed.assign(inputs="mixed")], ignore_index=True)
    table = table[table["split"] == "test"]
    values = runs.with_values(runs.main_panels(tables["metrics"]), table, ["metric", "inputs", "value"])
    return runs.over_seeds(values).assign(unit="1")


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a row a pair, a column a metric, in it a mean a method and kind of inputs, and its caption."""
    nc1 = data[data["metric"] == "nc1"]
    least = nc1.loc[nc1["mean"] > 0, "mean"].min()
    low = max(least / 10, min(least, nc1["low"].min()))  # in this order: NaN where there is no interval loses
    limits = low / 1.2, max(nc1["mean"].max(), nc1["high"].max()) * 1.2
    look = {"linestyle": "none", "marker": "o", "markeredgecolor": "0.3"}
    faces = {"Clean images": "0.3", "Mixed inputs": "white"}
    entries = [Line2D([], [], label=label, markerfacecolor=face, **look) for label, face in faces.items()]
    rows = data.assign(hollow=data["inputs"] == "mixed", beside=data["inputs"].map(INPUTS))
    figure = panels.of_methods(rows, partial(panels.points, x="place", y="mean", bars="y", s=22), METRICS)
    for ax in figure.axes:
        if ax.get_ylabel() == METRICS["nc1"]:
            ax.set(yscale="log", ylim=limits)
            panels.log_ticks(ax.yaxis, *limits)
    style.legend_below(figure, entries)
    clean, what = data[data["inputs"] == "clean"], {name: (label, ".2f") for name, label in METRICS.items()}
    cut = "Bars that leave the axis are cut. " if (nc1["low"] < limits[0]).any() else ""
    return figure, (
        f"{sentences.each_pair(clean, sentences.by_metric, what)}\nPenultimate features on clean test images "
        "(filled) and on mixed inputs of test pairs of all kinds and λ (open). CKA: linear CKA of a distilled "
        "student's features with its teacher's; 1: the same up to rotation and scale. NC1 = tr(Σ_W Σ_B⁺)/C, the "
        "scatter of features within classes over that of the C class means (log axis); 0: each class is one point. A "
        "mixed input counts to the class of its larger share. "
        f"{cut}{sentences.trained(data)}{sentences.interval(data['n'], 'Error bars')}"
    )

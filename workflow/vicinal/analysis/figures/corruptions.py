"""Accuracy and calibration on corrupted test images: by severity, and by corruption."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from vicinal.analysis.figures import panels, runs, sentences, style
from vicinal.data.corruptions.catalogue import CORRUPTIONS, EXTRA, NAMES, SEVERITIES

TABLES = ("corruptions", "metrics")
MISSING = "No model of the main comparison was measured on corrupted images."
BENCHMARK = tuple(name for kind, names in CORRUPTIONS.items() if kind != EXTRA for name in names)
# In the data: what is a mean over the corruptions of the benchmark, and what over all severities.
MEAN, ALL = "benchmark", -1


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of each metric, in %, by pair, method, corruption and severity.

    ``corruption`` is ``benchmark`` for the mean over the corruptions of the benchmark, by severity (0: clean). Of each
    corruption by itself the severity is -1: the mean over all.
    """
    members, table = runs.main_panels(tables["metrics"]), tables["corruptions"]
    members = members[members["model_id"].isin(set(table["model_id"].astype(object)))]
    table = table[table["corruption"].isin(NAMES)].assign(value=100 * table["value"].astype(float))
    found = runs.with_values(members, table, ["corruption", "severity", "metric", "value"])
    found = found.iloc[np.lexsort([found["severity"], found["corruption"].map(NAMES.index)])]
    clean = runs.scores(members, tables["metrics"], style.SCORES).assign(corruption=MEAN, severity=0)
    mean = found[found["corruption"].isin(BENCHMARK)].assign(corruption=MEAN)
    values = pd.concat([clean, mean, found.assign(severity=ALL)], ignore_index=True)
    means = values.groupby(list(values.columns.drop("value")), dropna=False, sort=False)["value"].mean()
    return runs.over_seeds(means.reset_index()).assign(unit="%")


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a row a pair and one with a line a corruption, a column a metric, and its caption."""
    shown = runs.by_pair(data[data["severity"] != ALL])
    pair, own = next(iter(runs.by_pair(data[data["severity"] == ALL]).items()))
    names = [name for name in NAMES if name in set(own["corruption"])]
    below = {f"{pair}, by corruption": own.assign(place=own["corruption"].map(names.index))}
    heights = [1.6] * len(shown) + [0.5 + 0.125 * len(names)]
    figure = panels.facets(shown | below, partial(_panel, names=names), columns=style.SCORES, height=heights)
    for above, ax in zip(figure.axes[-6:-3], figure.axes[-3:], strict=True):
        above.set_xlabel("Severity")
        ax.set(xlabel=ax.get_ylabel(), ylabel="")
        ax.tick_params(labelleft=ax is figure.axes[-3])
    style.legend_below(figure, style.handles(data["method"]))
    mean = data[(data["severity"] > 0) & (data["metric"] == "accuracy")]
    what, several = ("accuracy on corrupted images", ".1f", " %"), len(shown) > 1
    return figure, (
        f"{sentences.each_pair(mean, sentences.by_method, *what)}\nTest accuracy, expected calibration error (ECE, 15 "
        "bins) and overconfidence error (OE) on corrupted images (Hendrycks and Dietterich 2019), evaluated at T = 1. "
        f"{'Rows above, a pair each' if several else 'Above'}: against the severity of the corruption, mean over "
        f"{len(set(names).intersection(BENCHMARK))} corruptions of the benchmark; 0: clean images. Below: by "
        f"corruption, mean over the {len(SEVERITIES)} severities and over seeds{f', of {pair}' if several else ''}; "
        "lines part kinds of corruption, those below the last one are not of the benchmark. "
        f"{sentences.trained(data)}{sentences.interval(data['n'], 'Bands above')}"
    )


def _panel(ax: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    if (rows["severity"] != ALL).all():
        panels.lines(ax, rows, "severity")
        panels.clip(ax, "y")
        ax.set_xticks([0, *SEVERITIES])
        return
    panels.points(ax, rows, "mean", "place")
    ends = np.cumsum([sum(name in names for name in kind) for kind in CORRUPTIONS.values()])[:-1]
    for end in ends[(ends > 0) & (ends < len(names))]:
        ax.axhline(end - 0.5, color="0.6", linewidth=0.6)
    labels = [name.replace("_", " ") for name in names]
    ax.set(yticks=range(len(names)), yticklabels=labels, ylim=(len(names) - 0.4, -0.6))

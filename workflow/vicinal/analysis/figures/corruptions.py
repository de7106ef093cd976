"""Accuracy and calibration on corrupted test images: by severity, and by corruption."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicinal.analysis.figures import panels, runs, sentences, style
from vicinal.data.corruptions.catalogue import CORRUPTIONS, EXTRA, NAMES, SEVERITIES

TABLES = ("corruptions", "metrics")
CAPTION = (
    "Test accuracy, expected calibration error (ECE, 15 bins) and overconfidence error (OE) on corrupted images "
    "(Hendrycks and Dietterich 2019), evaluated at T = 1. {above}: against the severity of the corruption, mean over "
    "{benchmark} corruptions of the benchmark; 0: clean images. Below: by corruption, mean over the {severities} "
    "severities and over seeds{pair}; lines part kinds of corruption, those below the last one are not of the "
    "benchmark. {pairs}{distilled}{mixup}{interval}"
)
MISSING = "No model of the main comparison was measured on corrupted images."

BENCHMARK = tuple(name for kind, names in CORRUPTIONS.items() if kind != EXTRA for name in names)
# In the data: what is a mean over the corruptions of the benchmark, and what over all severities.
MEAN, ALL = "benchmark", -1


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of each metric, in %, by pair, method, corruption and severity.

    ``corruption`` is ``benchmark`` for the mean over the corruptions of the benchmark, by severity (0: clean). Of each
    corruption by itself the severity is -1: the mean over all. Without corrupted images the table is empty.
    """
    models = runs.models_of(tables["metrics"])
    members = runs.main_panels(models)
    table = tables["corruptions"]
    members = members[members["model_id"].isin(set(table["model_id"].astype(object)))]
    found = runs.with_values(members, table, ["corruption", "severity", "metric", "value"])
    keys = [*runs.PANEL, "model_id", "seed", "metric"]
    # Sorted as drawn: what has equal places in the figures' order keeps this one.
    found["corruption"] = pd.Categorical(found["corruption"].astype(object), NAMES)
    found = found.dropna(subset="corruption").sort_values(["corruption", "severity"], kind="stable")
    found["corruption"] = found["corruption"].astype(object)
    found["value"] = 100 * found["value"].astype(float)
    clean = runs.scores(members, tables["metrics"], style.SCORES).assign(corruption=MEAN, severity=0)
    by_severity = _means(found[found["corruption"].isin(BENCHMARK)], [*keys, "severity"]).assign(corruption=MEAN)
    by_corruption = _means(found, [*keys, "corruption"]).assign(severity=ALL)
    columns = [*keys, "corruption", "severity", "value"]
    values = pd.concat([part[columns] for part in (clean, by_severity, by_corruption)], ignore_index=True)
    summary = runs.over_seeds(values, [*runs.PANEL, "metric", "corruption", "severity"])
    return summary.assign(unit="%", alpha=runs.mixup_alpha(runs.main_students(models)))


def _means(values: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return values.groupby(keys, dropna=False, observed=True, sort=False)["value"].mean().reset_index()


@sentences.each_pair
def takeaway(rows: pd.DataFrame) -> str:
    """Return what comes first in the caption, of one pair: the mean over the benchmark by method."""
    mean = rows[(rows["corruption"] == MEAN) & (rows["severity"] > 0) & (rows["metric"] == "accuracy")]
    return sentences.by_method(mean, "accuracy on corrupted images", ".1f", " %")


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the seeds of this figure."""
    titles = list(runs.by_pair(data))
    several = len(titles) > 1
    return runs.fill_caption(
        CAPTION,
        data,
        "Bands above",
        above="Rows above, a pair each" if several else "Above",
        pair=f", of {titles[0]}" if several else "",
        benchmark=str(len(set(data["corruption"]).intersection(BENCHMARK))),
        severities=str(len(SEVERITIES)),
    )


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a column a metric; a row of panels a pair, and below one with a line a corruption."""
    shown = runs.by_pair(data)
    first = next(iter(shown))
    names = [name for name in NAMES if name in set(data["corruption"])]
    heights = [1.6] * len(shown) + [0.5 + 0.125 * len(names)]
    figure, axes = panels.grid([*shown, first], style.SCORES.values(), "", heights)
    for ax, rows in panels.cells(axes[:-1], shown, "metric", style.SCORES):
        panels.lines(ax, rows[rows["corruption"] == MEAN], "severity")
        panels.percent(ax)
        ax.set(xticks=[0, *SEVERITIES], xlabel="Severity" if ax in axes[-2] else "")
    for ax, rows in panels.cells(axes[-1], {first: shown[first]}, "metric", style.SCORES):
        ax.set(xlabel=ax.get_ylabel(), ylabel="")
        _by_corruption(ax, rows[rows["severity"] == ALL], names)
        ax.tick_params(labelleft=ax is axes[-1, 0])
    style.legend_below(figure, style.handles(data["method"]))
    return figure


def _by_corruption(ax: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    panels.points(ax, rows.assign(place=rows["corruption"].map(names.index)), "mean", "place")
    ends = np.cumsum([sum(name in names for name in kind) for kind in CORRUPTIONS.values()])[:-1]
    for end in ends[(ends > 0) & (ends < len(names))]:
        ax.axhline(end - 0.5, color="0.6", linewidth=0.6)
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)

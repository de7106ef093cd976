"""Training curves: loss and validation accuracy of teachers and students, epoch by epoch."""

from itertools import cycle

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("history",)
CAPTION = (
    "Training curves: mean loss of each epoch (logarithmic axis) and validation accuracy where it was measured, of the "
    "teachers and of the students. The loss of the teachers, CE and CE + mixup is the cross-entropy, that of KD and "
    "KD + mixup T²·KL(teacher ‖ student), with its weight, plus the weighted cross-entropy if there is one; their "
    "levels do not compare. {pairs}{distilled}{mixup}{spread}"
)
MISSING = "No model of the main comparison has a training history."
METRICS = {"loss": "Training loss (nats)", "validation_accuracy": "Validation accuracy (%)"}


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, min, max and n over seeds of loss (nats) and validation accuracy (%) by model and epoch.

    Teachers (trained without mixup) have their name in ``teacher`` and no ``student``; students have both names of
    their pair's panel.
    """
    models = runs.models_of(tables["history"])
    teachers = runs.plain_teachers(models)
    shown = runs.main_panels(models)
    teachers = teachers.assign(teacher=teachers["model"], student=None, method=style.TEACHER, temperature=None)
    members = pd.concat([teachers[list(shown)], shown[shown["method"] != style.TEACHER]], ignore_index=True)
    values = runs.with_values(members, tables["history"], ["epoch", *METRICS])
    values["validation_accuracy"] = 100 * values["validation_accuracy"].astype(float)
    values = values.melt([*runs.PANEL, "seed", "epoch"], list(METRICS), "metric").dropna(subset="value")
    table = runs.over_seeds(values, [*runs.PANEL, "metric", "epoch"])
    table["unit"] = table["metric"].map({"loss": "nat", "validation_accuracy": "%"})
    return table.assign(alpha=runs.mixup_alpha(runs.main_students(models)))


@sentences.each_pair
def takeaway(rows: pd.DataFrame) -> str:
    """Return what comes first in the caption, of one pair: validation accuracy where it was last measured."""
    last = rows[rows["metric"] == "validation_accuracy"].sort_values("epoch").drop_duplicates("method", keep="last")
    return sentences.by_method(last, "last validation accuracy", ".1f", " %")


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    spread = f"Lines and bands: mean, and lowest to highest seed, {runs.seeds_text(data['n'])}."
    return runs.fill_caption(CAPTION, data, spread="One seed: no spread is shown." if data["n"].max() == 1 else spread)


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row for the teachers and one for each pair, a column each for loss and accuracy."""
    of_teachers, students = data[data["student"].isna()], data[data["student"].notna()]
    teachers = sorted(of_teachers["teacher"].unique(), key=style.natural)
    shown = ({"Teachers": of_teachers} if teachers else {}) | runs.by_pair(students)
    # From dark to light, which also tells the teachers apart in grey.
    colours = dict(zip(teachers, sns.color_palette("viridis", len(teachers)), strict=True))
    dashes = dict(zip(teachers, cycle(("", (3, 1.5), (1, 1), (5, 1.5, 1, 1.5)))))
    figure, axes = panels.grid(shown, METRICS.values(), "Epoch", sharex="row", sharey="col")
    for ax, rows in panels.cells(axes, shown, "metric", METRICS):
        many = rows["epoch"].nunique() > 1  # a line of one point would not be seen
        look = {"markers": False} if many else {}
        if rows["student"].isna().all():
            look |= {"hue": "teacher", "palette": colours, "dashes": dashes, "markers": not many}
        panels.lines(ax, rows, "epoch", ends=("min", "max"), **look)
    axes[0, 0].set_yscale("log")
    axes[0, 0].yaxis.set(major_formatter="{x:g}", minor_formatter=LogFormatter())
    entries = [
        Line2D([], [], label=f"Teacher {name}", color=colours[name], linestyle=style.linestyle(dashes[name]))
        for name in teachers
    ]
    entries += style.handles(students["method"], plain=style.METHODS)
    figure.align_ylabels()
    style.legend_below(figure, entries, columns=4)
    return figure

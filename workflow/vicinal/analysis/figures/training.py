"""Training curves: loss and validation accuracy of teachers and students, epoch by epoch."""

from itertools import cycle

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("history",)
MISSING = "No model of the main comparison has a training history."
METRICS = {"loss": "Training loss (nats)", "validation_accuracy": "Validation accuracy (%)"}


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, min, max and n over seeds of loss (nats) and validation accuracy (%) by model and epoch.

    Teachers (trained without mixup) have their name in ``teacher`` and no ``student``.
    """
    table = tables["history"]
    shown, teachers = runs.main_panels(table), runs.plain_teachers(runs.models_of(table))
    teachers = teachers.assign(
        teacher=teachers["model"], student=None, method=style.TEACHER, alpha=shown["alpha"].max()
    )
    members = pd.concat([teachers[list(shown)], shown[shown["method"] != style.TEACHER]], ignore_index=True)
    values = runs.with_values(members, table, ["epoch", *METRICS])
    values["validation_accuracy"] = 100 * values["validation_accuracy"].astype(float)
    values = values.melt([*shown, "epoch"], list(METRICS), "metric").dropna(subset="value")
    means = runs.over_seeds(values)
    return means.assign(unit=means["metric"].map({"loss": "nat", "validation_accuracy": "%"}))


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a row for the teachers and one for each pair, a column a metric, and its caption."""
    students = data[data["student"].notna()]
    teachers = sorted(data.loc[data["student"].isna(), "teacher"].unique(), key=style.natural)
    shown = ({"Teachers": data[data["student"].isna()]} if teachers else {}) | runs.by_pair(students)
    # From dark to light, which also tells the teachers apart in grey.
    colours = dict(zip(teachers, sns.color_palette("viridis", len(teachers)), strict=True))
    dashes = dict(zip(teachers, cycle(("", (3, 1.5), (1, 1), (5, 1.5, 1, 1.5)))))
    look = {"palette": style.COLOURS | colours, "dashes": style.DASHES | dashes}
    markers = style.MARKERS | dict.fromkeys(teachers, "o")

    def panel(ax: Axes, rows: pd.DataFrame) -> None:
        rows = rows.assign(method=rows["method"].where(rows["student"].notna(), rows["teacher"]))
        many = rows["epoch"].nunique() > 1  # a line of one point would not be seen
        panels.lines(ax, rows, "epoch", ends=("min", "max"), markers=not many and markers, **look)

    figure = panels.facets(shown, panel, "Epoch", columns=METRICS, sharex="row", sharey="col")
    figure.axes[0].set_yscale("log")
    panels.log_ticks(figure.axes[0].yaxis, *figure.axes[0].get_ylim())
    entries = [
        Line2D([], [], label=f"Teacher {name}", color=colours[name], linestyle=(0, dashes[name] or None))
        for name in teachers
    ]
    style.legend_below(figure, entries + style.handles(students["method"], plain=style.METHODS), columns=4)
    last = data[data["metric"] == "validation_accuracy"].drop_duplicates(runs.PANEL, keep="last")
    what = ("last validation accuracy", ".1f", " %")
    spread = f"Lines and bands: mean, and lowest to highest seed, {sentences.seeds(data['n'])}."
    return figure, (
        f"{sentences.each_pair(last, sentences.by_method, *what)}\nTraining curves: mean loss of each epoch "
        "(logarithmic axis) and validation accuracy where it was measured, of the teachers and of the students. The "
        "loss of the teachers, CE and CE + mixup is the cross-entropy, that of KD and KD + mixup T²·KL(teacher ‖ "
        "student), with its weight, plus the weighted cross-entropy if there is one; their levels do not compare. "
        f"{sentences.trained(data)}{spread if data['n'].max() > 1 else 'One seed: no spread is shown.'}"
    )

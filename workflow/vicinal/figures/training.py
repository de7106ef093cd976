"""Training curves: loss and validation accuracy of teachers and students, epoch by epoch."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogFormatter

from vicinal.figures import runs, style

TABLES = ("history",)
CAPTION = (
    "Training curves: mean loss of each epoch (logarithmic axis) and validation accuracy where it was measured, of the "
    "teachers and of the students. The loss of the teachers, CE and CE + mixup is the cross-entropy, that of KD and "
    "KD + mixup T²·KL(teacher ‖ student), with its weight, plus the weighted cross-entropy if there is one; their "
    "levels do not compare. {pairs}{distilled}{mixup}{spread}"
)
MISSING = "No model of the main comparison has a training history."
ROWS = {"loss": "Training loss (nats)", "validation_accuracy": "Validation accuracy (%)"}


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, min, max and n over seeds of loss (nats) and validation accuracy (%) by model and epoch.

    Teachers (trained without mixup) have their name in ``teacher`` and no ``student``; students have both names of
    their pair's panel.
    """
    models = runs.models_of(tables["history"])
    teachers = runs.plain_teachers(models)
    shown = runs.main_panels(models)
    members = pd.concat(
        [
            teachers.assign(teacher=teachers["model"], student=None, method=style.TEACHER, temperature=None),
            shown[shown["method"] != style.TEACHER],
        ],
        ignore_index=True,
    )[shown.columns]
    values = runs.with_values(members, tables["history"], ["epoch", *ROWS])
    values["validation_accuracy"] = 100 * values["validation_accuracy"].astype(float)
    values = values.melt([*runs.PANEL, "seed", "epoch"], list(ROWS), "metric").dropna(subset="value")
    table = runs.over_seeds(values, [*runs.PANEL, "metric", "epoch"])
    table["unit"] = table["metric"].map({"loss": "nat", "validation_accuracy": "%"})
    return table.assign(alpha=runs.mixup_alpha(runs.main_students(models)))


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    if not len(data):
        return MISSING
    n = runs.seeds_text(data["n"])
    spread = f"Lines and bands: mean, and lowest to highest seed, {n}."
    if data["n"].max() == 1:
        spread = "One seed: no spread is shown."
    return runs.fill_caption(CAPTION, data, spread=spread)


@style.styled
def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row each for loss and validation accuracy, a column for teachers and one for each pair."""
    if not len(data):
        return style.message(MISSING)
    of_teachers = data["student"].isna()
    columns = [("Teachers", data[of_teachers])] if of_teachers.any() else []
    of_students = data[~of_teachers]
    columns += [(style.pair_title(*pair), runs.of_pair(of_students, pair)) for pair in runs.pairs_in(of_students)]
    width = style.PAGE if len(columns) > 1 else style.COLUMN
    figure = Figure(figsize=(width, 4.2))
    grid = figure.subplots(len(ROWS), len(columns), sharex="col", sharey="row", squeeze=False)
    looks = _teacher_looks(sorted(data.loc[of_teachers, "teacher"].unique(), key=style.natural))
    for (title, rows), axes in zip(columns, grid.T, strict=True):
        for ax, metric in zip(axes, ROWS, strict=True):
            _panel(ax, rows[rows["metric"] == metric], looks)
        axes[0].set_title(title)
        axes[-1].set_xlabel("Epoch")
    grid[0, 0].set_yscale("log")
    grid[0, 0].yaxis.set_major_formatter(FuncFormatter("{:g}".format))
    grid[0, 0].yaxis.set_minor_formatter(LogFormatter())
    for ax, label in zip(grid[:, 0], ROWS.values(), strict=True):
        ax.set_ylabel(label)
    figure.align_ylabels()
    handles = [Line2D([], [], label=f"Teacher {name}", **look) for name, look in looks.items()]
    handles += [style.handle(method, marker=False) for method in style.ordered(of_students["method"])]
    style.legend_below(figure, handles, columns=4)
    return figure


def _teacher_looks(names: list[str]) -> dict[str, dict]:
    """Return colour and line style of each teacher: from dark to light, which also tells them apart in grey."""
    shades = matplotlib.colormaps["cividis"](np.linspace(0.0, 0.85, len(names)))
    styles = ("-", "--", "-.", ":")
    return {
        name: {"color": tuple(shade), "linestyle": styles[i % len(styles)]}
        for i, (name, shade) in enumerate(zip(names, shades, strict=True))
    }


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, dict]) -> None:
    if not len(rows):
        return
    for _, own in rows.groupby(["teacher", "method"], sort=False, dropna=False):
        method, teacher = own["method"].iloc[0], own["teacher"].iloc[0]
        look = looks[teacher] if method == style.TEACHER else style.line(method, marker=False)
        marker = "o" if len(own) == 1 else None  # a line of one point would not be seen
        ax.plot(own["epoch"], own["mean"], **look, marker=marker)
        ax.fill_between(own["epoch"], own["min"], own["max"], color=look["color"], alpha=0.2, linewidth=0)

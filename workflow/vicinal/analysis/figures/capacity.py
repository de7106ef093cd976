"""Does a bigger teacher make a better student? Student against teacher, one point a teacher."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("metrics",)
CAPTION = (
    "Test accuracy of students against {size}the test accuracy of the teacher that they learned from{right}; one point "
    "a teacher, named at the top; lines join them from left to right. Horizontal lines: the same student without a "
    "teacher (with band). {distilled}{mixup}{interval}"
)
MISSING = "No student was distilled from two teachers trained without mixup at one temperature."
SIZE, ACCURACY = "teacher_parameters", "teacher_mean"
AXES = {SIZE: "Teacher's parameters (millions)", ACCURACY: "Teacher accuracy (%)"}
ALONE = ("ce", "ce_mixup")
ENDS = ("mean", "low", "high")
GAP = 0.08  # between names of teachers, as a share of the axis


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds, in %, of the student's accuracy by student, teacher and method.

    Columns teacher_mean, teacher_low, teacher_high and teacher_n: the teacher's test accuracy; teacher_parameters: how
    many it has, NaN in tables of older code. All are NaN for students without a teacher. Only students with two
    teachers at one temperature, the one nearest to 2, are in it.
    """
    metrics = tables["metrics"]
    models = runs.models_of(metrics)
    students = runs.main_students(models)
    members = _members(models, students)
    values = runs.scores(members, metrics, ["accuracy"])
    of_teacher = values["method"] == style.TEACHER
    scores = runs.over_seeds(values[~of_teacher], runs.PANEL)
    teachers = runs.over_seeds(values[of_teacher], ["teacher", "student"])
    teachers = teachers.set_index(["teacher", "student"])[[*ENDS, "n"]].add_prefix("teacher_").reset_index()
    sizes = metrics[(metrics["split"] == "test") & (metrics["metric"] == "parameters")].set_index("model_id")["value"]
    names = members[members["method"] == style.TEACHER].drop_duplicates("teacher").set_index("teacher")["model_id"]
    teachers[SIZE] = teachers["teacher"].map(names).map(sizes).astype(float)
    scores = scores.merge(teachers, on=["teacher", "student"], how="left")
    return scores.assign(unit="%", alpha=runs.mixup_alpha(students))


def _members(models: pd.DataFrame, students: pd.DataFrame) -> pd.DataFrame:
    """Return the models of ``data``; the student without a teacher is there once, with no teacher."""
    taught = students[students["teacher"].isin(runs.plain_teachers(models)["model"])]
    teachers = taught.groupby(["model", "temperature"])["teacher"].nunique()
    several = teachers[teachers > 1].reset_index().groupby("model")["temperature"]
    chosen = several.agg(runs.nearest_temperature).to_dict()
    compared = taught[taught["temperature"] == taught["model"].map(chosen)]
    wanted = [(pair, [chosen[pair.student]]) for pair in runs.pairs_of(compared)]
    members = runs.panel_models(models, students, wanted)
    members.loc[members["method"].isin(ALONE), "teacher"] = None
    return members.drop_duplicates(["teacher", "student", "method", "model_id"])


def takeaway(data: pd.DataFrame) -> str:
    """Return the caption's first sentence: the best and the worst teacher of each student."""
    found = {}
    for (student, method), rows in data[~data["method"].isin(ALONE)].groupby(["student", "method"], sort=False):
        ends = [rows.loc[rows["mean"].idxmax()], rows.loc[rows["mean"].idxmin()]]
        best, worst = (f"{row['teacher']} ({row['mean']:.1f} %)" for row in ends)
        found[f"{student}, {style.LABELS[method]}"] = f"best with teacher {best}, worst with {worst}"
    return sentences.each(found)


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    sized = data[SIZE].notna().any()
    size = "the number of parameters (left, log axis) and " if sized else ""
    return runs.fill_caption(CAPTION, data, size=size, right=" (right)" if sized else "")


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row a student, a column what is on the x axis."""
    shown = {f"Student {student}": rows for student, rows in data.groupby("student", sort=False)}
    longest = data["teacher"].dropna().str.len().max()
    heights = [1.9 + 0.04 * longest] * len(shown)
    columns = {name: label for name, label in AXES.items() if data[name].notna().any()}
    labels = ["Student accuracy (%)"] + [""] * (len(columns) - 1)
    figure, axes = panels.grid(shown, labels, "", heights, sharey="row")
    for row, rows in zip(axes, shown.values(), strict=True):
        for ax, x in zip(row, columns, strict=True):
            _panel(ax, rows, x)
        panels.percent(row[0], "y")
    for ax, label in zip(axes[-1], columns.values(), strict=True):
        ax.set_xlabel(label)
    for ax in axes[:, 0]:  # above the names, which slope up by about 3 pt a letter
        ax.set_title(ax.get_title(loc="left"), loc="left", pad=14 + 3 * longest)
    style.legend_below(figure, style.handles(data["method"], plain=ALONE))
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, x: str) -> None:
    alone = rows["method"].isin(ALONE)
    panels.levels(ax, rows[alone])
    points = rows[~alone].rename(columns={end: f"{end}_y" for end in ENDS})
    points = points.assign(**{f"{end}_x": points[f"teacher_{end}"] for end in ENDS})
    if x == SIZE:
        points = points.assign(mean_x=points[SIZE] / 1e6, low_x=np.nan, high_x=np.nan)
        ax.set_xscale("log")
    points = points.dropna(subset="mean_x").sort_values("mean_x")
    for method, own in points.groupby("method"):
        panels.crosses(ax, own, method)
    ax.margins(x=0.08)
    if x == SIZE:
        panels.log_ticks(ax.xaxis, *ax.get_xlim())
    else:
        panels.percent(ax, "x")
    _name_teachers(ax, points.drop_duplicates("teacher"))


def _name_teachers(ax: Axes, teachers: pd.DataFrame) -> None:
    """Write the teachers' names along the top edge, each tied to the x of its points."""
    ends = ax.transAxes.inverted().transform(ax.transData.transform([(x, 0) for x in teachers["mean_x"]]))
    places = ends[:, 0]
    # From above their points so far towards even places that they are not on each other.
    gaps, even = np.diff(places), 0.9 / max(1, len(places) - 1)
    moved = ((GAP - gaps) / (even - gaps))[gaps < GAP].max(initial=0) if even > GAP else 1
    labels = places + moved * (even * np.arange(len(places)) - places)
    tie = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0}
    for name, x, label in zip(teachers["teacher"], places, labels, strict=True):
        where = {"xy": (x, 1.0), "xytext": (label, 1.08), "xycoords": "axes fraction", "ha": "left", "va": "center"}
        ax.annotate(name, **where, rotation=45, rotation_mode="anchor", arrowprops=tie)

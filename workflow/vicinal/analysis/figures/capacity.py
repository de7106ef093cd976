"""Does a bigger teacher make a better student? Student against teacher, one point a teacher."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("metrics",)
MISSING = "No student was distilled from two teachers trained without mixup at one temperature."
SIZE, ACCURACY = "teacher_parameters", "teacher_mean"
AXES = {SIZE: "Teacher's parameters (millions)", ACCURACY: "Teacher accuracy (%)"}
GAP = 0.08  # between names of teachers, as a share of the axis


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds, in %, of the student's accuracy by student, teacher and method.

    Of students with two teachers at one temperature, the one nearest to 2. teacher_mean, teacher_low, teacher_high and
    teacher_n: the teacher's test accuracy; teacher_parameters: how many it has. NaN without a teacher.
    """
    metrics = tables["metrics"]
    members = runs.all_panels(runs.models_of(metrics))
    members = members[members["teacher"].isin(members.loc[members["method"] == style.TEACHER, "teacher"])]
    teachers = members.groupby(["student", "temperature"])["teacher"].nunique()
    several = teachers[teachers > 1].reset_index().groupby("student")["temperature"]
    chosen = members["student"].map(several.agg(runs.nearest_temperature))
    members = members[members["temperature"].isna() | (members["temperature"] == chosen)]
    members = members[members.groupby(runs.PAIR)["temperature"].transform("nunique") > 0]
    members.loc[members["method"].isin(style.ALONE[1:]), "teacher"] = None  # once for all teachers
    members = members.drop_duplicates([*runs.PANEL, "model_id"])
    scores = runs.over_seeds(runs.scores(members, metrics, ["accuracy"]).drop(columns="metric"))
    of_teacher = scores["method"] == style.TEACHER
    own = scores[of_teacher].set_index(runs.PAIR)[["mean", "low", "high", "n"]].add_prefix("teacher_").reset_index()
    parameters = metrics[(metrics["split"] == "test") & (metrics["metric"] == "parameters")]
    sizes = runs.with_values(members[members["method"] == style.TEACHER], parameters, ["value"])
    own[SIZE] = own["teacher"].map(sizes.drop_duplicates("teacher").set_index("teacher")["value"]).astype(float)
    return scores[~of_teacher].merge(own, on=runs.PAIR, how="left").assign(unit="%")


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a row a student and a column what is on the x axis, and its caption."""
    sized = data[SIZE].notna().any()
    columns = {SIZE: "Student accuracy (%)", ACCURACY: ""} if sized else {ACCURACY: "Student accuracy (%)"}
    twice = pd.concat([data.assign(axis=name) for name in columns])
    shown = {f"Student {student}": rows for student, rows in twice.groupby("student", sort=False)}
    longest = data["teacher"].dropna().str.len().max()  # names slope up by about 3 pt a letter, below the title
    options = {"columns": columns, "by": "axis", "height": 1.9 + 0.04 * longest, "sharey": "row"}
    figure = panels.facets(shown, _panel, **options)
    for ax in figure.axes:
        panels.clip(ax, "y")
        ax.set_title(ax.get_title(loc="left"), loc="left", pad=14 + 3 * longest)
    for ax, name in zip(figure.axes[-len(columns) :], columns, strict=True):
        ax.set_xlabel(AXES[name])
    style.legend_below(figure, style.handles(data["method"], plain=style.ALONE))
    return figure, (
        f"{_best(data)}\nTest accuracy of students against "
        f"{'the number of parameters (left, log axis) and ' if sized else ''}the test accuracy of the teacher that "
        f"they learned from{' (right)' if sized else ''}; one point a teacher, named at the top; lines join them from "
        "left to right. Horizontal lines: the same student without a teacher (with band). "
        f"{sentences.trained(data, pairs=False)}{sentences.interval(data['n'])}"
    )


def _best(data: pd.DataFrame) -> str:
    found = {}
    for (student, method), rows in data.dropna(subset="teacher").groupby(["student", "method"], sort=False):
        ends = [rows.loc[rows["mean"].idxmax()], rows.loc[rows["mean"].idxmin()]]
        best, worst = (f"{row['teacher']} ({row['mean']:.1f} %)" for row in ends)
        found[f"{student}, {style.LABELS[method]}"] = f"best with teacher {best}, worst with {worst}"
    return sentences.each(found)


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    alone, sized = rows["method"].isin(style.ALONE), (rows["axis"] == SIZE).any()
    panels.levels(ax, rows[alone])
    ends = {name: f"{name}_y" for name in ("mean", "low", "high")}
    points = rows[~alone].rename(columns=ends | {f"teacher_{name}": f"{name}_x" for name in ends})
    if sized:
        points = points.assign(mean_x=points[SIZE] / 1e6, low_x=np.nan, high_x=np.nan)
        ax.set_xscale("log")
    points = points.dropna(subset="mean_x").sort_values("mean_x")
    for method, own in points.groupby("method"):
        panels.crosses(ax, own, method)
    ax.margins(x=0.08)
    if sized:
        panels.log_ticks(ax.xaxis, *ax.get_xlim())
    else:
        panels.clip(ax, "x")
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

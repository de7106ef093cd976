"""Does a better teacher make a better student? Student against teacher, one point a teacher."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicinal.analysis.figures import panels, runs, style

TABLES = ("metrics",)
CAPTION = (
    "Test accuracy and expected calibration error (ECE, 15 bins, at T = 1) of students against the test accuracy of "
    "the teacher that they learned from; one point a teacher, named at the top. Horizontal lines: the same student "
    "without a teacher (with band). {distilled}{mixup}{interval}"
)
MISSING = "No student was distilled from two teachers trained without mixup at one temperature."
METRICS = {"accuracy": "Student accuracy (%)", "ece": "Student ECE (%)"}
ALONE = ("ce", "ce_mixup")
ENDS = ("mean", "low", "high")
GAP = 0.08  # between names of teachers, as a share of the axis


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds, in %, of student metrics by student, teacher and method.

    Columns teacher_mean, teacher_low, teacher_high and teacher_n: the teacher's test accuracy; NaN for students without
    a teacher. Only students with two teachers at one temperature, the one nearest to 2, are in it.
    """
    models = runs.models_of(tables["metrics"])
    students = runs.main_students(models)
    values = runs.scores(_members(models, students), tables["metrics"], METRICS)
    of_teacher = values["method"] == style.TEACHER
    scores = runs.over_seeds(values[~of_teacher], [*runs.PANEL, "metric"])
    teachers = runs.over_seeds(values[of_teacher & (values["metric"] == "accuracy")], ["teacher", "student"])
    teachers = teachers.set_index(["teacher", "student"])[[*ENDS, "n"]].add_prefix("teacher_").reset_index()
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


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    return runs.fill_caption(CAPTION, data)


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row a student, a column a metric."""
    shown = {f"Student {student}": rows for student, rows in data.groupby("student", sort=False)}
    longest = data["teacher"].dropna().str.len().max()
    heights = [1.9 + 0.04 * longest] * len(shown)
    figure, axes = panels.grid(shown, METRICS.values(), "Teacher accuracy (%)", heights)
    for ax, rows in panels.cells(axes, shown, "metric", METRICS):
        _panel(ax, rows)
        _name_teachers(ax, rows)
    for ax in axes[:, 0]:  # above the names, which slope up by about 3 pt a letter
        ax.set_title(ax.get_title(loc="left"), loc="left", pad=14 + 3 * longest)
    figure.align_ylabels()
    style.legend_below(figure, style.handles(data["method"], plain=ALONE))
    return figure


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    alone = rows["method"].isin(ALONE)
    panels.levels(ax, rows[alone])
    names = {f"{prefix}{end}": f"{end}_{axis}" for prefix, axis in (("teacher_", "x"), ("", "y")) for end in ENDS}
    for method, own in rows[~alone].rename(columns=names).sort_values("mean_x").groupby("method"):
        panels.crosses(ax, own, method)
    ax.margins(x=0.08)
    panels.percent(ax, "xy")


def _name_teachers(ax: Axes, rows: pd.DataFrame) -> None:
    """Write the teachers' names along the top edge, each tied to the x of its points."""
    teachers = rows.dropna(subset="teacher_mean").drop_duplicates("teacher").sort_values("teacher_mean")
    left, right = ax.get_xlim()
    places = (teachers["teacher_mean"].to_numpy() - left) / (right - left)
    # From above their points so far towards even places that they are not on each other.
    gaps, even = np.diff(places), 0.9 / max(1, len(places) - 1)
    moved = ((GAP - gaps) / (even - gaps))[gaps < GAP].max(initial=0) if even > GAP else 1
    labels = places + moved * (even * np.arange(len(places)) - places)
    tie = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0}
    for name, x, label in zip(teachers["teacher"], places, labels, strict=True):
        where = {"xy": (x, 1.0), "xytext": (label, 1.08), "xycoords": "axes fraction", "ha": "left", "va": "center"}
        ax.annotate(name, **where, rotation=45, rotation_mode="anchor", arrowprops=tie)

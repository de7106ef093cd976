"""Does a better teacher make a better student? Student against teacher, one point a teacher."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vicinal.figures import panels, runs, style

TABLES = ("metrics",)
CAPTION = (
    "Test accuracy and expected calibration error (ECE, 15 bins, at T = 1) of students against the test accuracy of "
    "the teacher that they learned from; one point a teacher, named at the top. Horizontal lines: the same student "
    "without a teacher (with band). {distilled}{mixup}{interval}"
)
MISSING = "No student was distilled from two teachers trained without mixup at one temperature."
ROWS = {"accuracy": "Student accuracy (%)", "ece": "Student ECE (%)"}
COLUMNS = 2  # panels side by side; more students go below
ALONE = ("ce", "ce_mixup")


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds, in %, of student metrics by student, teacher and method.

    Columns teacher_mean, teacher_low, teacher_high and teacher_n: the teacher's test accuracy; NaN for students without
    a teacher. Only students with two teachers at one temperature, the one nearest to 2, are in it.
    """
    models = runs.models_of(tables["metrics"])
    students = runs.main_students(models)
    members = _members(models, students)
    table = tables["metrics"]
    table = table[(table["split"] == "test") & table["metric"].isin(list(ROWS))]
    values = runs.with_values(members, table, ["metric", "value"])
    values["value"] = 100 * values["value"].astype(float)
    of_teacher = values["method"] == style.TEACHER
    scores = runs.over_seeds(values[~of_teacher], [*runs.PANEL, "metric"])
    teachers = runs.over_seeds(values[of_teacher & (values["metric"] == "accuracy")], ["teacher", "student"])
    renamed = {name: f"teacher_{name}" for name in ("mean", "low", "high", "n")}
    teachers = teachers.rename(columns=renamed)[["teacher", "student", *renamed.values()]]
    scores = scores.merge(teachers, on=["teacher", "student"], how="left")
    return scores.assign(unit="%", alpha=runs.mixup_alpha(students))


def _members(models: pd.DataFrame, students: pd.DataFrame) -> pd.DataFrame:
    """Return the models of ``data``; the student without a teacher is there once, with no teacher."""
    trained = set(runs.plain_teachers(models)["model"])
    wanted = []
    for student in dict.fromkeys(pair.student for pair in runs.pairs_of(students)):
        pairs = [pair for pair in runs.pairs_of(students) if pair.student == student and pair.teacher in trained]
        by_temperature: dict[str, list[runs.Pair]] = {}
        for pair in pairs:
            for temperature in runs.temperatures(students, pair):
                by_temperature.setdefault(temperature, []).append(pair)
        chosen = runs.nearest_temperature(t for t, found in by_temperature.items() if len(found) > 1)
        if chosen:
            wanted += [(pair, [chosen]) for pair in by_temperature[chosen]]
    members = runs.panel_models(models, students, wanted)
    members.loc[members["method"].isin(ALONE), "teacher"] = None
    return members.drop_duplicates(["teacher", "student", "method", "model_id"])


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature and the seeds of this figure."""
    return runs.fill_caption(CAPTION, data) if len(data) else MISSING


@style.styled
def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a row a metric, a column a student."""
    if not len(data):
        return style.message(MISSING)
    students = list(dict.fromkeys(data["student"]))
    figure, grid = panels.wrapped(len(students), COLUMNS, head=0.0, height=0.8 + 1.7 * len(ROWS), rows=len(ROWS))
    for axes, student in zip(grid, students, strict=True):
        own = data[data["student"] == student]
        for ax, metric in zip(axes, ROWS, strict=True):
            _panel(ax, own[own["metric"] == metric])
            ax.set_ylabel(ROWS[metric])
            ax.tick_params(labelbottom=ax is axes[-1])
        _name_teachers(axes[0], own[own["metric"] == next(iter(ROWS))])
        # Above the names, which slope up by about 3 pt a letter.
        axes[0].set_title(f"Student {student}", pad=14 + 3 * data["teacher"].dropna().str.len().max())
        axes[-1].set_xlabel("Teacher accuracy (%)")
    figure.align_ylabels()
    style.legend_below(figure, [style.handle(m, m not in ALONE) for m in style.ordered(data["method"])])
    return figure


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    for method in style.ordered(rows["method"]):
        own = rows[rows["method"] == method].sort_values("teacher_mean")
        look = style.line(method, method not in ALONE)
        if method in ALONE:
            ax.axhline(own["mean"].iloc[0], **look, zorder=1.5)
            if own["n"].iloc[0] > 1:
                ax.axhspan(own["low"].iloc[0], own["high"].iloc[0], color=look["color"], alpha=0.15, linewidth=0)
            continue
        reach = {
            axis: None if np.isnan(half).all() else half
            for axis, half in {
                "xerr": ((own["teacher_high"] - own["teacher_low"]) / 2).to_numpy(),
                "yerr": ((own["high"] - own["low"]) / 2).to_numpy(),
            }.items()
        }
        ax.errorbar(own["teacher_mean"], own["mean"], **reach, **look, capsize=2, elinewidth=0.6)
    ax.margins(x=0.08)


def _name_teachers(ax: Axes, rows: pd.DataFrame) -> None:
    """Write the teachers' names along the top edge, spread so that none overlap, each tied to its point's x."""
    teachers = rows.dropna(subset="teacher_mean").drop_duplicates("teacher")
    left, right = ax.get_xlim()
    at = (teachers["teacher_mean"].to_numpy() - left) / (right - left)
    labels = style.spread(at, gap=0.07, low=0.02, high=0.98)
    for name, x, label in zip(teachers["teacher"], at, labels, strict=True):
        ax.annotate(
            name,
            xy=(x, 1.0),
            xytext=(label, 1.08),
            xycoords="axes fraction",
            rotation=45,
            rotation_mode="anchor",
            ha="left",
            va="center",
            arrowprops={"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0},
        )

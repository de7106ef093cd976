"""Is calibration inherited? The student's confidence gap against that of its teacher with scaled logits."""

from functools import partial
from itertools import cycle

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from vicinal.analysis.figures import panels, runs, sentences, style
from vicinal.words import number

TABLES = ("metrics",)
MISSING = "No student was distilled with mixup from a teacher trained without mixup at three logit scales."
SCALES = 3  # a pair with fewer logit scales is left out
MARKERS = ("v", "s", "o", "D", "^", "P", "X")
GAP, SCALED = "confidence_gap", "confidence_gap_c"
DIAGONAL = {"color": "0.3", "linestyle": "--", "linewidth": 0.8}


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a student, of each pair at the temperature nearest to 2 with at least ``SCALES`` logit scales.

    teacher_gap and student_gap are in pp, accuracy is that of the student in %.
    """
    metrics = tables["metrics"]
    models = runs.models_of(metrics)
    # Logit scales are what is varied here: they do not make a student a variant.
    alike = models.assign(logit_scale=models["logit_scale"].where(models["logit_scale"].isna(), 1.0))
    students = models.loc[runs.main_students(alike).index].rename(columns={"model": "student"})
    students = students[(students["method"] == "kd_mixup") & (students["temperature"] != "std")]
    for metric, name in {GAP: "student_gap", "accuracy": "accuracy"}.items():
        students = runs.scores(students, metrics, [metric]).drop(columns="metric").rename(columns={"value": name})
    scales = {name: float(name.removeprefix(SCALED)) for name in set(metrics["metric"]) if name.startswith(SCALED)}
    scales |= {GAP: 1.0}
    teachers = runs.scores(runs.plain_teachers(models)[["model_id", "model", "seed"]], metrics, scales)
    teachers = teachers.assign(logit_scale=teachers["metric"].map(scales).astype(float)).drop(
        columns=["model_id", "metric"]
    )
    teachers = teachers.rename(columns={"model": "teacher", "seed": "teacher_seed", "value": "teacher_gap"})
    found = students.merge(teachers, on=["teacher", "logit_scale"])
    # A given teacher, which has no seed, is that of every seed.
    found = found[found["teacher_seed"].isna() | (found["teacher_seed"] == found["seed"])].astype({"seed": "int64"})
    found = found[found.groupby([*runs.PAIR, "temperature"])["logit_scale"].transform("nunique") >= SCALES]
    nearest = found.groupby(runs.PAIR)["temperature"].transform(runs.nearest_temperature)
    found = runs.in_order(found[found["temperature"] == nearest].sort_values(["seed", "logit_scale"]))
    return found[[*runs.PAIR, "temperature", "logit_scale", "seed", "teacher_gap", "student_gap", "accuracy", "alpha"]]


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a panel a pair and one scale of colours for all, and its caption."""
    shown = runs.by_pair(data)
    low, high = data["accuracy"].min(), data["accuracy"].max()
    short = max(0.0, 1.0 - (high - low)) / 2  # colours span at least one point
    shades = ScalarMappable(Normalize(low - short, high + short), "viridis_r")
    markers = dict(zip(sorted(data["logit_scale"].unique()), cycle(MARKERS)))
    look = {"color": "0.3", "linestyle": "none"}
    legend = [Line2D([], [], marker=marker, label=f"c = {scale:g}", **look) for scale, marker in markers.items()]
    legend.append(Line2D([], [], label="Equal gaps", **DIAGONAL))
    panel = partial(_panel, norm=shades.norm, markers=markers)
    labels = ("Teacher's confidence gap (pp)", "Student's confidence gap (pp)")
    figure = panels.facets(shown, panel, *labels, height=2.4, sharex=True, sharey=True)
    style.legend_below(figure, legend, columns=len(legend))
    bar = figure.colorbar(shades, ax=figure.axes, label="Student accuracy (%)", aspect=30, pad=0.02)
    bar.outline.set_linewidth(0.6)

    n = data.groupby([*runs.PAIR, "logit_scale"])["seed"].nunique()
    temperatures = sorted(data["temperature"].unique(), key=runs.position)
    return figure, (
        f"{sentences.each_pair(data, _correlation)}\nConfidence gap (mean confidence − accuracy on the test split, in "
        "percentage points, pp) of students of KD + mixup against that of their own teacher, its logits multiplied by "
        "c as the student sees them before the distillation temperature (gaps at T = 1); the teacher's answers do not "
        f"depend on c. One point a student, {'one seed' if n.max() == 1 else f'all seeds ({sentences.seeds(n)})'}; "
        "lines join the values of c of one seed; colour: test accuracy of the student; dashed: equal gaps. Distilled "
        f"at T = {' or '.join(temperatures)}. Mixup with α = {data['alpha'].iloc[0]:g}."
    )


def _correlation(rows: pd.DataFrame) -> str:
    r = rows["teacher_gap"].corr(rows["student_gap"])
    return "" if pd.isna(r) else f"Pearson correlation of the gaps of teacher and student {number(r, '.2f')}"


def _panel(ax: Axes, rows: pd.DataFrame, norm: Normalize, markers: dict[float, str]) -> None:
    gaps = {"data": rows, "x": "teacher_gap", "y": "student_gap", "ax": ax, "legend": False}
    ax.axline((0, 0), slope=1, **DIAGONAL, zorder=1)
    sns.lineplot(**gaps, units="seed", estimator=None, sort=False, color="0.6", linewidth=0.7, zorder=1.5)
    look = {"style": "logit_scale", "markers": markers, "s": 22, "edgecolor": "0.2", "linewidth": 0.4, "zorder": 3}
    sns.scatterplot(**gaps, **look, hue="accuracy", hue_norm=norm, palette="viridis_r")

"""Is calibration inherited? The student's confidence gap against that of its teacher with scaled logits."""

from itertools import cycle

import pandas as pd
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vicinal.analysis.figures import panels, runs, sentences
from vicinal.words import number

TABLES = ("metrics",)
CAPTION = (
    "Confidence gap (mean confidence − accuracy on the test split, in percentage points, pp) of students of KD + mixup "
    "against that of their own teacher, its logits multiplied by c as the student sees them before the distillation "
    "temperature (gaps at T = 1); the teacher's answers do not depend on c. One point a student, {seeds}; lines "
    "join the values of c of one seed; colour: test accuracy of the student; dashed: equal gaps. Distilled at "
    "T = {temperature}. Mixup with α = {alpha:g}."
)
MISSING = "No student was distilled with mixup from a teacher trained without mixup at three logit scales."
SCALES = 3  # a pair with fewer logit scales is left out
METRICS = {"confidence_gap": "student_gap", "accuracy": "accuracy"}
MARKERS = ("v", "s", "o", "D", "^", "P", "X")
KEYS = ["teacher", "student", "temperature", "logit_scale", "seed"]


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a student.

    Columns: teacher, student, temperature, logit_scale, seed, teacher_gap and student_gap (pp), accuracy (of the
    student, %) and alpha. Of each pair the temperature nearest to 2 with at least ``SCALES`` logit scales.
    """
    table = tables["metrics"]
    models = runs.models_of(table)
    # Logit scales are what is varied here: they do not make a student a variant.
    alike = models.assign(logit_scale=models["logit_scale"].where(models["logit_scale"].isna(), 1.0))
    students = models.loc[runs.main_students(alike).index]
    students = students[(students["method"] == "kd_mixup") & (students["temperature"] != "std")]
    students = students.rename(columns={"model": "student"})[[*KEYS, "model_id", "alpha"]]
    values = table[table["split"] == "test"].astype({"metric": object, "model_id": object})
    for metric, name in METRICS.items():
        own = values.loc[values["metric"] == metric, ["model_id", "value"]]
        students = students.merge(own.rename(columns={"value": name}), on="model_id")
    found = students.merge(_teacher_gaps(models, values), on=["teacher", "logit_scale"])
    # A given teacher, which has no seed, is that of every seed.
    found = found[found["teacher_seed"].isna() | (found["teacher_seed"] == found["seed"])].astype({"seed": "int64"})
    result = _enough(found)
    gaps = ["teacher_gap", "student_gap", "accuracy"]
    result[gaps] = 100 * result[gaps].astype(float)
    return result[[*KEYS, *gaps, "alpha"]]


def _teacher_gaps(models: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Return teacher_gap by teacher, teacher_seed and logit_scale."""
    teachers = runs.plain_teachers(models)[["model_id", "model", "seed"]]
    teachers = teachers.rename(columns={"model": "teacher", "seed": "teacher_seed"})
    prefix = "confidence_gap_c"
    scaled = values[values["metric"].str.startswith(prefix)]
    scaled = scaled.assign(logit_scale=scaled["metric"].str.removeprefix(prefix).astype(float))
    plain = values[values["metric"] == "confidence_gap"].assign(logit_scale=1.0)
    gaps = pd.concat([scaled[scaled["logit_scale"] != 1], plain])
    gaps = gaps[["model_id", "logit_scale", "value"]].rename(columns={"value": "teacher_gap"})
    return teachers.merge(gaps, on="model_id").drop(columns="model_id")


def _enough(students: pd.DataFrame) -> pd.DataFrame:
    """Return the students of each pair at one temperature, with at least ``SCALES`` logit scales, in order."""
    pair = ["teacher", "student"]
    scales = students.groupby([*pair, "temperature"])["logit_scale"].transform("nunique")
    students = students[scales >= SCALES]
    chosen = {key: runs.nearest_temperature(own.unique()) for key, own in students.groupby(pair)["temperature"]}
    wanted = [chosen[key] for key in zip(students["teacher"], students["student"], strict=True)]
    return runs.in_order(students[students["temperature"] == wanted].sort_values(["seed", "logit_scale"]))


@sentences.each_pair
def takeaway(rows: pd.DataFrame) -> str:
    """Return what comes first in the caption, of one pair: the correlation of the gaps."""
    r = rows["teacher_gap"].corr(rows["student_gap"])
    return "" if pd.isna(r) else f"Pearson correlation of the gaps of teacher and student {number(r, '.2f')}"


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the temperature, the mixup strength and the seeds of this figure."""
    n = data.groupby(["teacher", "student", "logit_scale"])["seed"].nunique()
    seeds = "one seed" if n.max() == 1 else f"all seeds ({runs.seeds_text(n)})"
    temperatures = sorted(data["temperature"].unique(), key=runs.position)
    return CAPTION.format(seeds=seeds, temperature=" or ".join(temperatures), alpha=data["alpha"].iloc[0])


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a panel a pair, one scale of colours for all."""
    shown = runs.by_pair(data)
    figure, axes = panels.wrapped(shown, 2.4, "Teacher's confidence gap (pp)", "Student's confidence gap (pp)")
    low, high = data["accuracy"].min(), data["accuracy"].max()
    short = max(0.0, 1.0 - (high - low)) / 2  # colours span at least one point
    shades = ScalarMappable(Normalize(low - short, high + short), "viridis_r")
    markers = dict(zip(sorted(data["logit_scale"].unique()), cycle(MARKERS)))
    colours = {"hue": "accuracy", "hue_norm": shades.norm, "palette": "viridis_r"}
    shapes = {"style": "logit_scale", "markers": markers, "s": 22, "edgecolor": "0.2", "linewidth": 0.4}
    for ax, rows in zip(axes, shown.values(), strict=True):
        ax.axline((0, 0), slope=1, color="0.3", linestyle="--", linewidth=0.8, zorder=1)
        gaps = {"data": rows, "x": "teacher_gap", "y": "student_gap", "ax": ax, "legend": False}
        with panels.own_labels(ax):
            sns.lineplot(**gaps, units="seed", estimator=None, sort=False, color="0.6", linewidth=0.7, zorder=1.5)
            sns.scatterplot(**gaps, **colours, **shapes, zorder=3)
    bar = figure.colorbar(shades, ax=list(axes), label="Student accuracy (%)", aspect=30, pad=0.02)
    bar.outline.set_linewidth(0.6)
    look = {"color": "0.3", "linestyle": "none"}
    entries = [Line2D([], [], marker=marker, label=f"c = {scale:g}", **look) for scale, marker in markers.items()]
    entries.append(Line2D([], [], color="0.3", linestyle="--", linewidth=0.8, label="Equal gaps"))
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries) if len(shown) > 1 else 3)
    return figure

"""Class similarity as a teacher tells it: on clean images, on mixed ones, and on the linear mixture."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from vicinal.analysis.figures import runs, style
from vicinal.evaluation.confusion import KINDS, SIMILARITY_TEMPERATURE
from vicinal.words import number

TABLES = ("similarity", "confusion", "classes")
CAPTION = (
    "Class similarity as teacher {teacher} tells it on the test split at T = {temperature:g}: probability of each "
    "other class (columns; rows add up to 1) for images of a class (rows), mean over seeds ({seeds}). Clean: mean "
    "answer to images of the class. Mixed: answer to a mixed image (λ in 0.45 to 0.55, different classes) over the "
    "classes that are not its sources, with the weight of the source of the row's class; linear mixture: the same of "
    "λ·p(x_i) + (1 − λ)·p(x_j). One logarithmic colour scale; white: diagonal, and what no image bears on. {order} "
    "{below}"
)
BELOW = (
    "Below: Spearman's ρ of the off-diagonal entries with those of the mixed matrix, mean over seeds{interval}, and "
    "the largest p over seeds of the one-sided Mantel permutation test."
)
MISSING = "No teacher trained without mixup has class similarities on mixed images of three or more classes."
LABELS = {"clean": "Clean", "mixed": "Mixed", "linear": "Linear mixture"}
UPRIGHT = 2  # longer names are turned below the matrices
NAMED = 20  # with more classes than this, names on the axes could not be read
CONTRAST = 1000.0  # the colours span at most this ratio


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row an entry of a matrix of the first teacher of the main pairs, mean over seeds.

    Columns: teacher; kind (``clean``, ``mixed``, ``linear``); row and column (labels); of both sides the name, the
    superclass (NaN where there is none) and the place in the order in which classes are drawn (row_name, …); mean and
    n. For kinds clean and linear also rho, rho_low, rho_high, rho_n and p: see the caption.
    """
    models = runs.models_of(tables["confusion"])
    pairs = runs.main_pairs(runs.main_students(models))
    teachers = runs.plain_teachers(models)
    trained = [pair.teacher for pair in pairs if pair.teacher in set(teachers["model"])]
    members = teachers.loc[teachers["model"] == (trained[0] if trained else None), ["model_id", "model"]]
    members = members.rename(columns={"model": "teacher"})
    keys = ["teacher", "kind", "row", "column"]
    values = runs.with_values(members, tables["similarity"], [*keys[1:], "value"])
    if not set(KINDS) <= set(values["kind"]):
        values = values[:0]
    values["value"] = values["value"].astype(float)
    entries = values.groupby(keys, observed=True)["value"].agg(mean="mean", n="count").reset_index()

    classes = _classes(tables["classes"])
    for side in ("row", "column"):
        own = classes.rename(columns=lambda name, side=side: side if name == "label" else f"{side}_{name}")
        entries = entries.merge(own, on=side)
    entries = entries.merge(_tests(members, tables["confusion"]), on=["teacher", "kind"], how="left")
    entries = entries.sort_values(["row_place", "column_place"])
    return entries.sort_values("kind", key=lambda kinds: kinds.map(KINDS.index), kind="stable", ignore_index=True)


def _classes(classes: pd.DataFrame) -> pd.DataFrame:
    """Return label, name, superclass (float) and place of each class: by superclass if all have one, then by label."""
    classes = classes.astype({"label": "int64", "superclass": "float64", "name": object})
    keys = ["label"] if classes["superclass"].isna().any() else ["superclass", "label"]
    classes = classes.sort_values(keys, ignore_index=True)
    return classes.assign(place=np.arange(len(classes)))[["label", "name", "superclass", "place"]]


def _tests(members: pd.DataFrame, confusion: pd.DataFrame) -> pd.DataFrame:
    """Return rho with its interval and n over seeds, and the largest p, by teacher and kind compared with mixed."""
    values = runs.with_values(members, confusion, ["metric", "value"])
    names = {"mean": "rho", "low": "rho_low", "high": "rho_high", "n": "rho_n"}
    parts = []
    for kind in ("clean", "linear"):
        rho = runs.over_seeds(values[values["metric"] == f"spearman_mixed_{kind}"], ["teacher"])
        p = values.loc[values["metric"] == f"mantel_p_mixed_{kind}", "value"].max()  # there is one teacher
        parts.append(rho[["teacher", *names]].rename(columns=names).assign(kind=kind, p=p))
    return pd.concat(parts).astype({"teacher": object, "kind": object} | dict.fromkeys([*names.values(), "p"], float))


def takeaway(data: pd.DataFrame) -> str:
    """Return the caption's first sentence: how alike the matrices are."""

    rho = data.dropna(subset="rho").drop_duplicates("kind").set_index("kind")["rho"]
    values = [f"{LABELS[kind].lower()} ρ = {number(value, '.2f')}" for kind, value in rho.items()]
    return f"Rank correlation with the matrix of mixed inputs: {', '.join(values)}." if values else ""


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the teacher and the seeds of this figure."""
    one = data["n"].max() == 1
    below = BELOW.format(interval=" with its 95 % t-interval" if data["rho_low"].notna().any() else "")
    names = data.drop_duplicates("column").sort_values("column").set_index("column")["column_name"]
    listed = style.class_names(names)[1].rstrip() if len(names) <= NAMED else ""
    parts = [below if data["rho"].notna().any() else "", listed, "One seed: no interval is shown." if one else ""]
    return CAPTION.format(
        teacher=data["teacher"].iloc[0],
        temperature=SIMILARITY_TEMPERATURE,
        seeds="one seed" if one else runs.seeds_text(data.groupby("kind")["n"].max()),
        order=f"Classes by {'superclass (lines between them)' if data['row_superclass'].notna().all() else 'label'}.",
        below=" ".join(filter(None, parts)),
    ).strip()


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: the three matrices side by side, one scale of colours."""
    # From the columns: a class of which no image was seen has no row.
    classes = data.drop_duplicates("column_place").set_index("column_place").sort_index()
    names = classes["column"].map(style.class_names(classes.set_index("column")["column_name"])[0])
    superclass = classes["column_superclass"].astype(float)
    longest = names.str.len().max() if len(names) <= NAMED else 0
    figure = Figure(figsize=(style.PAGE, 3.0 + (0.05 * longest if longest > UPRIGHT else 0.0)))
    axes = figure.subplots(1, len(KINDS), sharey=True)
    high = data["mean"].max()
    norm = LogNorm(max(data["mean"][data["mean"] > 0].min(), high / CONTRAST), high)
    for ax, kind in zip(axes, KINDS, strict=True):
        _panel(ax, data[data["kind"] == kind], names, superclass, norm)
    axes[0].set_ylabel("Class of the image")
    shades = {"ticks": LogLocator(subs=(1, 2, 5)), "format": "{x:g}", "label": "Probability"}
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, **shades, aspect=25, pad=0.015, shrink=0.8)
    bar.minorticks_off()
    bar.outline.set_linewidth(0.6)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, names: pd.Series, superclass: pd.Series, norm: LogNorm) -> None:
    matrix = rows.pivot(index="row_place", columns="column_place", values="mean")
    matrix = matrix.reindex(index=names.index, columns=names.index)
    sns.heatmap(matrix, norm=norm, cmap="viridis", square=True, cbar=False, rasterized=len(names) > NAMED, ax=ax)
    ticks, labels = (np.arange(len(names)) + 0.5, names) if len(names) <= NAMED else ([], [])
    # A name is a text of the data, not mathematics, whatever dollar signs it has.
    ax.set_xticks(ticks, labels, rotation=90 if names.str.len().max() > UPRIGHT else 0, parse_math=False)
    ax.set_yticks(ticks, labels, rotation=0, parse_math=False)
    ax.tick_params(length=0, pad=2)
    if superclass.notna().all():
        for border in np.flatnonzero(np.diff(superclass)) + 1:
            ax.axhline(border, color="white", linewidth=0.5)
            ax.axvline(border, color="white", linewidth=0.5)
    ax.grid(visible=False)
    ax.set(title=LABELS[rows["kind"].iloc[0]], ylabel="")
    ax.set_xlabel("\n".join(["Other class", *_numbers(rows.iloc[0])]), linespacing=1.4)


def _numbers(row: pd.Series) -> list[str]:
    """Return the lines below a panel: ρ with its interval, and p."""
    if not np.isfinite(row["rho"]):
        return []
    # Adding 0 makes −0 a 0.
    rho, low, high = (f"{round(row[name], 2) + 0.0:.2f}".replace("-", "−") for name in ("rho", "rho_low", "rho_high"))
    interval = f" [{low}, {high}]" if np.isfinite(row["rho_low"]) else ""
    return [f"ρ with mixed {rho}{interval}", *([f"Mantel p ≤ {row['p']:.2g}"] if np.isfinite(row["p"]) else [])]

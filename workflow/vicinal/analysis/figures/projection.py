"""Where do mixed inputs lie between classes? Features of one seed, projected on the plane of three class means."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("metrics", "projection", "classes")
CAPTION = (
    "Penultimate features of test images of three classes (pale) and of mixed inputs λ·x_i + (1 − λ)·x_j between two "
    "of them (small; the colours of both classes, mixed by λ), projected on the plane through the means of the three "
    "classes, in the manner of Müller et al. 2019. Triangle: these means, and where the features of mixed inputs would "
    "lie on average for a network linear between the classes. Every network has its own plane, scaled to a root mean "
    "square distance of 1 of the means from their centre. Classes: the two with the most vicinal pairs between them, "
    "and the third with the most pairs to these; no model has a say. {names}The same {images} images and {mixed} mixed "
    "inputs for all networks; {pair}, seed {seed}. {distilled}{mixup}{interval}"
)
MISSING = "No model of the main comparison has features of three classes whose means span a plane."
METHODS = (style.TEACHER, "ce", "kd", "kd_mixup")
COLOURS = [sns.color_palette("colorblind").as_hex()[place] for place in (2, 4, 1)]
SIDES = ["place", "other_place"]
MARKERS = ("o", "s", "^")
WIDE = 60  # so many letters of names are not in one row of the legend
MIXED = {"markeredgecolor": "0.2", "markeredgewidth": 0.25}


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a point of the first of the main pairs, at the lowest seed that all of its methods have.

    Columns: teacher, student, method, temperature, seed; kind (``mean``, ``clean`` or ``mixed``), point (its number);
    label, name and place (0 to 2) of the class, and of a mixed input other_name and other_place of the second one; lam
    (λ of the first; 1 where not mixed); x and y, in root mean square distances of the class means from their centre;
    alpha and n (seeds: 1).
    """
    models = runs.models_of(tables["metrics"])
    points, classes = tables["projection"], tables["classes"]
    members = runs.main_panels(models)
    members = members[members["method"].isin(METHODS) & members["model_id"].isin(list(points["model_id"].unique()))]
    members = next(iter(runs.by_pair(members).values()), members)
    methods = members.groupby("seed")["method"].nunique()
    # A given teacher has no seed: it is that of every seed.
    members = members[members["seed"].isna() | (members["seed"] == (methods.idxmax() if len(methods) else 0))]
    found = runs.with_values(members, points, list(points.columns.drop("model_id")))
    size = np.square(found[["x", "y"]].astype(float)).sum(axis=1).where(found["kind"] == "mean")
    size = np.sqrt(size.groupby(found["model_id"]).transform("mean"))
    found = found.assign(
        x=found["x"] / size, y=found["y"] / size, n=1, alpha=runs.mixup_alpha(runs.main_students(models))
    )
    places = {label: place for place, label in enumerate(sorted(found["label"].unique()))}
    names = classes.set_index("label")["name"].astype(object)
    for prefix, column in (("", "label"), ("other_", "other")):
        own = {f"{prefix}name": found[column].map(names), f"{prefix}place": found[column].map(places)}
        found = found.assign(**own)
    return runs.in_order(found.drop(columns=["model_id", "other"]))


def takeaway(data: pd.DataFrame) -> str:
    """Return the caption's first sentence: how far mixed inputs lie from the linear mixture of the class means."""
    mixed = data[data["kind"] == "mixed"]
    means = data[data["kind"] == "mean"].set_index(["method", "place"])[["x", "y"]]
    lam = mixed[["lam"]].to_numpy(dtype=float)
    first, second = (means.loc[list(zip(mixed["method"], mixed[side], strict=True))].to_numpy() for side in SIDES)
    away = np.linalg.norm(mixed[["x", "y"]].to_numpy() - lam * first - (1 - lam) * second, axis=1)
    what = "Mean distance of mixed inputs from the same mixture of the class means:"
    return sentences.by_method(mixed.assign(mean=away), what, ".2f", ".")


def caption(data: pd.DataFrame) -> str:
    """Return the caption, with the pair, the temperature and the seed of this figure."""
    kinds = data.drop_duplicates(["kind", "point"])["kind"].value_counts()
    seed = data["seed"].dropna().min()
    number = {kind: str(kinds.get(kind, 0)) for kind in ("clean", "mixed")}
    pair = next(iter(runs.by_pair(data)))
    number |= {"seed": f"{seed:g}", "pair": pair, "names": style.class_names(_names(data))[1]}
    return runs.fill_caption(CAPTION, data, images=number.pop("clean"), **number)


def draw(data: pd.DataFrame) -> Figure:
    """Return the figure: a panel a method, all in one scale."""
    shown = {style.LABELS[method]: data[data["method"] == method] for method in style.ordered(data["method"])}
    figure, axes = panels.wrapped(shown, 1.9, "", "", columns=4)
    for ax, rows in zip(axes, shown.values(), strict=True):
        _panel(ax, rows)
        ax.set(aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        ax.grid(visible=False)
    names = style.class_names(_names(data))[0]
    look = {"linestyle": "none", "markeredgewidth": 0}
    entries = [Line2D([], [], color=COLOURS[i], marker=MARKERS[i], **look) for i in range(len(names))]
    look = {"linestyle": "none", "marker": "o", **MIXED, "markersize": 3.5}
    shades = tuple(Line2D([], [], color=blend(0, 1, lam), **look) for lam in np.linspace(1, 0, 5))
    places = {
        "loc": "outside lower center",
        "ncols": 4 if len(shown) > 1 and sum(map(len, names.values())) < WIDE else 2,
        "handler_map": {tuple: HandlerTuple(None, pad=0.3)},
    }
    legend = figure.legend([*entries, shades], [*names.values(), "Mixed input, λ from 1 to 0"], **places)
    for text in legend.get_texts():  # a name is a text of the data, not mathematics, whatever dollar signs it has
        text.set_parse_math(False)
    return figure


def _names(data: pd.DataFrame) -> pd.Series:
    return data.drop_duplicates("label").set_index("label")["name"].sort_index()


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    clean, mixed, means = (rows[rows["kind"] == kind].sort_values("point") for kind in ("clean", "mixed", "mean"))
    for place, own in clean.groupby("place"):
        colour = style.tint(COLOURS[place], 0.45)
        ax.scatter(own["x"], own["y"], s=13, marker=MARKERS[place], color=colour, linewidth=0, zorder=1)
    colours = [blend(*row) for row in mixed[["place", "other_place", "lam"]].itertuples(index=False)]
    ax.scatter(mixed["x"], mixed["y"], s=6, color=colours, linewidth=0.25, edgecolor="0.2", zorder=2)
    around = means.iloc[[0, 1, 2, 0]]
    ax.plot(around["x"], around["y"], color="black", linewidth=0.7, marker="P", **style.EDGE, zorder=3)


def blend(first: int, second: int, lam: float) -> np.ndarray:
    """Return the colour of a mixed input: those of its classes, mixed as its images are."""
    one, other = np.array(to_rgb(COLOURS[first])), np.array(to_rgb(COLOURS[second]))
    return lam * one + (1 - lam) * other

"""Where do mixed inputs lie between classes? Features of one seed, projected on the plane of three class means."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("metrics", "projection", "classes")
MISSING = "No model of the main comparison has features of three classes whose means span a plane."
METHODS = (style.TEACHER, "ce", "kd", "kd_mixup")
COLOURS = [sns.color_palette("colorblind").as_hex()[place] for place in (2, 4, 1)]
SIDES = ["place", "other_place"]
MARKERS = ("o", "s", "^")
WIDE = 60  # so many letters of names are not in one row of the legend


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a point of the first of the main pairs, at the lowest seed that all of its methods have.

    kind (``mean``, ``clean`` or ``mixed``), point (its number); label, name and place (0 to 2) of the class, other_name
    and other_place of the second one of a mixed input; lam (λ of the first); x and y, in root mean square distances of
    the class means from their centre; n (seeds: 1).
    """
    points, names = tables["projection"], tables["classes"].set_index("label")["name"].astype(object)
    members = runs.main_panels(tables["metrics"])
    members = members[members["method"].isin(METHODS) & members["model_id"].isin(list(points["model_id"].unique()))]
    members = next(iter(runs.by_pair(members).values()), members)
    methods = members.groupby("seed")["method"].nunique()
    # A given teacher has no seed: it is that of every seed.
    members = members[members["seed"].isna() | (members["seed"] == (methods.idxmax() if len(methods) else 0))]
    found = runs.with_values(members, points, list(points.columns.drop("model_id")))
    size = np.square(found[["x", "y"]].astype(float)).sum(axis=1).where(found["kind"] == "mean")
    size = np.sqrt(size.groupby(found["model_id"]).transform("mean"))
    found[["x", "y"]] = found[["x", "y"]].div(size, axis="index")
    places = {label: place for place, label in enumerate(sorted(found["label"].unique()))}
    for prefix, column in (("", "label"), ("other_", "other")):
        found[f"{prefix}name"], found[f"{prefix}place"] = found[column].map(names), found[column].map(places)
    return runs.in_order(found.drop(columns=["model_id", "other"]).assign(n=1))


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, a panel a method, all in one scale, and its caption."""
    shown = {style.LABELS[method]: data[data["method"] == method] for method in style.ordered(data["method"])}
    figure = panels.facets(shown, _panel, wrap=4, height=1.9, sharex=True, sharey=True)
    classes = data.drop_duplicates("label").set_index("label")["name"].sort_index()
    names, listed = style.class_names(classes)
    look = {"linestyle": "none", "markeredgewidth": 0}
    entries = [Line2D([], [], color=COLOURS[place], marker=MARKERS[place], **look) for place in range(len(names))]
    look = {"linestyle": "none", "marker": "o", "markersize": 3.5, "markeredgecolor": "0.2", "markeredgewidth": 0.25}
    mixtures = [style.tint(COLOURS[0], lam, COLOURS[1]) for lam in np.linspace(1, 0, 5)]
    shades = tuple(Line2D([], [], color=colour, **look) for colour in mixtures)
    wide = len(shown) > 1 and sum(map(len, names.values())) < WIDE
    labels = [*names.values(), "Mixed input, λ from 1 to 0"]
    look = {"handler_map": {tuple: HandlerTuple(None, pad=0.3)}, "ncols": 4 if wide else 2}
    for text in figure.legend([*entries, shades], labels, loc="outside lower center", **look).get_texts():
        text.set_parse_math(False)  # a name is a text of the data, not mathematics, whatever dollar signs it has

    points = data.drop_duplicates(["kind", "point"])["kind"].value_counts()
    return figure, (
        f"{_distance(data)}\nPenultimate features of test images of three classes (pale) and of mixed inputs λ·x_i + "
        "(1 − λ)·x_j between two of them (small; the colours of both classes, mixed by λ), projected on the plane "
        "through the means of the three classes, in the manner of Müller et al. 2019. Triangle: these means, and where "
        "the features of mixed inputs would lie on average for a network linear between the classes. Every network has "
        "its own plane, scaled to a root mean square distance of 1 of the means from their centre. Classes: the two "
        "with the most vicinal pairs between them, and the third with the most pairs to these; no model decides. "
        f"{listed}The same {points.get('clean', 0)} images and {points.get('mixed', 0)} mixed inputs for all networks; "
        f"{next(iter(runs.by_pair(data)))}, seed {data['seed'].dropna().min():g}. "
        f"{sentences.trained(data)}{sentences.interval(data['n'])}"
    )


def _distance(data: pd.DataFrame) -> str:
    """Return how far mixed inputs lie from the linear mixture of the class means."""
    mixed = data[data["kind"] == "mixed"]
    means = data[data["kind"] == "mean"].set_index(["method", "place"])[["x", "y"]]
    lam = mixed[["lam"]].to_numpy(dtype=float)
    first, second = (means.loc[list(zip(mixed["method"], mixed[side], strict=True))].to_numpy() for side in SIDES)
    away = np.linalg.norm(mixed[["x", "y"]].to_numpy() - lam * first - (1 - lam) * second, axis=1)
    what = "Mean distance of mixed inputs from the same mixture of the class means:"
    return sentences.by_method(mixed.assign(mean=away), what, ".2f", ".")


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    clean, mixed, means = (rows[rows["kind"] == kind].sort_values("point") for kind in ("clean", "mixed", "mean"))
    pale = {place: style.tint(colour, 0.45) for place, colour in enumerate(COLOURS)}
    looks = {"hue": "place", "style": "place", "palette": pale, "markers": dict(enumerate(MARKERS)), "legend": False}
    sns.scatterplot(clean, x="x", y="y", **looks, s=13, linewidth=0, zorder=1, ax=ax)
    sides = mixed[[*SIDES, "lam"]].itertuples(index=False)
    colours = [style.tint(COLOURS[one], lam, COLOURS[other]) for one, other, lam in sides]
    ax.scatter(mixed["x"], mixed["y"], s=6, color=colours, linewidth=0.25, edgecolor="0.2", zorder=2)
    around = means.iloc[[0, 1, 2, 0]]
    ax.plot(around["x"], around["y"], color="black", linewidth=0.7, marker="P", **style.EDGE, zorder=3)
    ax.set(aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    ax.grid(visible=False)

"""Class similarity in a teacher's answers: to clean images, to mixed ones, and in the linear mixture."""

from functools import partial

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.ticker import LogLocator

from vicinal.analysis.figures import panels, runs, sentences, style
from vicinal.evaluation.confusion import KINDS, SIMILARITY_TEMPERATURE
from vicinal.words import number

TABLES = ("similarity", "confusion", "classes")
MISSING = "No teacher trained without mixup has class similarities on mixed images of three or more classes."
LABELS = {"clean": "Clean", "mixed": "Mixed", "linear": "Linear mixture"}
UPRIGHT = 2  # longer names are turned below the matrices
NAMED = 20  # with more classes than this, names on the axes could not be read
CONTRAST = 1000.0  # the colours span at most this ratio
RHO = {"mean": "rho", "low": "rho_low", "high": "rho_high", "n": "rho_n"}


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row an entry of a matrix of the first teacher of the main pairs, mean over seeds.

    kind (see ``LABELS``); row and column (labels); of both sides the name, the superclass (NaN: none) and the place in
    which classes are drawn (row_name, …); mean and n. For clean and linear also rho, rho_low, rho_high, rho_n and p.
    """
    members = runs.main_panels(tables["confusion"])
    members = members.loc[members["method"] == style.TEACHER, ["teacher", "model_id"]].drop_duplicates()
    members = members[members["teacher"].isin(members["teacher"][:1])]
    values = runs.with_values(members, tables["similarity"], ["kind", "row", "column", "value"])
    if not set(KINDS) <= set(values["kind"]):
        values = values[:0]
    entries = values.astype({"value": float}).groupby(["teacher", "kind", "row", "column"], observed=True)["value"]
    entries = entries.agg(mean="mean", n="count").reset_index()

    classes = tables["classes"].astype({"label": "int64", "superclass": "float64", "name": object})
    keys = ["label"] if classes["superclass"].isna().any() else ["superclass", "label"]
    classes = classes.sort_values(keys, ignore_index=True)[["label", "name", "superclass"]]
    classes["place"] = classes.index
    for side in ("row", "column"):
        entries = entries.merge(classes.add_prefix(f"{side}_").rename(columns={f"{side}_label": side}), on=side)

    tests = runs.with_values(members, tables["confusion"], ["metric", "value"])
    tests[["test", "kind"]] = tests["metric"].str.extract("^(spearman|mantel_p)_mixed_(clean|linear)$")
    rho = runs.over_seeds(tests[tests["test"] == "spearman"].drop(columns="metric")).rename(columns=RHO)
    p = tests[tests["test"] == "mantel_p"].groupby("kind")["value"].max().rename("p")
    entries = entries.merge(rho[["kind", *RHO.values()]], on="kind", how="left").join(p, on="kind")
    entries = entries.sort_values(["row_place", "column_place"])
    return entries.sort_values("kind", key=lambda kinds: kinds.map(KINDS.index), kind="stable", ignore_index=True)


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, the three matrices side by side in one scale of colours, and its caption."""
    # From the columns: a class of which no image was seen has no row.
    classes = data.drop_duplicates("column_place").set_index("column_place").sort_index()
    drawn, listed = style.class_names(classes.set_index("column")["column_name"].sort_index())
    names, superclass = classes["column"].map(drawn), classes["column_superclass"].astype(float)
    longest = names.str.len().max() if len(names) <= NAMED else 0
    shown = {LABELS[kind]: data[data["kind"] == kind] for kind in KINDS}
    high = data["mean"].max()
    norm = LogNorm(max(data["mean"][data["mean"] > 0].min(), high / CONTRAST), high)
    panel = partial(_panel, names=names, superclass=superclass, norm=norm)
    height = 2.4 + (0.05 * longest if longest > UPRIGHT else 0.0)
    figure = panels.facets(shown, panel, ylabel="Class of the image", height=height, sharex=True, sharey=True)
    for ax, rows in zip(figure.axes, shown.values(), strict=True):
        ax.set_xlabel(f"Other class{_numbers(rows.iloc[0])}", linespacing=1.4)
    shades = {"ticks": LogLocator(subs=(1, 2, 5)), "format": "{x:g}", "label": "Probability"}
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=figure.axes, **shades, aspect=25, pad=0.015, shrink=0.8)
    bar.minorticks_off()
    bar.outline.set_linewidth(0.6)

    rho, one = data.dropna(subset="rho").drop_duplicates("kind"), data["n"].max() == 1
    values = [f"{LABELS[row.kind].lower()} ρ = {number(row.rho, '.2f')}" for row in rho.itertuples()]
    ranks = f"Rank correlation with the matrix of mixed inputs: {', '.join(values)}."
    seeds = "one seed" if one else sentences.seeds(data.groupby("kind")["n"].max())
    order = "superclass (lines between them)" if superclass.notna().all() else "label"
    below = (
        "Below: Spearman's ρ of the off-diagonal entries with those of the mixed matrix, mean over "
        f"seeds{' with its 95 % t-interval' if rho['rho_low'].notna().any() else ''}, and the largest p over seeds of "
        "the one-sided Mantel permutation test. "
    )
    return figure, (
        f"{ranks if values else ''}\nClass similarity in the answers of teacher {data['teacher'].iloc[0]}, on the test "
        f"split at T = {SIMILARITY_TEMPERATURE:g}: probability of each other class (columns; rows add up to 1) for "
        f"images of a class (rows), mean over seeds ({seeds}). Clean: mean answer to images of the class. Mixed: "
        "answer to a mixed image (λ in 0.45 to 0.55, different classes) over the classes that are not its sources, "
        "with the weight of the source of the row's class; linear mixture: the same of λ·p(x_i) + (1 − λ)·p(x_j). One "
        f"logarithmic colour scale; white: diagonal, and entries without an image. Classes by {order}. "
        f"{below if values else ''}{listed if len(names) <= NAMED else ''}"
        f"{'One seed: no interval is shown.' if one else ''}"
    )


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


def _numbers(row: pd.Series) -> str:
    """Return the lines below a panel: ρ with its interval, and p."""
    # Adding 0 makes −0 a 0.
    rho, low, high = (number(round(row[name], 2) + 0.0, ".2f") for name in ("rho", "rho_low", "rho_high"))
    p = f"\nMantel p ≤ {row['p']:.2g}" if np.isfinite(row["p"]) else ""
    return f"\nρ with mixed {rho}{low and f' [{low}, {high}]'}{p}" if rho else ""

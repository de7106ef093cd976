"""What teachers make of mixed inputs: how entropy and source mass are distributed, by the share of the first image."""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from vicinal.analysis.figures import panels, runs, sentences, style

TABLES = ("spread",)
MISSING = "No teacher was evaluated on mixed test pairs of different classes."
METRICS = ["entropy_clean", "entropy_mixed", "entropy_linear"]
METRICS += ["own_mass_clean", "source_mass_mixed", "source_mass_linear"]
AXES = {"entropy": "Entropy (nats)", "source_mass": "Source mass"}
LABELS = {"clean": "Clean images", "mixed": "Mixed image", "linear": "Linear mixture"}
# Colours that no method has. The line of the mixed image is a darker shade, to stand out on its bands.
COLOURS = {"clean": "#000000", "mixed": "#8C3B6B", "linear": "#009E73"}
BAND = "#CC79A7"
MARKERS = {"mixed": "o", "linear": "s"}
DASHES = {"mixed": "-", "linear": (0, (4, 1, 1, 1))}
# Of each range its ends, the shade of the band, the dashes of the lines, and the width of the bar over all λ.
RANGES = {"5 % to 95 %": (0.05, 0.95, 0.25, ":", 0.8), "25 % to 75 %": (0.25, 0.75, 0.6, "--", 3.5)}
MEDIAN = 0.5
DOT = {"marker": "o", "linestyle": "none", "markersize": 3, "markerfacecolor": "white", "markeredgewidth": 0.7}
PLACES = {"clean": 1.06, "mixed": 1.13, "linear": 1.2}  # on the axis of λ, of what is over all λ
MANY = 4  # more teachers than this stand two side by side


def data(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval and n over seeds of quantiles over test pairs, by teacher, metric and range of λ.

    alpha: of the teacher's own mixup (NaN: none); lam_low and lam_high: a bin, or 0 and 1; quantity: see ``AXES``;
    input: see ``LABELS``.
    """
    table, models = tables["spread"], runs.models_of(tables["spread"])
    teachers = models.loc[models["role"] == style.TEACHER, ["model_id", "model", "alpha"]]
    table = table[(table["split"] == "test") & table["metric"].isin(METRICS)]
    keys = ["metric", "lam_low", "lam_high", "quantile"]
    values = runs.with_values(teachers.rename(columns={"model": "teacher"}), table, [*keys, "value"])
    means = runs.over_seeds(values.sort_values(["alpha", *keys], na_position="first", kind="stable"))
    entropy = means["metric"].str.startswith("entropy")
    means["quantity"], means["unit"] = np.where(entropy, "entropy", "source_mass"), np.where(entropy, "nat", "1")
    return means.assign(input=means["metric"].str.split("_").str[-1])


def draw(data: pd.DataFrame) -> panels.Drawn:
    """Return the figure, panels for entropy and source mass of each teacher, and its caption."""
    # As text, so that equal are equal: without mixup alpha is NaN.
    titles = data["teacher"] + data["alpha"].map(lambda alpha: "" if np.isnan(alpha) else f"\nmixup α = {alpha:g}")
    quantities = [name for name in AXES if name in set(data["quantity"])]
    keys = list(product(dict.fromkeys(titles), quantities))
    shown = {(title, name): data[(titles == title) & (data["quantity"] == name)] for title, name in keys}
    many = titles.nunique() > MANY
    label, columns = "Share λ" if many else "Share λ of the first image", len(quantities) * (2 if many else 1)
    figure = panels.facets(shown, _panel, label, wrap=columns, height=1.9)
    # Intervals of a mean may leave the range of the quantity; the axis does not.
    top = {"entropy": 1.04 * data.loc[data["quantity"] == "entropy", "mean"].max() or 1.0, "source_mass": 1.02}
    for ax, (title, name) in zip(figure.axes, keys, strict=True):  # markers at 0 are drawn whole
        ax.set(title=title, xlim=(0, 1.25), ylim=(-0.02 * top[name], top[name]), ylabel=AXES[name])
    found = [zip(*ax.get_legend_handles_labels(), strict=True) for ax in figure.axes]
    entries = {label: handle for pairs in found for handle, label in pairs}
    wanted = [f"{LABELS[kind]}, {what}" for kind, what in product(LABELS, ("median", *reversed(RANGES)))]
    style.legend_below(figure, [entries[label] for label in wanted if label in entries], columns=3)
    alpha = "α: of the mixup that a teacher was itself trained with. " if data["alpha"].notna().any() else ""
    return figure, (
        f"{_medians(data[runs.whole(data) & data['alpha'].isna()])}\nHow a teacher's answers to mixed inputs are "
        "distributed over test pairs of different classes: quantiles over pairs of their entropy and of the "
        "probability of the two source classes (source mass), at T = 1, against the share λ of the first image "
        f"({data.loc[~runs.whole(data), 'lam_low'].nunique()} bins, drawn at their centres); "
        f"{'each quantile is the mean over seeds' if data['n'].max() > 1 else 'of one seed'}. Mixed image: p(λ·x_i + "
        "(1 − λ)·x_j); circles: median, dark band: 25 % to 75 %, light band: 5 % to 95 %. Linear mixture: λ·p(x_i) + "
        "(1 − λ)·p(x_j), the answer of a model that is linear between the images; squares: median, dashed lines: 25 % "
        "and 75 %, dotted lines: 5 % and 95 %. At the right of each panel the same over all λ, clean images first; "
        "dot: median, bar: 25 % to 75 %, line: 5 % to 95 %. Clean images: p(x_i) and p(x_j) of the same pairs, each "
        "image by itself, the source mass being the probability of its own class. "
        f"{alpha}{sentences.interval(data['n'], 'Error bars of the medians')}"
    )


def _medians(whole: pd.DataFrame) -> str:
    """Return the medians over all λ of the first teachers."""
    found = {}
    for (teacher, name), own in whole[whole["quantile"] == MEDIAN].groupby(["teacher", "quantity"], sort=False):
        values = [f"{LABELS[row.input].lower()} {row.mean:.2f}" for row in own.itertuples()]
        found.setdefault(teacher, []).append(f"median {AXES[name].lower()} {', '.join(values)}")
    return sentences.each({teacher: sentences.joined(found[teacher]) for teacher in list(found)[: runs.MAIN_PAIRS]})


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    whole = runs.whole(rows)
    rows = rows.assign(lam=((rows["lam_low"] + rows["lam_high"]) / 2).round(6).mask(whole, rows["input"].map(PLACES)))
    for kind, own in rows.groupby("input"):
        # The quantiles, a column each, by λ or where they stand beside it; NaN where one is missing.
        table = own.pivot(index="lam", columns="quantile", values="mean").reindex(columns=[0.05, 0.25, 0.5, 0.75, 0.95])
        bins, beside, colour = table[table.index < 1], table[table.index > 1], COLOURS[kind]
        for name, (low, high, shade, dashes, width) in RANGES.items():
            label = f"{LABELS[kind]}, {name}"
            if kind == "mixed":
                look = {"color": style.tint(BAND, shade), "linewidth": 0, "label": label}
                ax.fill_between(bins.index, bins[low], bins[high], **look)
            elif kind == "linear":
                ax.plot(bins[[low, high]], color=colour, linestyle=dashes, linewidth=0.8, label=[label, ""])
            label = label if kind == "clean" else ""
            ax.vlines(beside.index, beside[low], beside[high], color=colour, linewidth=width, label=label)
        label = f"{LABELS[kind]}, median"
        ax.plot(beside[MEDIAN], color=colour, label=label if kind == "clean" else "", **DOT)
        if kind != "clean":
            own = own[(own["quantile"] == MEDIAN) & (own["lam"] < 1)]
            look = {"color": colour, "marker": MARKERS[kind], "markersize": 3.5, "linestyle": DASHES[kind]}
            ax.plot(own["lam"], own["mean"], label=label, **look, **style.EDGE)
            own = own.dropna(subset="low")
            ax.vlines(own["lam"], own["low"], own["high"], color=colour, linewidth=0.9)
    ax.axvline(1, color="0.6", linewidth=0.6)
    ticks = np.linspace(0, 1, 5)
    ax.set_xticks([*ticks, PLACES["mixed"]], [*(f"{tick:g}" for tick in ticks), "all"])

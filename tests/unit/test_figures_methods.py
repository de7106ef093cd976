"""The figures with the methods on their x axis: what is drawn equals what is saved and what is computed by hand."""

import numpy as np
import pandas as pd
import pytest
from figure_tables import (
    all_axes,
    bars_of,
    grid,
    interval,
    main_kd,
    make,
    model,
    module,
    panel,
    per_seed,
    tables_of,
    usual,
    usual_figure,
    words,
)
from matplotlib.collections import PathCollection

from vicinal.analysis.figures import panels, style

WHOLE = {"split": "test", "pairs": "all", "lam_low": 0.0, "lam_high": 1.0}
NAMES = ("imitation", "representations")
TITLE = "bigger → small, T = 2"


def points_of(ax):
    """Return the points of a panel and their colours, (n, 2) and (n, 4)."""
    found = [c for c in ax.collections if isinstance(c, PathCollection)]
    colours = [np.broadcast_to(c.get_facecolor(), (len(c.get_offsets()), 4)) for c in found]
    return np.concatenate([c.get_offsets() for c in found]), np.concatenate(colours)


def of_colour(ax, colour):
    places, colours = points_of(ax)
    return places[np.isclose(colours[:, :3], colour).all(axis=1)]


def setting(method):
    if method == "teacher":
        return {"role": "teacher", "method": "ce", "model": "bigger", "alpha": None}
    if method.startswith("ce"):
        return {"role": "student", "method": method, "alpha": 1.0 if method == "ce_mixup" else None}
    return main_kd(method, "2", "bigger")


@pytest.mark.parametrize(
    ("metric", "methods"),
    [
        ("imitation_weight", ("kd", "kd_mixup")),
        ("nonlinearity", style.METHODS),
        ("nonlinearity_matched", ("teacher", "kd", "kd_mixup")),
    ],
)
def test_imitation_shows_every_seed_mean_and_interval(metric, methods):
    data, figure, _ = usual_figure("imitation")
    data = data[(data["teacher"] == "bigger") & (data["metric"] == metric)]
    assert tuple(data["method"].unique()) == methods
    ax = panel(figure, TITLE, module("imitation").METRICS[metric])
    [bottom] = [own for own in all_axes(figure) if own.get_subplotspec().is_last_row() and own in shared(ax)]
    labels = [label.get_text().replace("\n", " ") for label in bottom.get_xticklabels()]
    assert labels == [style.LABELS[method] for method in methods]
    for place, method in enumerate(methods):
        values = per_seed(usual()["vicinal"], metric=metric, **WHOLE, **setting(method))
        assert len(values) == 5
        rows = data[data["method"] == method]
        np.testing.assert_allclose(np.sort(rows["value"]), np.sort(values))
        expected = [values.mean(), *interval(values), 5]
        np.testing.assert_allclose(rows[["mean", "low", "high", "n"]].astype(float), [expected] * 5)
        colour = style.tint(style.COLOURS[method], 1)
        np.testing.assert_allclose(of_colour(ax, colour), [(place, values.mean())])
        pale = of_colour(ax, style.tint(style.COLOURS[method], panels.PALE))
        np.testing.assert_allclose(np.sort(pale[:, 1]), np.sort(values))
        assert (abs(pale[:, 0] - place) < 0.3).all()
        [bar] = bars_of(ax, style.COLOURS[method])
        np.testing.assert_allclose(bar, [(place, end) for end in interval(values)])


def shared(ax):
    return ax.get_shared_x_axes().get_siblings(ax)


def test_imitation_axes_hold_all_data_and_start_at_zero():
    data, figure, caption = usual_figure("imitation")
    for metric, label in module("imitation").METRICS.items():
        low, high = panel(figure, TITLE, label).get_ylim()
        own = data[data["metric"] == metric]
        assert low == min(0, low) <= own["low"].min() and high >= own[["high", "value"]].max(axis=None)
    assert "Distilled at T = 2." in caption and "Mixup with α = 1." in caption and "n = 5 seeds" in caption
    assert set(data["unit"]) == {"share", "nat"}


def test_imitation_shows_an_interval_that_reaches_below_zero():
    tables = {"vicinal": usual()["vicinal"].copy()}
    chosen = (tables["vicinal"]["metric"] == "imitation_weight") & (tables["vicinal"]["seed"] > 0)
    tables["vicinal"].loc[chosen, "value"] = 0.0
    data, figure, _ = make("imitation", tables)
    assert data["low"].min() < -0.01
    assert panel(figure, TITLE, module("imitation").METRICS["imitation_weight"]).get_ylim()[0] <= data["low"].min()


@pytest.mark.parametrize("inputs", ["clean", "mixed"])
@pytest.mark.parametrize(("metric", "methods"), [("cka_teacher", ("kd", "kd_mixup")), ("nc1", style.METHODS)])
def test_representations_are_means_over_seeds(metric, methods, inputs):
    data, figure, _ = usual_figure("representations")
    data = data[(data["teacher"] == "bigger") & (data["metric"] == metric) & (data["inputs"] == inputs)]
    assert tuple(data["method"]) == methods
    ax = panel(figure, TITLE, module("representations").METRICS[metric])
    assert ax.get_yscale() == ("log" if metric == "nc1" else "linear")
    for row, (place, method) in zip(data.itertuples(), enumerate(methods), strict=True):
        where = {"split": "test"} if inputs == "clean" else WHOLE
        table = usual()["metrics" if inputs == "clean" else "vicinal"]
        values = per_seed(table, metric=metric, **where, **setting(method))
        assert [row.mean, row.low, row.high, row.n] == pytest.approx([values.mean(), *interval(values), 5])
        drawn = of_colour(ax, style.tint(style.COLOURS[method], 1))
        [point] = [point for point in drawn if point[1] == pytest.approx(values.mean())]
        side = point[0] - place
        assert (-0.5 < side < 0) if inputs == "clean" else (0 < side < 0.5)
        cores = of_colour(ax, (1, 1, 1))  # an open marker is one with a white core
        assert any(np.allclose(core, point) for core in cores) is (inputs == "mixed")
        bars = bars_of(ax, style.COLOURS[method])
        assert any(np.allclose(bar, [(point[0], end) for end in interval(values)]) for bar in bars)


@pytest.mark.filterwarnings("error")
def test_representations_caption_says_what_is_open_and_what_is_cut():
    data, figure, caption = usual_figure("representations")
    assert {"Clean images", "Mixed inputs"} <= set(words(figure))
    assert "(open)" in caption and "cut" not in caption
    data.loc[data["metric"] == "nc1", "low"] = 0.5 * data["mean"].min()
    with style.look():
        low, _ = panel(module("representations").draw(data)[0], TITLE, "NC1").get_ylim()
    assert 0.4 * data["mean"].min() < low < 0.5 * data["mean"].min()
    tables = {name: usual()[name].copy() for name in ("metrics", "vicinal")}
    table = tables["vicinal"]
    chosen = (table["metric"] == "nc1") & (table["seed"] > 0)
    table.loc[chosen, "value"] = 0.01
    data, figure, caption = make("representations", tables)
    assert data["low"].min() < 0
    assert "Bars that leave the axis are cut." in caption
    figure.draw_without_rendering()
    ax = panel(figure, TITLE, "NC1")
    means = data.loc[data["metric"] == "nc1", "mean"]
    low, high = ax.get_ylim()
    assert means.min() / 13 < low < means.min()
    assert data.loc[data["metric"] == "nc1", "high"].max() < high
    data.loc[data["metric"] == "nc1", ["low", "high"]] = np.nan  # one seed
    with style.look():
        low, high = panel(module("representations").draw(data)[0], TITLE, "NC1").get_ylim()
    assert means.min() / 2 < low < means.min() <= means.max() < high


def test_without_matched_non_linearity_its_panel_is_left_out():
    table = usual()["vicinal"]
    _, figure, _ = make("imitation", {"vicinal": table[table["metric"] != "nonlinearity_matched"]})
    labels = {ax.get_ylabel() for ax in all_axes(figure)}
    assert labels == {module("imitation").METRICS[name] for name in ("imitation_weight", "nonlinearity")}


@pytest.mark.parametrize(
    ("name", "gone"), [("imitation", ["imitation_weight"]), ("representations", ["nc1", "cka_teacher"])]
)
def test_tables_without_the_measure_say_so(name, gone):
    tables = {key: usual()[key][~usual()[key]["metric"].isin(gone)] for key in ("metrics", "vicinal")}
    data, figure, caption = make(name, tables)
    assert not len(data)
    assert words(figure) == [caption] == [module(name).MISSING]


def test_a_pair_without_weights_is_no_panel():
    table = usual()["vicinal"]
    gone = (table["metric"] == "imitation_weight") & (table["teacher"] == "big")
    data = module("imitation").data({"vicinal": table[~gone]})
    assert set(data["teacher"]) == {"bigger"}


def test_a_student_without_a_teacher_has_an_imitation_weight_too():
    table = usual()["vicinal"]
    alone = table[(table["method"] == "ce") & (table["role"] == "student") & (table["metric"] == "jsd")]
    weights = alone.assign(metric="imitation_weight", value=0.25)
    data = module("imitation").data({"vicinal": pd.concat([table, weights], ignore_index=True)})
    own = data[(data["metric"] == "imitation_weight") & (data["method"] == "ce")]
    assert len(own) and (own["mean"] == 0.25).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_given_teacher_stands_beside_all_seeds(name):
    models = [row for row in grid(temperatures=("2",), seeds=3) if row["role"] == "student"]
    tables = tables_of([*models, model("teacher", "big", "ce", 0)])
    for key in ("metrics", "vicinal"):
        table = tables[key]
        tables[key] = table.assign(seed=table["seed"].astype("Int64").where(table["role"] != "teacher"))
    data, _, caption = make(name, tables)
    own = data[data["method"] == "teacher"]
    assert len(own) and (own["n"] == 1).all() and own["low"].isna().all()
    assert "n = 1 to 3 seeds, none where n = 1" in caption

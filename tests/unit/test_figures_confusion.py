"""The figure of teachers' confusion: the quantiles drawn are those of the table, averaged over seeds."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from claim_figures import QUANTILES, tables_of
from figure_tables import bars_of, grid, interval, make, module
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba

from vicinal.analysis.figures import style

COLOURS, MARKERS = module("confusion").COLOURS, module("confusion").MARKERS
LABELS = module("confusion").AXES
QUANTITIES = ("entropy", "source_mass")


@cache
def usual():
    mixup = grid(teachers=("big",), teacher_alpha=0.5, seeds=2, temperatures=("2",))
    return tables_of(grid(teachers=("big", "bigger"), seeds=4, temperatures=("2",)) + mixup)


@cache
def figure_of_usual():
    return make("confusion", usual())


def per_seed(metric, low, high, quantile, teacher="bigger"):
    """The values of one quantile, one a seed, found without the code under test."""
    table = usual()["spread"]
    table = table[(table["model"] == teacher) & table["alpha"].isna() & (table["split"] == "test")]
    table = table[(table["metric"] == metric) & (table["quantile"] == quantile)]
    return table.loc[(table["lam_low"] == low) & (table["lam_high"] == high), "value"].to_numpy()


def means(metric, quantile, teacher="bigger"):
    return [per_seed(metric, b / 20, (b + 1) / 20, quantile, teacher).mean() for b in range(20)]


def panels_of(teacher):
    """The panels of a teacher trained without mixup, by quantity."""
    found = [ax for ax in figure_of_usual()[1].axes if ax.get_title() == teacher]
    return {name: ax for ax in found for name, label in LABELS.items() if ax.get_ylabel() == label}


def lines_of(ax, kind, linestyle):
    """The lines of an input over λ, its points beyond 1 not counted."""
    found = [line for line in ax.get_lines() if line.get_color() == COLOURS[kind] and len(line.get_xdata()) > 2]
    return [line for line in found if line.get_linestyle() == linestyle]


def median_of(ax, kind):
    """The line of the medians of an input: the only one with markers."""
    [line] = [line for line in ax.get_lines() if line.get_color() == COLOURS[kind] and line.get_markersize() == 3.5]
    return line


@pytest.mark.parametrize("quantile", QUANTILES)
@pytest.mark.parametrize("metric", ["entropy_clean", "entropy_mixed", "own_mass_clean", "source_mass_linear"])
def test_data_are_the_mean_and_interval_over_seeds_of_each_quantile(metric, quantile):
    data = figure_of_usual()[0]
    own = data[(data["teacher"] == "bigger") & (data["metric"] == metric) & (data["quantile"] == quantile)]
    assert len(own) == 21
    for low, high in ((0.0, 1.0), (5 / 20, 6 / 20)):
        values = per_seed(metric, low, high, quantile)
        row = own[(own["lam_low"] == low) & (own["lam_high"] == high)]
        assert row["n"].item() == len(values) == 4
        assert row[["mean", "low", "high"]].to_numpy()[0] == pytest.approx([values.mean(), *interval(values)])
    assert set(own["unit"]) == {"nat" if metric.startswith("entropy") else "1"}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_bands_of_the_mixed_image_lie_between_its_quantiles(quantity):
    ax = panels_of("bigger")[quantity]
    outer, inner = [found for found in ax.collections if isinstance(found, PolyCollection)]
    for band, share, ends in ((outer, 0.25, (0.05, 0.95)), (inner, 0.6, (0.25, 0.75))):
        assert tuple(band.get_facecolor()[0]) == pytest.approx(to_rgba(style.tint(module("confusion").BAND, share)))
        points = band.get_paths()[0].vertices
        for b, (low, high) in enumerate(zip(*(means(f"{quantity}_mixed", q) for q in ends), strict=True)):
            at = points[np.isclose(points[:, 0], (b + 0.5) / 20), 1]
            assert (at.min(), at.max()) == pytest.approx((low, high))
    median = median_of(ax, "mixed")
    assert median.get_xdata() == pytest.approx((np.arange(20) + 0.5) / 20)
    assert median.get_ydata() == pytest.approx(means(f"{quantity}_mixed", 0.5))


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_lines_of_the_linear_mixture_are_its_quantiles(quantity):
    ax = panels_of("bigger")[quantity]
    for linestyle, quantiles in ((":", (0.05, 0.95)), ("--", (0.25, 0.75))):
        lines = [line for line in lines_of(ax, "linear", linestyle) if line.get_markersize() != 3.5]
        for line, quantile in zip(lines, quantiles, strict=True):
            assert line.get_ydata() == pytest.approx(means(f"{quantity}_linear", quantile))
    assert median_of(ax, "linear").get_ydata() == pytest.approx(means(f"{quantity}_linear", 0.5))


@pytest.mark.parametrize("kind", COLOURS)
def test_beyond_one_stands_what_is_over_all_lam(kind):
    for quantity, ax in panels_of("big").items():
        metric = "own_mass_clean" if (quantity, kind) == ("source_mass", "clean") else f"{quantity}_{kind}"
        wanted = {q: per_seed(metric, 0.0, 1.0, q, "big").mean() for q in QUANTILES}
        bars = [bar for bar in bars_of(ax, COLOURS[kind]) if bar[0, 0] > 1]
        ends = sorted(tuple(bar[:, 1]) for bar in bars)
        np.testing.assert_allclose(ends, sorted([(wanted[0.05], wanted[0.95]), (wanted[0.25], wanted[0.75])]))
        [dot] = [line for line in ax.get_lines() if line.get_color() == COLOURS[kind] and line.get_xdata()[0] > 1]
        assert dot.get_ydata() == pytest.approx([wanted[0.5]])
        assert dot.get_marker() == "o"


def test_error_bars_of_the_medians_are_the_intervals_over_seeds():
    ax = panels_of("bigger")["entropy"]
    for kind in ("mixed", "linear"):
        bars = [bar for bar in bars_of(ax, COLOURS[kind]) if bar[0, 0] < 1]
        assert len(bars) == 20
        for b, bar in enumerate(bars):
            low, high = interval(per_seed(f"entropy_{kind}", b / 20, (b + 1) / 20, 0.5))
            assert bar[:, 1] == pytest.approx([low, high])


def test_a_teacher_trained_with_mixup_has_panels_of_its_own():
    data, figure, caption = figure_of_usual()
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [title for title in ("big", "big\nmixup α = 0.5", "bigger") for _ in QUANTITIES]
    assert "α: of the mixup that a teacher was itself trained with. " in caption
    assert set(data.loc[data["alpha"] == 0.5, "n"]) == {2}
    plain = make("confusion", tables_of(grid(teachers=("big",), seeds=2)))[2]
    assert "α: of the mixup" not in plain


@pytest.mark.parametrize(("teachers", "columns"), [(1, 2), (4, 2), (5, 4), (9, 4)])
def test_many_teachers_stand_two_side_by_side(teachers, columns):
    names = [f"net{i}" for i in range(teachers)]
    figure = make("confusion", tables_of(grid(teachers=names, temperatures=("2",), seeds=1)))[1]
    assert max(ax.get_subplotspec().colspan.stop for ax in figure.axes) == columns
    assert [ax.get_title() for ax in figure.axes] == [name for name in names for _ in QUANTITIES]
    assert [ax.get_ylabel() for ax in figure.axes] == list(LABELS.values()) * teachers
    assert figure.get_figwidth() == style.PAGE
    figure.draw_without_rendering()
    assert all(min(ax.get_position().size * figure.get_size_inches()) > 0.9 for ax in figure.axes)


def test_caption_defines_the_bands_and_says_over_how_many_seeds():
    caption = figure_of_usual()[2]
    for words in (
        "20 bins", "each quantile is the mean over seeds", "circles: median, dark band: 25 % to 75 %",
        "light band: 5 % to 95 %",
        "squares: median, dashed lines: 25 % and 75 %, dotted lines: 5 % and 95 %", "bar: 25 % to 75 %", "T = 1",
        "Error bars of the medians: 95 % t-interval", "n = 2 to 4 seeds", "different classes",
    ):  # fmt: skip
        assert words in caption


def first_of(figure, title):
    """The panel of entropy of a teacher."""
    return next(ax for ax in figure.axes if ax.get_title() == title)


def without(chosen):
    """The figure of the usual tables without some rows."""
    tables = usual()
    return make("confusion", {**tables, "spread": tables["spread"][~chosen(tables["spread"])]})


def test_a_bin_that_is_missing_is_left_out_of_its_own_line_only():
    gone = (5 / 20, 6 / 20)
    data, figure, caption = without(lambda t: (t["lam_low"] == gone[0]) & (t["metric"] == "entropy_mixed"))
    assert not ((data["lam_low"] == gone[0]) & (data["metric"] == "entropy_mixed")).any()
    assert "20 bins" in caption
    ax = first_of(figure, "bigger")
    assert len(median_of(ax, "mixed").get_xdata()) == 19
    assert len(median_of(ax, "linear").get_xdata()) == 20


def test_a_quantile_that_is_missing_leaves_out_its_band():
    figure = without(lambda t: t["quantile"] == 0.95)[1]
    outer, inner = [found for found in first_of(figure, "big").collections if isinstance(found, PolyCollection)]
    assert not any(len(path.vertices) for path in outer.get_paths())
    assert any(len(path.vertices) for path in inner.get_paths())


def test_without_source_mass_there_is_a_row_of_entropy():
    figure = without(lambda t: t["metric"].isin(["own_mass_clean", "source_mass_mixed", "source_mass_linear"]))[1]
    assert [ax.get_ylabel() for ax in figure.axes] == ["Entropy (nats)"] * 3


def test_certain_answers_are_drawn_on_an_axis_that_has_a_height():
    spread = usual()["spread"]
    value = spread["value"].mask(spread["metric"].astype(str).str.startswith("entropy"), 0.0)
    figure = make("confusion", {"spread": spread.assign(value=value)})[1]
    low, high = first_of(figure, "bigger").get_ylim()
    assert low < 0 < 0.5 < high


def test_inputs_differ_without_colour_and_share_no_colour_with_a_method():
    assert not {COLOURS["mixed"], COLOURS["linear"]} & set(style.COLOURS.values())
    assert MARKERS["mixed"] != MARKERS["linear"]
    light, dark, line = (
        np.dot([0.299, 0.587, 0.114], colour[:3])
        for colour in (
            style.tint(module("confusion").BAND, 0.25), style.tint(module("confusion").BAND, 0.6),
            to_rgba(COLOURS["mixed"]),
        )
    )  # fmt: skip
    assert light - dark > 0.12 and dark - line > 0.3


def test_the_order_of_the_rows_does_not_matter():
    spread = usual()["spread"]
    shuffled = spread.iloc[np.random.default_rng(0).permutation(len(spread))]
    data = module("confusion").data({"spread": shuffled})
    pd.testing.assert_frame_equal(data, figure_of_usual()[0])

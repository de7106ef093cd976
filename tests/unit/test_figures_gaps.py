"""The figures of the main comparison, whatever runs are missing: legible, whole, the same again."""

from functools import cache

import pandas as pd
import pytest
from figure_tables import ALL, FIGURES, grid, make, module, pixels, tables_of, usual_figure, words
from matplotlib.figure import Figure

from vicinal.analysis.figures import style
from vicinal.analysis.figures.files import drawn

CASES = {
    "one_seed": grid(teachers=("big", "bigger"), seeds=1),
    "two_seeds": grid(seeds=2),
    "no_teacher": grid(methods=("ce",)),
    "no_mixup": grid(methods=("ce", "kd")),
    "only_kd_mixup": grid(methods=("kd_mixup",), teachers=("big", "bigger")),
    "only_std": grid(temperatures=("std",), teachers=("big", "bigger")),
    "one_number_and_std": grid(temperatures=("2", "std")),
    "one_temperature": grid(temperatures=("4",)),
    "mixup_teacher_only": grid(teacher_alpha=1.0),
    "other_weights": grid(weights=((0.9, 0.1),)),
    "many": grid(teachers=("a", "b"), students=("s1", "s2"), temperatures=("1", "2"), seeds=2),
}


@cache
def tables_of_case(case):
    return tables_of(CASES[case], epochs=3)


# Two seeds, other weights and one temperature are drawn as the usual tables are.
@pytest.mark.parametrize(
    "case", [case for case in CASES if case not in ("two_seeds", "other_weights", "one_temperature")]
)
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_whatever_runs_are_missing(name, case, tmp_path):
    data, figure, caption = make(name, tables_of_case(case))
    assert isinstance(figure, Figure)
    assert caption.endswith(".") and "{" not in caption
    if not len(data):
        assert words(figure) == [module(name).MISSING] == [caption]
    path = tmp_path / "data.parquet"
    data.to_parquet(path, index=False)
    again = pd.read_parquet(path)
    again = again.astype(object).where(again.notna(), None)
    pd.testing.assert_frame_equal(again, data.astype(object).where(data.notna(), None))


@pytest.mark.parametrize(
    ("name", "case", "missing"),
    [
        ("temperature", "one_temperature", True),
        ("temperature", "only_std", True),
        ("temperature", "one_number_and_std", False),
        ("temperature", "no_teacher", True),
        ("temperature", "mixup_teacher_only", True),
        ("temperature", "other_weights", False),
        ("plane", "one_temperature", True),
        ("plane", "only_std", True),
        ("plane", "one_number_and_std", False),
        ("plane", "no_mixup", False),
        ("capacity", "two_seeds", True),
        ("capacity", "only_std", False),
        ("capacity", "only_kd_mixup", False),
        ("reliability", "no_teacher", False),
        ("nonlinearity", "no_teacher", False),
        ("training", "no_teacher", False),
        ("training", "mixup_teacher_only", False),
    ],
)
def test_a_figure_without_its_runs_says_so(name, case, missing):
    assert (len(module(name).data(tables_of_case(case))) == 0) is missing


@pytest.mark.parametrize("name", FIGURES)
def test_one_seed_has_no_interval(name):
    data, _, caption = make(name, tables_of_case("one_seed"))
    assert "One seed" in caption and "95 %" not in caption
    if "low" in data:
        assert data[["low", "high", "sd"]].isna().all(axis=None)


@pytest.mark.parametrize("name", FIGURES)
def test_text_is_legible_at_print_size(name):
    _, figure, _ = usual_figure(name)
    sizes = [text.get_fontsize() for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))]
    assert min(sizes) >= 7
    assert figure.get_figwidth() in (style.COLUMN, style.PAGE)


@cache
def tables_of_long_names(methods):
    return tables_of(grid(methods=methods, teachers=("resnet110", "wrn_40_2"), seeds=2), epochs=3)


@pytest.mark.parametrize("methods", [("ce", "ce_mixup"), ALL])
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off(name, methods):
    figure = make(name, tables_of_long_names(methods))[1]
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert box.x0 >= -0.01 and box.y0 >= -0.01
    assert box.x1 <= figure.get_figwidth() + 0.01 and box.y1 <= figure.get_figheight() + 0.01


@pytest.mark.parametrize("name", FIGURES)
def test_drawn_again_from_its_parquet_it_shows_the_same(name, tmp_path):
    data, figure, _ = make(name, tables_of_case("only_kd_mixup"))
    data.to_parquet(tmp_path / "data.parquet", index=False)
    again = drawn(module(name), pd.read_parquet(tmp_path / "data.parquet"))[0]
    assert pixels(again) == pixels(figure)


def test_equal_figures_give_equal_files(tmp_path):
    for ending in ("pdf", "png"):
        for turn in ("first", "second"):
            style.save(make("capacity", tables_of_case("only_kd_mixup"))[1], tmp_path / f"{turn}.{ending}")
        assert (tmp_path / f"first.{ending}").read_bytes() == (tmp_path / f"second.{ending}").read_bytes()
    pdf = (tmp_path / "first.pdf").read_bytes()
    assert b"CreationDate" not in pdf
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
